"""Weights into panels and back: layout, bit packing, and one scale for each column."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from wherry.errors import PackError
from wherry.graph import DType, TensorType
from wherry.graph.values import ArrayValue, QuantizedValue
from wherry.pack.bits import pack_bits, unpack_bits
from wherry.pack.stored import Layout, StoredWeight
from wherry.pack.weights import pack_row_major, pack_weight, planes_of, unpack_weight

sys.path.append(str(Path(__file__).resolve().parents[1] / "parity"))
from weights import FORMATS, make_weight

SHAPES = {
    "Conv2D": ((3, 2, 5, 33), 3),
    "DepthwiseConv2dNative": ((3, 3, 7, 3), 2),
    "Conv2DBackpropInput": ((2, 3, 5, 9), 2),
    "MatMul": ((19, 47), 1),
}


@pytest.mark.parametrize("bits", range(2, 17))
def test_bits_lie_without_gaps_least_significant_first(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (70_000, 16)).astype(np.uint16)
    packed = pack_bits(codes.astype(np.uint8) if bits <= 8 else codes, bits)
    assert packed.shape[0] * packed.shape[1] == 70_000 * 2 * bits
    np.testing.assert_array_equal(unpack_bits(packed, bits), codes)
    number = int.from_bytes(packed[3].tobytes(), "little")
    assert [(number >> (i * bits)) & ((1 << bits) - 1) for i in range(16)] == codes[3].tolist()


@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
@pytest.mark.parametrize("op", SHAPES)
@pytest.mark.parametrize("per_channel", [True, False])
def test_round_trip(op: str, suffix: str, bits: int, per_channel: bool) -> None:
    shape, axis = SHAPES[op]
    value = make_weight(shape, suffix, bits, axis if per_channel else None)
    stored = pack_weight(op, value)
    quads = suffix == "wi8" and op != "DepthwiseConv2dNative"
    assert (stored.shape, stored.layout) == (shape, Layout.QUADS if quads else Layout.PANELS)
    np.testing.assert_array_equal(unpack_weight(op, stored), value.numpy())
    if suffix in ("wi8", "wmm"):
        assert stored.scale is not None and stored.scale.shape == (stored.channels,)


@pytest.mark.parametrize("op", ["Conv2D", "MatMul"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_codes_of_two_bytes(op: str, per_channel: bool) -> None:
    shape, axis = SHAPES[op]
    value = make_weight(shape, "wi16", 16, axis if per_channel else None)
    stored = pack_weight(op, value)
    assert (stored.shape, stored.layout) == (shape, Layout.QUADS)
    np.testing.assert_array_equal(unpack_weight(op, stored), value.numpy())
    assert isinstance(value, QuantizedValue) and stored.offset is not None
    high, low = (plane.reshape(-1, shape[-1]).sum(0, dtype=int) for plane in planes_of(value.codes))
    np.testing.assert_array_equal(stored.offset[: shape[-1]], high)
    np.testing.assert_array_equal(stored.offset[-(-shape[-1] // 16) * 16 :], low)


def test_both_bytes_of_a_code_are_within_127() -> None:
    codes = np.arange(-32512, 32513, dtype=np.int16)
    high, low = planes_of(codes)
    assert max(np.abs(high.astype(int)).max(), np.abs(low.astype(int)).max()) == 127
    np.testing.assert_array_equal(255 * high.astype(int) + low, codes)


def test_codes_of_two_bytes_are_for_products_only() -> None:
    for op in ("DepthwiseConv2dNative", "Conv2DBackpropInput"):
        with pytest.raises(PackError, match="no weights in codes of 16 bits"):
            pack_weight(op, make_weight(SHAPES[op][0], "wi16", 16, None))
    with pytest.raises(PackError, match="products only"):
        pack_row_major(make_weight((3, 4), "wi16", 16, None))


def test_panels_hold_sixteen_columns_padded_with_zeros() -> None:
    matrix = np.arange(3 * 20, dtype=np.float32).reshape(3, 20)
    stored = pack_weight("MatMul", ArrayValue(matrix))
    panels = np.frombuffer(stored.data, np.float32).reshape(2, 3, 16)
    np.testing.assert_array_equal(panels[0], matrix[:, :16])
    np.testing.assert_array_equal(panels[1, :, :4], matrix[:, 16:])
    assert not panels[1, :, 4:].any()


def test_quads_hold_four_rows_of_a_column_together_and_its_sum() -> None:
    value = make_weight((6, 20), "wi8", 8, axis=1)
    assert isinstance(value, QuantizedValue)
    stored = pack_weight("MatMul", value)
    quads = np.frombuffer(stored.data, np.int8).reshape(2, 2, 16, 4)
    np.testing.assert_array_equal(quads[0, 0], value.codes[:4, :16].T)
    np.testing.assert_array_equal(quads[1, 0, :4], value.codes[:4, 16:].T)
    np.testing.assert_array_equal(quads[0, 1, :, :2], value.codes[4:, :16].T)
    assert not quads[:, 1, :, 2:].any() and not quads[1, :, 4:].any()
    np.testing.assert_array_equal(stored.offset, value.codes.astype(np.int64).sum(axis=0))


def test_a_transposed_matrix_keeps_its_channels() -> None:
    value = make_weight((21, 8), "wi8", 8, axis=0)
    stored = pack_weight("MatMul", value, transpose=True)
    assert (stored.shape, stored.channels) == ((8, 21), 21)
    np.testing.assert_array_equal(unpack_weight("MatMul", stored), value.numpy().T)


@pytest.mark.parametrize("axis", [2, 3])
def test_depthwise_scales_are_expanded_over_the_multiplier(axis: int) -> None:
    value = make_weight((3, 3, 6, 4), "wmm", 5, axis)
    stored = pack_weight("DepthwiseConv2dNative", value)
    assert stored.channels == 24
    np.testing.assert_array_equal(unpack_weight("DepthwiseConv2dNative", stored), value.numpy())


@pytest.mark.parametrize("bits", [3, 8, 16])
def test_row_major_groups_run_through_the_rows(bits: int) -> None:
    value = make_weight((5, 7), "wmm", bits, axis=1)
    assert isinstance(value, QuantizedValue)
    stored = pack_row_major(value)
    assert (stored.shape, stored.layout, stored.axis, stored.channels) == ((5, 7), Layout.ROW_MAJOR, 1, 7)
    if bits == 3:
        assert len(stored.data) == 3 * 2 * bits
        codes = unpack_bits(np.frombuffer(stored.data, np.uint8).reshape(3, 2 * bits), bits)
        np.testing.assert_array_equal(codes.reshape(-1)[:35], value.codes.reshape(-1))
    else:
        assert stored.data == value.codes.tobytes()


@pytest.mark.parametrize(
    ("op", "shape", "axis", "message"),
    [
        ("Conv2D", (3, 3, 4, 8), 2, "conv: channels of a Conv2D weight do not run along dimension 2"),
        ("MatMul", (4, 8), 0, "channels of a MatMul weight"),
        ("MatMul", (4, 8, 2), 1, "has 2 dimensions, not 3"),
        ("Relu", (4, 8), 1, "Relu does not take a weight in panels"),
    ],
)
def test_says_what_does_not_fit(op: str, shape: tuple[int, ...], axis: int, message: str) -> None:
    with pytest.raises(PackError, match=message):
        pack_weight(op, make_weight(shape, "wi8", 8, axis), name="conv")


def test_refuses_other_types() -> None:
    with pytest.raises(PackError, match="must be float32, not float64"):
        pack_weight("MatMul", ArrayValue(np.zeros((2, 2))))
    codes = np.zeros((2, 2), np.uint8)
    value = QuantizedValue(TensorType(DType.FLOAT, (2, 2)), codes, np.ones(1, np.float32), None, None, "minmax", 1)
    with pytest.raises(PackError, match="2 to 16 bits, not 1"):
        pack_weight("MatMul", value)


def test_a_symmetric_minmax_has_offsets_of_zero() -> None:
    codes = np.arange(4, dtype=np.uint8).reshape(2, 2)
    value = QuantizedValue(TensorType(DType.FLOAT, (2, 2)), codes, np.ones(1, np.float32), None, None, "minmax", 8)
    stored: StoredWeight = pack_weight("MatMul", value)
    assert stored.offset is not None and not stored.offset.any()
