"""Products of halves as cpp/math/hgemm_multiply.h defines them, in numpy: kernels must give the same bits."""

from __future__ import annotations

import numpy as np

FOLD = 64  # kHalfFold


def product(a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """float32 [m, k], clamped to the limit and rounded to halves, times halves [k, n]: float32 [m, n].

    A product of halves plus a half, in float64, is rounded where it cannot change what it rounds to as a half.
    """
    rows = np.clip(a, -np.float32(limit), np.float32(limit)).astype(np.float16).astype(np.float64)
    columns = b.astype(np.float64)
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for begin in range(0, b.shape[0], FOLD):
        chain = np.zeros(total.shape, np.float16)
        for k in range(begin, min(begin + FOLD, b.shape[0])):
            chain = (rows[:, k : k + 1] * columns[k] + chain.astype(np.float64)).astype(np.float16)
        total += chain.astype(np.float32)
    return total


def patches(image: np.ndarray, size: tuple[int, int], stride: int) -> np.ndarray:
    """[b * h * w, kh * kw * c] of an image [b, h, w, c] with padding as SAME has it."""
    pads, outs = [], []
    for length, span in zip(image.shape[1:3], size, strict=True):
        out = -(-length // stride)
        need = max((out - 1) * stride + span - length, 0)
        pads.append((need // 2, need - need // 2))
        outs.append(out)
    padded = np.pad(image, [(0, 0), *pads, (0, 0)])
    parts = [
        padded[:, y : y + (outs[0] - 1) * stride + 1 : stride, x : x + (outs[1] - 1) * stride + 1 : stride]
        for y in range(size[0]) for x in range(size[1])
    ]  # fmt: skip
    return np.concatenate(parts, axis=3).reshape(-1, size[0] * size[1] * image.shape[3])
