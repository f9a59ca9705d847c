"""The planner counts a weight's bytes before they are made; the writer trusts it."""

from __future__ import annotations

import numpy as np
import pytest
from wherry.graph import ArrayValue, DType, QuantizedValue, TensorType, Value
from wherry.ops.rules import WeightUse
from wherry.pack.weights import pack_recurrent, pack_row_major, pack_weight
from wherry.plan.weight_size import part_sizes


def quantized(shape: tuple[int, ...], scheme: str, bits: int) -> QuantizedValue:
    kind = {"int8": np.int8, "float16": np.float16}.get(scheme, np.uint8 if bits <= 8 else np.uint16)
    codes = np.ones(shape, kind)
    one = np.ones(1, np.float32)
    offset = one if scheme == "minmax" else None
    return QuantizedValue(TensorType(DType.FLOAT, shape), codes, one, offset, None, scheme, bits)


def values(shape: tuple[int, ...]) -> list[Value]:
    schemes = [("int8", 8), ("float16", 16), *(("minmax", bits) for bits in range(2, 17))]
    return [ArrayValue(np.ones(shape, np.float32)), *(quantized(shape, *scheme) for scheme in schemes)]


def test_sizes_of_codes_of_two_bytes() -> None:
    for shape in [(5, 7), (16, 16), (33, 5), (1, 1), (2, 50)]:
        value = quantized(shape, "int16", 16)
        for use in (WeightUse.MATRIX, WeightUse.MATRIX_TRANSPOSED):
            panels = pack_weight("MatMul", value, transpose=use is WeightUse.MATRIX_TRANSPOSED)
            assert part_sizes(value, use) == [*padded(panels.scale), *padded(panels.offset), len(panels.data)]
    value = quantized((3, 2, 5, 7), "int16", 16)
    panels = pack_weight("Conv2D", value)
    assert part_sizes(value, WeightUse.FILTER) == [*padded(panels.scale), *padded(panels.offset), len(panels.data)]


def padded(array: np.ndarray | None) -> list[int]:
    return [] if array is None else [4 * 16 * -(-array.size // 16)]


@pytest.mark.parametrize("shape", [(5, 7), (16, 16), (33, 5), (1, 1), (2, 50)])
def test_sizes_are_those_of_the_bytes(shape: tuple[int, int]) -> None:
    for value in values(shape):
        rows = pack_row_major(value)
        assert part_sizes(value, WeightUse.ROWS) == [*padded(rows.scale), *padded(rows.offset), len(rows.data)]
        for use in (WeightUse.MATRIX, WeightUse.MATRIX_TRANSPOSED):
            panels = pack_weight("MatMul", value, transpose=use is WeightUse.MATRIX_TRANSPOSED)
            assert part_sizes(value, use) == [*padded(panels.scale), *padded(panels.offset), len(panels.data)]


@pytest.mark.parametrize(
    ("op", "use"),
    [
        ("Conv2D", WeightUse.FILTER),
        ("DepthwiseConv2dNative", WeightUse.DEPTHWISE),
        ("Conv2DBackpropInput", WeightUse.FILTER_TRANSPOSED),
    ],
)
def test_sizes_of_filters(op: str, use: WeightUse) -> None:
    for value in values((3, 2, 5, 7)):
        panels = pack_weight(op, value)
        assert part_sizes(value, use) == [*padded(panels.scale), *padded(panels.offset), len(panels.data)]


@pytest.mark.parametrize("shape", [(3, 3, 5, 1), (5, 5, 64, 1), (4, 1, 65, 1), (1, 7, 200, 1)])
def test_sizes_of_depthwise_filters_in_whole_numbers(shape: tuple[int, ...]) -> None:
    value = quantized(shape, "int8", 8)
    taps = pack_weight("QLinearDepthwiseConv2d", value)
    assert part_sizes(value, WeightUse.TAPS) == [*padded(taps.scale), *padded(taps.offset), len(taps.data)]


@pytest.mark.parametrize("shape", [(16 + 16, 64), (7 + 32, 128), (48, 192)])
def test_sizes_of_lstms_in_whole_numbers(shape: tuple[int, int]) -> None:
    value = quantized(shape, "int8", 8)
    stored = pack_recurrent(value)
    assert stored.split == shape[0] - shape[1] // 4
    assert part_sizes(value, WeightUse.RECURRENT) == [*padded(stored.scale), *padded(stored.offset), len(stored.data)]
