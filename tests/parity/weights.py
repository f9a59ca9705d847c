"""Weights for the parity tests: in every format, together with the float32 values that they stand for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from wherry.graph import DType, TensorType
from wherry.graph.values import ArrayValue, QuantizedValue, Value

# kernel key suffix, bits
FORMATS = [("wf32", 0), ("wf16", 16), ("wi8", 8)] + [("wmm", bits) for bits in (2, 3, 4, 7, 8, 11, 16)]
FEW_FORMATS = [("wf32", 0), ("wf16", 16), ("wi8", 8), ("wmm", 8), ("wmm", 5)]


def make_weight(shape: Sequence[int], suffix: str, bits: int, axis: int | None, seed: int = 0) -> Value:
    """A random weight of this format; its numpy() is what TensorFlow should compute with."""
    shape = tuple(shape)
    generator = np.random.default_rng([seed, *shape])
    if suffix == "wf32":
        return ArrayValue(generator.standard_normal(shape, np.float32))
    kind = TensorType(DType.FLOAT, shape)
    channels = 1 if axis is None else shape[axis]
    scale = generator.uniform(0.5, 2.0, channels).astype(np.float32)
    if suffix == "wf16":
        halves = generator.standard_normal(shape, np.float32).astype(np.float16)
        return QuantizedValue(kind, halves, scale, None, axis, "float16", 16)
    if suffix == "wi8":
        codes = generator.integers(-127, 128, shape, np.int8)
        return QuantizedValue(kind, codes, scale / np.float32(127), None, axis, "int8", 8)
    if suffix == "wi16":
        codes = generator.integers(-32512, 32513, shape, np.int16)
        return QuantizedValue(kind, codes, scale / np.float32(32512), None, axis, "int16", 16)
    levels = (1 << bits) - 1
    codes = generator.integers(0, levels + 1, shape).astype(np.uint8 if bits <= 8 else np.uint16)
    offset = generator.uniform(-1.5, 0.0, channels).astype(np.float32)
    return QuantizedValue(kind, codes, scale / np.float32(levels), offset, axis, "minmax", bits)
