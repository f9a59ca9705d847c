"""Kernels that multiply halves: their arithmetic to the bit, and float32 where the CPU has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from half_reference import patches, product
from harness import HALF_ISAS, ISAS, run_kernel, untested
from tolerance import assert_exact
from weights import make_weight
from wherry.graph.values import QuantizedValue
from wherry.pack.weights import pack_weight
from wherry.runtime.single_kernel import StoredWeight

LARGEST = 65504.0
# M, K, N: tiles, panels and folds that are whole and cut; few rows and many; more rows than are packed at once
SIZES = [
    (1, 16, 16), (1, 300, 1000), (1, 2000, 40), (2, 70, 130), (3, 257, 129), (4, 64, 64), (5, 1, 1), (6, 30, 17),
    (13, 100, 31), (15, 512, 33), (16, 513, 300), (17, 63, 32), (29, 19, 65), (48, 130, 48), (97, 640, 47),
    (300, 1030, 20), (0, 4, 5), (3, 0, 5),
]  # fmt: skip


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32) + np.float32(0.3)


def halves(shape: tuple[int, ...], op: str) -> tuple[np.ndarray, StoredWeight]:
    weight = make_weight(shape, "wf16", 16, axis=len(shape) - 1)
    assert isinstance(weight, QuantizedValue)
    return weight.codes, pack_weight(op, weight)


def run_everywhere(key: str, inputs: list[Any], attrs: dict[str, Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    if not HALF_ISAS:
        pytest.skip("this CPU has no arithmetic of halves")
    return [
        run_kernel(key, inputs, {"half_limit": LARGEST} | attrs, [(np.float32, shape)], threads, isa)[0]
        for isa in HALF_ISAS for threads in (1, 2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matrices(size: tuple[int, int, int]) -> None:
    m, k, n = size
    a = values(m, k)
    codes, stored = halves((k, n), "MatMul")
    for c in run_everywhere("MatMul_f32_hf16", [a, stored], {}, (m, n)):
        assert_exact(c, product(a, codes, LARGEST))


def test_transposed_rows_bias_and_activation() -> None:
    a, bias = values(70, 40), values(50, seed=1)
    codes, stored = halves((70, 50), "MatMul")
    expected = product(np.ascontiguousarray(a.T), codes, LARGEST) + bias
    attrs = {"activation": "Relu6", "transpose_a": 1}
    for c in run_everywhere("MatMul_f32_hf16", [a, stored, bias], attrs, (40, 50)):
        assert_exact(c, np.clip(expected, 0, 6))
    swish = run_everywhere("MatMul_f32_hf16", [a, stored, bias], {"activation": "Swish", "transpose_a": 1}, (40, 50))
    for c in swish:
        np.testing.assert_allclose(c, expected / (1 + np.exp(-expected.astype(np.float64))), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 300.0])
def test_small_and_large_values(scale: float) -> None:
    """Halves become subnormal and stay finite; what is beyond the limit counts as the limit."""
    a = values(20, 200) * np.float32(scale)
    a[3, 5], a[4, 6] = 1e30, -np.inf
    codes, stored = halves((200, 40), "MatMul")
    limit = 200.0
    expected = product(a, codes, limit)
    assert np.isfinite(expected).all()
    for c in run_everywhere("MatMul_f32_hf16", [a, stored], {"half_limit": limit}, (20, 40)):
        assert_exact(c, expected)


def test_nan_passes() -> None:
    a = values(3, 40)
    a[1, 5] = np.nan
    codes, stored = halves((40, 24), "MatMul")
    for c in run_everywhere("MatMul_f32_hf16", [a, stored], {}, (3, 24)):
        assert np.isnan(c[1]).all()
        assert_exact(c[[0, 2]], product(a[[0, 2]], codes, LARGEST))


def test_error_does_not_grow_with_depth() -> None:
    a = values(9, 20000)
    codes, stored = halves((20000, 32), "MatMul")
    exact = a.astype(np.float64) @ codes.astype(np.float64)
    for c in run_everywhere("MatMul_f32_hf16", [a, stored], {}, (9, 32)):
        assert np.sqrt(np.mean((c - exact) ** 2)) < 2e-3 * np.sqrt(np.mean(exact**2))


CONVOLUTIONS = [
    # image, filter, stride
    ((2, 8, 8, 5), (1, 1, 5, 33), 1),
    ((1, 13, 9, 70), (1, 1, 70, 80), 1),
    ((2, 9, 8, 64), (1, 1, 64, 17), 2),
    ((1, 14, 14, 16), (3, 3, 16, 32), 2),
    ((1, 30, 31, 3), (7, 7, 3, 24), 2),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions(case: tuple[Any, ...]) -> None:
    shape, size, stride = case
    image = values(*shape)
    codes, stored = halves(size, "Conv2D")
    rows = patches(image, size[:2], stride)
    outs = [-(-length // stride) for length in shape[1:3]]
    expected = product(rows, codes.reshape(-1, size[3]), LARGEST).reshape(shape[0], *outs, size[3])
    attrs = {"strides": [1, stride, stride, 1], "padding": "SAME"}
    for y in run_everywhere("Conv2D_f32_hf16", [image, stored], attrs, expected.shape):
        assert_exact(y, expected)
    bias, residual = values(size[3], seed=2), values(*expected.shape, seed=3)
    expected = np.maximum(expected + bias + residual, 0)
    fused = attrs | {"activation": "Relu"}
    for y in run_everywhere("FusedConv2DAdd_f32_hf16", [image, stored, bias, residual], fused, expected.shape):
        assert_exact(y, expected)


GROUPED = ((1, 9, 9, 8), (3, 3, 4, 16))


@pytest.mark.parametrize("case", [*(c[:2] for c in CONVOLUTIONS), ((1, 12, 12, 48), (3, 3, 48, 48)), GROUPED], ids=str)
def test_float_arithmetic_elsewhere(case: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """CPUs without arithmetic of halves, Winograd's transforms and groups give what float16 weights give."""
    shape, size = case
    image = values(*shape)
    _, stored = halves(size, "Conv2D")
    attrs = {"strides": [1, 1, 1, 1], "padding": "SAME"}
    output = [(np.float32, (*shape[:3], size[3]))]
    everywhere = size[0] == 3 and case != CONVOLUTIONS[3][:2]
    bias, residual = values(size[3], seed=2), values(*output[0][1], seed=3)
    for isa in ISAS if everywhere else set(ISAS) - set(HALF_ISAS):
        for op, more in (("Conv2D", []), ("FusedConv2DAdd", [bias, residual])):
            inputs = [image, stored, *more]
            (expected,) = run_kernel(f"{op}_f32_wf16", inputs, attrs, output, 1, isa)
            (y,) = run_kernel(f"{op}_f32_hf16", inputs, attrs | {"half_limit": LARGEST}, output, 2, isa)
            assert_exact(y, expected)


def test_matrices_in_float_arithmetic_elsewhere() -> None:
    a = values(20, 70)
    _, stored = halves((70, 33), "MatMul")
    for isa in set(ISAS) - set(HALF_ISAS):
        (expected,) = run_kernel("MatMul_f32_wf16", [a, stored], {}, [(np.float32, (20, 33))], 1, isa)
        (c,) = run_kernel("MatMul_f32_hf16", [a, stored], {"half_limit": 1.0}, [(np.float32, (20, 33))], 2, isa)
        assert_exact(c, expected)


@pytest.mark.parametrize("limit", [None, 0.0, -1.0, 65536.0, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(limit: float | None) -> None:
    _, stored = halves((70, 33), "MatMul")
    attrs = {} if limit is None else {"half_limit": limit}
    with pytest.raises(RuntimeError, match="half_limit must be above 0"):
        run_kernel("MatMul_f32_hf16", [values(2, 70), stored], attrs, [(np.float32, (2, 33))])


def test_every_kernel_was_tested() -> None:
    assert [key for key in untested("nn", ["conv_2d.cc", "mat_mul.cc"]) if key.endswith("_hf16")] == []
