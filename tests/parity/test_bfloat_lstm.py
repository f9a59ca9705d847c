"""LSTM kernels whose input products AMX makes from products of bfloat16: closer to the exact sums than those of floats,
the floats' own where sums are not finite, and the same bits however the work is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import run_kernel
from tolerance import assert_exact, assert_sums
from wherry.graph.values import ArrayValue
from wherry.pack.weights import pack_weight
from wherry.runtime import single_kernel

ISAS = single_kernel.isas()
AMX, FLOATS = ISAS.get("AMX", 0), ISAS.get("AVX-512", 0)
OUTPUTS = 7
CI = 4  # tanh of the third gate's sums

pytestmark = pytest.mark.skipif("AMX" not in ISAS, reason="this CPU has no AMX")


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def arguments(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None, h: np.ndarray | None = None) -> list[Any]:
    steps, batch, _ = x.shape
    units = w.shape[1] // 4
    zeros, none = np.zeros((batch, units), np.float32), np.zeros(units, np.float32)
    whole = np.concatenate([w, values(units, 4 * units, seed=9) / np.float32(units)])
    b = np.zeros(4 * units, np.float32) if bias is None else bias
    stored = pack_weight("MatMul", ArrayValue(whole))
    return [np.int64(steps), x, zeros, zeros if h is None else h, stored, none, none, none, b]


def run(inputs: list[Any], isa: int, threads: int = 1, suffix: str = "wf32") -> list[np.ndarray]:
    steps, batch, _ = inputs[1].shape
    wanted = [(np.float32, (steps, batch, inputs[2].shape[1]))] * OUTPUTS
    return run_kernel(f"BlockLSTMV2_f32_{suffix}", inputs, {}, wanted, threads, isa)


def operands(kind: str, rows: int, inputs: int, units: int) -> tuple[np.ndarray, np.ndarray]:
    if kind == "positive":
        return abs(values(1, rows, inputs)), abs(values(inputs, 4 * units, seed=1))
    x, w = values(1, rows, inputs), values(inputs, 4 * units, seed=1)
    if kind == "cancelling":  # sums are 1e-5 of what is added
        half = inputs // 2
        x[..., half:] = x[..., :half] * (1 + np.float32(1e-4) * values(1, rows, half, seed=2))
        w[half:] = -w[:half]
    return x, w


@pytest.mark.parametrize("inputs", [64, 500])
@pytest.mark.parametrize("kind", ["random", "positive", "cancelling"])
def test_sums_are_closer_than_those_of_floats(kind: str, inputs: int) -> None:
    x, w = operands(kind, 96, inputs, 32)
    exact = x[0].astype(np.float64) @ w.astype(np.float64)
    scale = np.float32(2.0 ** -np.ceil(np.log2(abs(exact).max() / 0.05)))  # where tanh is nearly a line
    ci = exact[:, 64:96] * scale
    errors = []
    for isa in (AMX, FLOATS):
        error = np.arctanh(run(arguments(x, w * scale), isa)[CI][0].astype(np.float64)) - ci
        errors.append((abs(error).max(), np.sqrt((error**2).mean())))
    assert errors[0][0] <= errors[1][0]
    assert errors[0][1] <= errors[1][1]


@pytest.mark.parametrize(
    "size", [(64, 1, 64, 16), (70, 1, 77, 24), (13, 5, 100, 40), (1, 300, 70, 64), (140, 1, 300, 48)]
)
def test_bits_do_not_depend_on_how_work_is_cut(size: tuple[int, int, int, int]) -> None:
    """run_kernel has it made in little memory too: steps in small chunks."""
    steps, batch, inputs, units = size
    x, w = values(steps, batch, inputs), values(inputs, 4 * units) / np.float32(np.sqrt(inputs))
    given = arguments(x, w, values(4 * units, seed=3), values(batch, units, seed=4))
    expected = run(given, AMX)
    for threads in (2, 3):
        for result, reference in zip(run(given, AMX, threads), expected, strict=True):
            assert_exact(result, reference)
    plain = run(given, FLOATS)
    assert any(a.tobytes() != b.tobytes() for a, b in zip(expected, plain, strict=True))
    for result, reference in zip(expected, plain, strict=True):
        assert_sums(result, reference, 1.0 + np.abs(reference))


def test_a_row_has_the_same_bits_alone_and_in_a_batch() -> None:
    x, w = values(65, 3, 80), values(80, 4 * 32) / np.float32(9)
    together = run(arguments(x, w), AMX)
    for row in range(3):
        for result, reference in zip(run(arguments(x[:, row : row + 1], w), AMX), together, strict=True):
            assert_exact(result[:, 0], reference[:, row])


@pytest.mark.parametrize("size", [(63, 1, 64, 16), (64, 1, 63, 16), (64, 1, 64, 20)])
def test_small_layers_keep_the_bits_of_floats(size: tuple[int, int, int, int]) -> None:
    steps, batch, inputs, units = size
    given = arguments(values(steps, batch, inputs), values(inputs, 4 * units) / np.float32(8))
    for result, reference in zip(run(given, AMX), run(given, FLOATS), strict=True):
        assert_exact(result, reference)


def test_numbers_that_are_not_finite_or_overflow() -> None:
    rows, inputs, units = 70, 72, 32
    x, w = values(1, rows, inputs), values(inputs, 4 * units) / np.float32(9)
    x[0, 3, 5], x[0, 9, 71], x[0, 11, 0] = np.inf, np.nan, -np.inf
    x[0, 17, 2:5] = 3e38, 3e38, -3e38
    x[0, 18, 1] = np.array(0x7F800001, np.uint32).view(np.float32)  # its upper half is infinity
    x[0, 30, 4], x[0, 31, 4] = 1e-42, 2e-38
    w[7, 40], w[8, 70], w[71, 33], w[9, 100] = np.inf, np.nan, 3e38, 1e-42
    given = arguments(x, w)
    with np.errstate(all="ignore"):
        sums = x[0].astype(np.float64) @ w.astype(np.float64)
    assert 100 < np.count_nonzero(~np.isfinite(sums)) < 2000
    for threads in (1, 2):
        for result, reference in zip(run(given, AMX, threads), run(given, FLOATS), strict=True):
            np.testing.assert_array_equal(np.isnan(result), np.isnan(reference))
            there = ~np.isnan(reference)
            assert_sums(result[there], reference[there], 1.0 + np.abs(reference[there]))
