"""Products of codes with weights, of 8 or 16 bits each, as cpp/math/qgemm.h defines them: kernels give these bits."""

from __future__ import annotations

import numpy as np
from wherry.pack.weights import planes_of

F32 = np.float32


def quantize(values: np.ndarray, bits: int = 8) -> tuple[np.ndarray, np.float32, int]:
    """Codes 0 .. 2^bits - 1 of float32 values in their own range, scale and zero point."""
    steps_of_range = 2**bits - 1
    low, high = F32(min(values.min(initial=0), 0)), F32(max(values.max(initial=0), 0))
    scale = F32(high / F32(steps_of_range) - low / F32(steps_of_range))
    if not scale >= F32(1e-37):
        return np.zeros(values.shape, np.int64), F32(1), 0
    zero = int(np.rint(-low / scale))
    steps = np.rint(values * (F32(1) / scale)).astype(np.int64)
    return np.clip(steps + zero, 0, steps_of_range), scale, zero


def parts(a: np.ndarray, zero: int, bits: int) -> list[np.ndarray]:
    """Codes without their zero point: of 16 bits, those of the high and of the low bytes."""
    return [a - zero] if bits == 8 else [(a >> 8) - (zero >> 8), (a & 255) - (zero & 255)]


def joined(sums: list[np.ndarray]) -> np.ndarray:
    high, *low = (part.astype(F32) for part in sums)
    return high * F32(256) + low[0] if low else high


def of_weights(codes: np.ndarray) -> list[np.ndarray]:
    """Of 8 bits, or the high and the low bytes of 16."""
    return [part.astype(np.int64) for part in ([codes] if codes.dtype == np.int8 else planes_of(codes))]


def joined_planes(found: list[np.ndarray]) -> np.ndarray:
    """Of the products with high bytes of weights, and with low ones."""
    return found[0] if len(found) == 1 else found[0] * F32(255) + found[1]


def product(rows: np.ndarray, codes: np.ndarray, scale: np.ndarray, bits: int = 8) -> np.ndarray:
    """float32 rows [m, k], each quantized in its own range, times codes [k, n] with a scale for each column."""
    result = np.empty((rows.shape[0], codes.shape[1]), F32)
    for m, row in enumerate(rows):
        a, row_scale, zero = quantize(row, bits)
        found = [joined([part @ plane for part in parts(a, zero, bits)]) for plane in of_weights(codes)]
        result[m] = joined_planes(found) * (row_scale * scale)
    return result


def convolution(
    image: np.ndarray, codes: np.ndarray, scale: np.ndarray, stride: int, dilation: int, same: bool,
    bits: int = 8,
) -> np.ndarray:
    """image [b, h, w, c] quantized in a range for each image; codes [kh, kw, c, n]."""
    kh, kw, _, n = codes.shape
    spans = [(k - 1) * dilation + 1 for k in (kh, kw)]
    sizes = image.shape[1:3]
    pads = [(0, 0), (0, 0)]
    if same:
        outs = [-(-size // stride) for size in sizes]
        needs = [max((o - 1) * stride + span - s, 0) for o, span, s in zip(outs, spans, sizes, strict=True)]
        pads = [(need // 2, need - need // 2) for need in needs]
    else:
        outs = [(s - span) // stride + 1 for s, span in zip(sizes, spans, strict=True)]
    result = np.empty((image.shape[0], *outs, n), F32)
    for b, one in enumerate(image):
        a, image_scale, zero = quantize(one, bits)
        found = []
        for weights in of_weights(codes):
            of_image = []
            for plane in parts(a, zero, bits):
                padded = np.pad(plane, [*pads, (0, 0)])
                sums = np.zeros((*outs, n), np.int64)
                for y in range(kh):
                    for x in range(kw):
                        part = padded[y * dilation :, x * dilation :][: (outs[0] - 1) * stride + 1 : stride]
                        part = part[:, : (outs[1] - 1) * stride + 1 : stride]
                        sums += part @ weights[y, x]
                of_image.append(sums)
            found.append(joined(of_image))
        result[b] = joined_planes(found) * (image_scale * scale)
    return result
