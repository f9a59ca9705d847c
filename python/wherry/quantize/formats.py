"""The weight formats: float16, symmetric int8, and the paper's min/max buckets with 2 to 16 bits.

The paper (Proceedings 2018, 2, 550, section on quantization) divides [min, max] of a tensor into 2^N buckets and stores
each weight as the number of its bucket: code = round((x - min) / (max - min) * (2^N - 1)), turned back by
x = min + code * (max - min) / (2^N - 1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from wherry.errors import UsageError
from wherry.graph import DType, QuantizedValue, TensorType

SCHEMES = (
    "none, float16, float16-arithmetic, int8, int8-weights, int8-static, minmax:N or minmax:N:channel "
    "with N from 2 to 16"
)
HALVES = "float16-arithmetic"  # float16 weights, multiplied in half precision; see halves.py
STATIC = "int8-static"  # int8 weights, and activations of 8 bits too; see quantize/static


@dataclass(frozen=True)
class WeightScheme:
    """How weights are stored.

    format: "float16", "int8" or "minmax". bits: of a code. per_channel: one range for each output channel.
    integer: products are made in whole numbers, with activations quantized as they run, where outputs stay close.
    static: activations are codes too, with scales from samples.
    halves: products are made in half precision on CPUs that have it, where outputs stay close.
    """

    format: str
    bits: int
    per_channel: bool
    integer: bool = False
    static: bool = False
    halves: bool = False

    def __str__(self) -> str:
        if self.static:
            return STATIC
        if self.format == "int8" and not self.integer:
            return "int8-weights"
        if self.halves:
            return HALVES
        if self.format != "minmax":
            return self.format
        return f"minmax:{self.bits}" + (":channel" if self.per_channel else "")


FLOAT16 = WeightScheme("float16", 16, False)
INT16 = WeightScheme("int16", 16, True)  # of layers whose outputs show to need it
_LARGEST_CODE = {"int8": 127, "int16": 127 * 255 + 127}  # of int16, what two bytes can be (cpp/math/qgemm.h)


def parse_scheme(text: str | None) -> WeightScheme | None:
    """Reads what --quantize takes. None stands for float32 weights. Raises UsageError for anything else."""
    if text is None or text in ("none", "float32"):
        return None
    if not isinstance(text, str):
        raise UsageError(f"{text!r} is not a weight format; there are {SCHEMES}")
    if text == "float16":
        return FLOAT16
    if text == HALVES:
        return WeightScheme("float16", 16, False, halves=True)
    if text == STATIC:
        return WeightScheme("int8", 8, True, static=True)
    if text in ("int8", "int8-weights"):
        return WeightScheme("int8", 8, True, integer=text == "int8")
    match = re.fullmatch(r"minmax:(\d+)(:channel|:tensor)?", text)
    if match is None or not 2 <= int(match.group(1)) <= 16:
        raise UsageError(f"{text!r} is not a weight format; there are {SCHEMES}")
    return WeightScheme("minmax", int(match.group(1)), match.group(2) == ":channel")


def quantize(values: np.ndarray, scheme: WeightScheme, axis: int) -> QuantizedValue:
    """Codes of a float32 array. `axis` is the dimension of output channels.

    Raises ValueError when a value is not finite, or the range is not: it would not be one.
    """
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinity")
    kind = TensorType(DType.FLOAT, values.shape)
    if scheme.format == "float16":
        largest = float(np.finfo(np.float16).max)
        codes = np.clip(values, -largest, largest).astype(np.float16)
        return QuantizedValue(kind, codes, np.ones(1, np.float32), None, None, "float16", 16)
    others = tuple(i for i in range(values.ndim) if i != axis) if scheme.per_channel else None
    if scheme.format in _LARGEST_CODE:
        top = _LARGEST_CODE[scheme.format]
        scale = (np.abs(values).max(axis=others) / float(top)).astype(np.float32).reshape(-1)
        scale[scale < np.finfo(np.float32).tiny] = 1.0  # all zeros, or too small for a normal scale
        steps = _along(scale, values.ndim, axis)
        codes = np.rint(values / steps)
        np.clip(codes, -top, top, out=codes)
        kept = codes.astype(np.int8 if scheme.bits == 8 else np.int16)
        return QuantizedValue(kind, kept, scale, None, axis, scheme.format, scheme.bits)
    low = values.min(axis=others).astype(np.float32).reshape(-1)
    high = values.max(axis=others).astype(np.float32).reshape(-1)
    top = (1 << scheme.bits) - 1
    extent = high.astype(np.float64) - low
    if (extent > np.finfo(np.float32).max).any():
        raise ValueError("its range from minimum to maximum is wider than float32 can hold")
    scale = (extent / top).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1.0  # a constant tensor: every code is 0, the offset says it all
    channel = axis if scheme.per_channel else None
    codes = values - _along(low, values.ndim, channel)
    codes /= _along(scale, values.ndim, channel)
    np.rint(codes, out=codes)
    np.clip(codes, 0, top, out=codes)
    stored = codes.astype(np.uint8 if scheme.bits <= 8 else np.uint16)
    return QuantizedValue(kind, stored, scale, low, channel, "minmax", scheme.bits)


def _along(values: np.ndarray, rank: int, axis: int | None) -> np.ndarray:
    shape = [1] * rank
    if axis is not None:
        shape[axis] = -1
    return values.reshape(shape)
