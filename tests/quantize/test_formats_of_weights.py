"""The weight formats: the paper's formula, the error that it allows, and values that are all alike, huge or missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wherry.errors import UsageError
from wherry.graph import QuantizedValue
from wherry.quantize.formats import WeightScheme, parse_scheme, quantize

_RNG = np.random.default_rng(2)


def _values(*shape: int) -> np.ndarray:
    return (_RNG.normal(size=shape) * 0.3 + 0.1).astype(np.float32)


def _minmax(values: np.ndarray, bits: int, axis: int | None) -> QuantizedValue:
    return quantize(values, WeightScheme("minmax", bits, axis is not None), axis or 0)


@pytest.mark.parametrize("bits", range(2, 17))
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_papers_formula(bits: int, axis: int | None) -> None:
    """code = round((x - min) / (max - min) * (2^N - 1)), in float64 but for ties that float32 cannot tell."""
    values = _values(40, 30)
    made = _minmax(values, bits, axis)
    wide = values.astype(np.float64)
    others = None if axis is None else 1 - axis
    low = wide.min(axis=others, keepdims=True)
    high = wide.max(axis=others, keepdims=True)
    exact = (wide - low) / (high - low) * (2**bits - 1)
    clear = np.abs(exact - np.floor(exact) - 0.5) > 1e-6 * 2**bits
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(made.codes[clear], np.rint(exact)[clear])
    assert np.abs(made.codes - exact).max() <= 0.5 + 1e-6 * 2**bits
    assert made.codes.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert made.codes.min() == 0
    assert made.codes.max() == 2**bits - 1
    step = (high - low) / (2**bits - 1)
    rounding = 4 * np.finfo(np.float32).eps * np.abs(wide).max()
    assert (np.abs(made.numpy() - wide) <= step / 2 * (1 + 1e-6 * 2**bits) + rounding).all()
    assert made.offset is not None
    np.testing.assert_array_equal(made.offset, low.astype(np.float32).reshape(-1))
    assert made.scale.size == (1 if axis is None else values.shape[axis])


@settings(max_examples=80, deadline=None)
@given(
    st.integers(2, 16), st.floats(-(2.0**90), 2.0**90, width=32), st.floats(2.0**-40, 2.0**90, width=32),
    st.integers(0, 99), st.booleans(),
)
def test_the_error_is_half_a_step(bits: int, low: float, extent: float, seed: int, per_channel: bool) -> None:
    values = (np.random.default_rng(seed).random((9, 16)) * extent + low).astype(np.float32)
    made = _minmax(values, bits, 1 if per_channel else None)
    wide = values.astype(np.float64)
    others = 0 if per_channel else None
    step = (wide.max(axis=others, keepdims=True) - wide.min(axis=others, keepdims=True)) / (2**bits - 1)
    rounding = 4 * np.finfo(np.float32).eps * np.abs(wide).max()
    assert (np.abs(made.numpy() - wide) <= step * (0.5 + 1e-6 * 2**bits) + rounding).all()


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_int8_per_channel(axis: int) -> None:
    values = _values(3, 4, 5, 6)
    made = quantize(values, WeightScheme("int8", 8, True), axis)
    others = tuple(i for i in range(4) if i != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    assert made.codes.dtype == np.int8
    assert np.abs(made.codes.astype(int)).max() == 127
    assert made.offset is None
    np.testing.assert_allclose(made.scale, largest.reshape(-1) / 127, rtol=1e-6)
    assert (np.abs(made.numpy() - values) <= largest / 127 * 0.5001).all()


def test_float16() -> None:
    values = np.array([1.0, -2.5, 1e-9, 65504.0, 1e9, -1e9, 0.1], np.float32)
    made = quantize(values, WeightScheme("float16", 16, False), 0)
    np.testing.assert_array_equal(
        made.numpy(), np.array([1.0, -2.5, 0.0, 65504.0, 65504.0, -65504.0, np.float16(0.1)], np.float32)
    )


@pytest.mark.parametrize("text", ["int8", "float16", "minmax:2", "minmax:8", "minmax:16:channel"])
@pytest.mark.parametrize("value", [0.0, -3.25, 1e-38, 1e-45])
def test_values_that_are_all_alike(text: str, value: float) -> None:
    scheme = parse_scheme(text)
    assert scheme is not None
    values = np.full((4, 20), value, np.float32)
    found = quantize(values, scheme, 1).numpy()
    assert np.isfinite(found).all()
    tolerance = 1e-6 * abs(value) + (1e-7 if text == "float16" else 2e-38)
    assert np.abs(found - values).max() <= tolerance


@pytest.mark.parametrize("text", ["minmax:2", "minmax:8", "minmax:12:channel", "int8"])
def test_huge_values(text: str) -> None:
    scheme = parse_scheme(text)
    assert scheme is not None
    values = np.linspace(-1.69e38, 1.69e38, 64, dtype=np.float64).astype(np.float32).reshape(32, 2)
    found = quantize(values, scheme, 1).numpy()
    step = 3.38e38 / (2**scheme.bits - 1)
    assert np.abs(found.astype(np.float64) - values).max() <= step * 0.51
    if scheme.format == "minmax":
        with pytest.raises(ValueError, match="wider than float32"):
            quantize(values * 2, scheme, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("text", ["int8", "float16", "minmax:7"])
def test_what_is_not_finite_has_no_range(bad: float, text: str) -> None:
    scheme = parse_scheme(text)
    assert scheme is not None
    values = _values(4, 4)
    values[2, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        quantize(values, scheme, 1)


@pytest.mark.parametrize("text", ["int4", "minmax", "minmax:1", "minmax:17", "minmax:8:row", "minmax:-3", "INT8", ""])
def test_unknown_formats(text: str) -> None:
    with pytest.raises(UsageError, match="is not a weight format; there are none, float16"):
        parse_scheme(text)


@pytest.mark.parametrize(
    ("text", "back"), [("int8", "int8"), ("minmax:8:tensor", "minmax:8"), ("minmax:16:channel", "minmax:16:channel")]
)
def test_formats_are_called_as_they_are_asked_for(text: str, back: str) -> None:
    assert str(parse_scheme(text)) == back


def test_no_format() -> None:
    assert parse_scheme(None) is parse_scheme("none") is parse_scheme("float32") is None
