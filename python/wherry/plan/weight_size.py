"""How many bytes a constant takes in a pack, without making them."""

from __future__ import annotations

import math

from wherry.graph import QuantizedValue, Value
from wherry.ops.rules import WeightUse
from wherry.pack import float28

PANEL = 16
QUAD = 4
TAP_CHANNELS = 64


def matrix_shape(shape: tuple[int, ...], use: WeightUse) -> tuple[int, int]:
    """(K, N) of a weight that is stored in panels."""
    if use in (WeightUse.MATRIX, WeightUse.RECURRENT):
        return math.prod(shape[:-1]), shape[-1]
    if use is WeightUse.MATRIX_TRANSPOSED:
        return math.prod(shape[1:]), shape[0]
    if use is WeightUse.FILTER:
        return math.prod(shape[:-1]), shape[-1]
    if use in (WeightUse.DEPTHWISE, WeightUse.TAPS):
        return shape[0] * shape[1], shape[2] * shape[3]
    if use is WeightUse.FILTER_TRANSPOSED:
        return shape[3], math.prod(shape[:3])
    raise ValueError(f"{use} is not stored in panels")


def in_quads(value: Value, use: WeightUse) -> bool:
    """Whether a weight lies in groups of four rows, with the sums of its columns: bytes of codes that products read."""
    rows = (WeightUse.PLAIN, WeightUse.ROWS, WeightUse.DEPTHWISE)
    return isinstance(value, QuantizedValue) and value.format in ("int8", "int16") and use not in rows


def part_sizes(value: Value, use: WeightUse) -> list[int]:
    """Bytes of what a weight puts into its segment, in order: scales, offsets or sums (where it has them), elements."""
    shape = tuple(int(d or 0) for d in value.type.shape or ())
    if use is WeightUse.RECURRENT and not isinstance(value, QuantizedValue):
        return [float28.stored_size(value.numpy())]
    if use in (WeightUse.PLAIN, WeightUse.ROWS):
        elements = math.prod(shape)
        axis = value.axis if isinstance(value, QuantizedValue) and value.axis is not None else -1
        channels = shape[axis] if shape else 1
    else:
        rows, columns = matrix_shape(shape, use)
        if use is WeightUse.TAPS:
            rows, padded = -(-shape[0] // QUAD) * QUAD * shape[1], -(-columns // TAP_CHANNELS) * TAP_CHANNELS
        else:
            padded = _groups(columns) * PANEL
        if in_quads(value, use):
            rows = -(-rows // QUAD) * QUAD
        elements = rows * padded
        channels = columns
    if not isinstance(value, QuantizedValue):
        return [elements * value.type.dtype.size]
    arrays = {"float16": 0, "int8": 1, "minmax": 2, "int16": 1}[value.format]
    sums = value.bits // 8 if in_quads(value, use) else 0  # of each plane of bytes
    sums += use is WeightUse.RECURRENT  # of the input's rows
    whole_bytes = value.bits in (8, 16)  # in rows these stand one after another, other codes in groups of 16
    size = elements * value.bits // 8 if whole_bytes else 2 * value.bits * _groups(elements)
    array = 4 * PANEL * _groups(channels)
    return [array] * arrays + ([array * sums] if sums else []) + [size]


def stored_bytes(value: Value, use: WeightUse) -> int:
    """Bytes that a weight takes in its segment, each part rounded up to the alignment that the pack gives it."""
    return sum(-(-size // 64) * 64 for size in part_sizes(value, use))


def _groups(count: int) -> int:
    return -(-count // PANEL)
