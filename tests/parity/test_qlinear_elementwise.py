"""Sums, products, tables, pooling and conversions of 8-bit codes against their exact arithmetic in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from code_arithmetic import Scale, codes, limits, scales
from harness import ISAS, run_kernel, untested
from tolerance import assert_exact

A, B, OUT = (0.03, 12), (0.11, 200), (0.07, 90)
F = np.float32
SHAPES = [(1, 7), (2, 5, 9, 3), (1, 64, 64, 16), (3, 40, 70, 13)]


def random_codes(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, 256, shape, np.uint8)


def check(key: str, inputs: list[np.ndarray], attrs: dict[str, Any], expected: np.ndarray) -> None:
    for isa in ISAS:
        for threads in (1, 2, 3):
            (found,) = run_kernel(key, inputs, attrs, [(expected.dtype.type, expected.shape)], threads, isa)
            assert_exact(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_quantize(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32) * 6
    values.reshape(-1)[:5] = [0, 1e30, -1e30, 3e5, -3e5]
    expected = np.clip(np.rint(values * (F(1) / F(OUT[0]))) + OUT[1], 0, 255).astype(np.uint8)
    check("QuantizeLinear_f32_u8", [values], scales(output=OUT), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_dequantize(shape: tuple[int, ...]) -> None:
    held = random_codes(shape)
    expected = (held.astype(np.float32) - F(A[1])) * F(A[0])
    check("DequantizeLinear_u8_f32", [held], scales(input=A), expected)


@pytest.mark.parametrize("activation", ["", "Relu", "Relu6"])
@pytest.mark.parametrize("shape", SHAPES)
def test_add(shape: tuple[int, ...], activation: str) -> None:
    a, b = random_codes(shape), random_codes(shape, 1)
    factor_a, factor_b = F(A[0]) / F(OUT[0]), F(B[0]) / F(OUT[0])
    offset = F(OUT[1]) - (F(A[1]) * factor_a + F(B[1]) * factor_b)
    values = a.astype(F) * factor_a + (b.astype(F) * factor_b + offset)
    attrs = {"activation": activation, **scales(input=A, other=B, output=OUT)}
    check("QLinearAdd_u8", [a, b], attrs, codes(values, limits(activation, OUT)))


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_mul(shape: tuple[int, ...], gate: bool) -> None:
    a = random_codes(shape)
    b = random_codes((shape[0], *[1] * (len(shape) - 2), shape[-1]) if gate else shape, 1)
    factor = F(A[0]) * F(B[0]) / F(OUT[0])
    values = (a.astype(F) - F(A[1])) * ((b.astype(F) - F(B[1])) * factor) + F(OUT[1])
    check("QLinearMul_u8", [a, b], scales(input=A, other=B, output=OUT), codes(values))


@pytest.mark.parametrize("shape", [*SHAPES, (100_001,)])
def test_lookup(shape: tuple[int, ...]) -> None:
    table = np.random.default_rng(3).integers(0, 256, 256, np.uint8)
    held = random_codes(shape)
    check("QLinearLookup_u8", [held, table], {}, table[held])


def mean_codes(sums: np.ndarray, counts: np.ndarray | int, source: Scale, output: Scale) -> np.ndarray:
    ratio = F(source[0]) / F(output[0])
    offset = F(output[1]) - F(source[1]) * ratio
    return codes(sums.astype(F) * (ratio / F(counts)) + offset)


@pytest.mark.parametrize("shape", [(1, 7, 7, 1024), (2, 1, 3, 5), (3, 33, 40, 72), (1, 112, 112, 130)])
@pytest.mark.parametrize("keep", [False, True])
def test_mean(shape: tuple[int, ...], keep: bool) -> None:
    held = random_codes(shape)
    sums = held.sum(axis=(1, 2), dtype=np.int64, keepdims=keep)
    expected = mean_codes(sums, shape[1] * shape[2], A, OUT)
    check("QLinearMean_u8", [held], {"keep_dims": int(keep), **scales(input=A, output=OUT)}, expected)


POOLINGS = [((1, 9, 8, 5), 2, 2, "VALID"), ((2, 12, 13, 70), 3, 2, "SAME"), ((1, 8, 8, 64), 3, 1, "SAME")]


@pytest.mark.parametrize("case", POOLINGS)
@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pooling(case: tuple[tuple[int, ...], int, int, str], kind: str) -> None:
    import tensorflow as tf

    shape, size, stride, padding = case
    held = random_codes(shape)
    attrs = {"ksize": [1, size, size, 1], "strides": [1, stride, stride, 1], "padding": padding}
    wide = tf.constant(held.astype(np.float64))
    if kind == "max":
        expected = tf.raw_ops.MaxPool(input=wide, **attrs).numpy().astype(np.uint8)
        check("MaxPool_u8", [held], attrs, expected)
        return
    means = tf.raw_ops.AvgPool(value=wide, **attrs).numpy()
    sums, counts = windows(held, size, stride, padding)
    assert np.allclose(sums / counts, means)
    expected = mean_codes(sums, counts.astype(F), A, OUT)
    check("QLinearAvgPool_u8", [held], {**attrs, **scales(input=A, output=OUT)}, expected)


def windows(held: np.ndarray, size: int, stride: int, padding: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums over windows, and how many elements each has."""
    pads = []
    for n in held.shape[1:3]:
        needed = max((-(-n // stride) - 1) * stride + size - n, 0) if padding == "SAME" else 0
        pads.append((needed // 2, needed - needed // 2))

    def sums(array: np.ndarray) -> np.ndarray:
        padded = np.pad(array, ((0, 0), *pads, (0, 0)))
        view = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
        return view[:, ::stride, ::stride].sum(axis=(-1, -2))

    return sums(held.astype(np.int64)), sums(np.ones(held.shape, np.int64))


@pytest.mark.parametrize("bad", [{"output_scale": 0.0}, {"output_scale": float("nan")}, {"output_zero": 256}])
def test_refuses_what_says_no_scale(bad: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match="output_scale and output_zero say no scale"):
        run_kernel(
            "QuantizeLinear_f32_u8", [np.zeros((1, 3), np.float32)], {**scales(output=OUT), **bad},
            [(np.uint8, (1, 3))],
        )


def test_every_kernel_was_tested() -> None:
    files = {"quantize_linear.cc", "dequantize_linear.cc", "add.cc", "mul.cc", "lookup.cc", "mean.cc", "max_pool.cc",
             "avg_pool.cc"}  # fmt: skip
    assert untested("quantized", files) == []
