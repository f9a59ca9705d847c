"""The exact arithmetic of kernels on 8-bit codes, in numpy: whole sums, then float32 in the runtime's order."""

from __future__ import annotations

from typing import Any

import numpy as np

Scale = tuple[float, int]
F = np.float32


def scales(**named: Scale) -> dict[str, Any]:
    """The attributes of a kernel: scales(input=(0.1, 3)) is {"input_scale": 0.1, "input_zero": 3}."""
    attrs: dict[str, Any] = {}
    for which, (scale, zero) in named.items():
        attrs[f"{which}_scale"], attrs[f"{which}_zero"] = float(F(scale)), int(zero)
    return attrs


def codes(values: np.ndarray, limits: tuple[int, int] = (0, 255)) -> np.ndarray:
    """float32 results, the zero in them, as codes."""
    return np.clip(np.rint(values), *limits).astype(np.uint8)


def limits(activation: str, output: Scale) -> tuple[int, int]:
    scale, zero = output
    if activation == "":
        return 0, 255
    highest = F(6) / F(scale) + F(zero)
    return zero, int(highest + F(0.5)) if activation == "Relu6" and highest < 255 else 255


def product(
    sums: np.ndarray,
    weight_scale: np.ndarray,
    bias: np.ndarray | None,
    source: Scale,
    output: Scale,
    residual: np.ndarray | None = None,
    other: Scale = (1.0, 0),
) -> np.ndarray:
    """What a product stores, before it is rounded: `sums` are of (code - zero) times weight codes."""
    inverse = F(1) / F(output[0])
    factor = F(source[0]) * inverse * weight_scale
    zero = F(output[1])
    added = F(other[0]) * inverse
    if residual is not None:
        zero = zero - F(other[1]) * added
    offset = zero if bias is None else bias * inverse + zero
    values: np.ndarray = sums.astype(F) * factor + offset
    return values if residual is None else values + residual.astype(F) * added


def patches(image: np.ndarray, size: tuple[int, int], stride: int, dilation: int, pads: Any) -> np.ndarray:
    """[batch, out_h, out_w, kh, kw, channels] of whole numbers around which there are zeros."""
    top, bottom, left, right = pads
    padded = np.pad(image, ((0, 0), (top, bottom), (left, right), (0, 0)))
    extent = [(n - 1) * dilation + 1 for n in size]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    return windows[:, ::stride, ::stride, :, ::dilation, ::dilation].transpose(0, 1, 2, 4, 5, 3)
