"""LSTMs that multiply 8-bit codes, against the same steps in numpy and against the LSTM in float arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import FLOAT_ISAS, ISAS, run_kernel, untested
from integer_reference import product
from tolerance import assert_exact
from weights import make_weight
from wherry.graph.values import QuantizedValue
from wherry.pack.weights import pack_recurrent

# steps, batch, inputs, units: inputs that end inside of a group of four rows, more of them than units, more steps than
# a chunk, rows of which a few are left
SIZES = [
    *((3, 1, 8, 16), (5, 2, 7, 32), (140, 1, 33, 48), (2, 9, 1, 16), (1, 1, 6, 64), (4, 1, 6, 256)),
    *((6, 2, 70, 32), (67, 1, 21, 16), (3, 2, 5, 256)),
]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def make_inputs(size: tuple[int, int, int, int], zero_state: bool) -> tuple[dict[str, Any], QuantizedValue]:
    steps, batch, inputs, units = size
    generator = np.random.default_rng(size)
    weight = make_weight((inputs + units, 4 * units), "wi8", 8, axis=1)
    assert isinstance(weight, QuantizedValue)
    weight.scale[:] *= np.float32(0.5 / np.sqrt(inputs + units))

    def values(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32)

    state = np.zeros((batch, units), np.float32) if zero_state else values(batch, units)
    named = {
        "x": values(steps, batch, inputs), "cs": values(batch, units), "h": state, "w": pack_recurrent(weight),
        "wci": np.zeros(units, np.float32), "wcf": np.zeros(units, np.float32), "wco": np.zeros(units, np.float32),
        "b": values(4 * units),
    }  # fmt: skip
    return named, weight


def expected_states(named: dict[str, Any], weight: QuantizedValue, bits: int) -> np.ndarray:
    """h of each step; gates in the order i, f, ci, o of BlockLSTMV2."""
    inputs, h, cs = named["x"].shape[2], named["h"], named["cs"].astype(np.float64)
    states = []
    for x in named["x"]:
        gates = product(x, weight.codes[:inputs], weight.scale, bits) + named["b"]
        gates = product(h, weight.codes[inputs:], weight.scale, bits) + gates
        i, f, ci, o = np.split(gates, 4, axis=1)
        cs = np.tanh(ci.astype(np.float64)) * sigmoid(i) + sigmoid(f) * cs
        h = (sigmoid(o) * np.tanh(cs)).astype(np.float32)
        states.append(h)
    return np.stack(states)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("zero_state", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sequences(size: tuple[int, int, int, int], zero_state: bool, bits: int) -> None:
    steps, batch, _, units = size
    named, weight = make_inputs(size, zero_state)
    inputs = [np.array(steps, np.int64), *named.values()]
    wanted = [(np.float32, (steps, batch, units))] * 7
    expected = expected_states(named, weight, bits)
    attrs = {"activation_bits": bits}
    for isa in ISAS:
        first, *others = (run_kernel("BlockLSTMV2_f32_di8", inputs, attrs, wanted, n, isa)[6] for n in (1, 2, 3))
        for other in others:
            assert_exact(other, first)
        # A state within an ulp of a step's edge may take the next code: a step of 1 / 255, in a sum of 2 * units.
        np.testing.assert_allclose(first, expected, atol=2e-3 if bits == 8 else 1e-5)
        assert np.median(np.abs(first - expected)) < 1e-6
    floats = run_kernel("BlockLSTMV2_f32_wi8", inputs, {}, wanted, isa=FLOAT_ISAS[-1])[6]
    assert np.abs(first - floats).max() <= (0.02 if bits == 8 else 1e-4) * np.abs(floats).max()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_row_gets_the_same_bits_alone_and_in_a_batch(bits: int) -> None:
    steps, _, _, units = size = (3, 2, 6, 48)
    named, _ = make_inputs(size, False)
    for isa in ISAS:
        results = []
        for rows in (slice(0, 2), slice(0, 1), slice(1, 2)):
            some = {**named, "x": named["x"][:, rows], "cs": named["cs"][rows], "h": named["h"][rows]}
            wanted = [(np.float32, (steps, rows.stop - rows.start, units))] * 7
            inputs = [np.array(steps, np.int64), *some.values()]
            results.append(run_kernel("BlockLSTMV2_f32_di8", inputs, {"activation_bits": bits}, wanted, 1, isa)[6])
        assert_exact(np.concatenate(results[1:], axis=1), results[0])


def test_the_other_ops() -> None:
    named, _ = make_inputs((4, 3, 9, 16), False)
    length = np.array(4, np.int64)
    wanted = [(np.float32, (4, 3, 16))] * 7
    codes = run_kernel("BlockLSTM_f32_di8", [length, *named.values()], {}, wanted, 2)[6]
    floats = run_kernel("BlockLSTM_f32_wi8", [length, *named.values()], {}, wanted, 2)[6]
    assert np.abs(codes - floats).max() <= 0.02 * np.abs(floats).max()
    cell = named | {"x": named["x"][0]}
    wanted = [(np.float32, (3, 16))] * 7
    codes = run_kernel("LSTMBlockCell_f32_di8", list(cell.values()), {}, wanted, 2)[6]
    floats = run_kernel("LSTMBlockCell_f32_wi8", list(cell.values()), {}, wanted, 2)[6]
    assert np.abs(codes - floats).max() <= 0.02 * np.abs(floats).max()


def test_gates_begin_with_a_panel() -> None:
    named, _ = make_inputs((2, 1, 4, 24), True)
    with pytest.raises(RuntimeError, match="multiple of 16 units"):
        wanted = [(np.float32, (2, 1, 24))] * 7
        run_kernel("BlockLSTMV2_f32_di8", [np.array(2, np.int64), *named.values()], {}, wanted)


@pytest.mark.parametrize("split", [0, 9])
def test_sums_are_those_of_the_input(split: int) -> None:
    named, _ = make_inputs((2, 1, 8, 16), True)
    named["w"].split = split
    with pytest.raises(RuntimeError, match=f"weight 4 has sums of {split} rows, the input has 8; compile"):
        wanted = [(np.float32, (2, 1, 16))] * 7
        run_kernel("BlockLSTMV2_f32_di8", [np.array(2, np.int64), *named.values()], {}, wanted)


def test_every_kernel_was_tested() -> None:
    assert [key for key in untested("rnn") if key.endswith("_di8")] == []
