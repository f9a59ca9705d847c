"""MatMul, BatchMatMulV2 and BiasAdd against TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from tolerance import assert_exact, assert_sums
from weights import FEW_FORMATS, FORMATS, make_weight
from wherry.pack.weights import pack_weight

# M, K, N: tiles, panels and blocks that are whole and cut; one row and few rows; nothing to add or to store
SIZES = [
    (1, 16, 16), (1, 300, 1000), (1, 2000, 40), (2, 70, 130), (3, 257, 129), (4, 64, 64), (5, 1, 1),
    (6, 30, 17), (13, 100, 31), (14, 256, 32), (15, 512, 33), (16, 513, 300), (29, 19, 65), (40, 700, 150),
    (97, 640, 47), (29, 70, 24), (60, 1100, 40), (9, 300, 72),  # half of the last panel
    (0, 4, 5), (4, 0, 5), (4, 5, 0),
]  # fmt: skip


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape, np.float32)


def run_everywhere(key: str, inputs: list[Any], attrs: dict[str, Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    """One result for each instruction set, after checking that threads do not change its bits."""
    results = []
    for isa in FLOAT_ISAS:
        first, *others = (
            run_kernel(key, inputs, attrs, [(np.float32, shape)], threads, isa)[0] for threads in (1, 2, 3)
        )
        for other in others:
            assert_exact(other, first)
        results.append(first)
    return results


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_weights(size: tuple[int, int, int], suffix: str, bits: int) -> None:
    m, k, n = size
    a = values(m, k)
    weight = make_weight((k, n), suffix, bits, axis=1)
    expected = a.astype(np.float64) @ weight.numpy().astype(np.float64)
    magnitude = np.abs(a) @ np.abs(weight.numpy())
    for c in run_everywhere(f"MatMul_f32_{suffix}", [a, pack_weight("MatMul", weight)], {}, (m, n)):
        assert_sums(c, expected.astype(np.float32), magnitude)


@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_every_format_in_transposed_weights(suffix: str, bits: int, per_channel: bool) -> None:
    import tensorflow as tf

    a, bias = values(90, 5), values(50)
    weight = make_weight((50, 90), suffix, bits, axis=0 if per_channel else None)
    linear = tf.nn.bias_add(tf.raw_ops.MatMul(a=a, b=weight.numpy(), transpose_a=True, transpose_b=True), bias)
    expected = tf.nn.tanh(linear).numpy()
    magnitude = np.abs(a.T) @ np.abs(weight.numpy().T) + np.abs(bias)
    stored = pack_weight("MatMul", weight, transpose=True)
    assert stored.shape == (90, 50)
    attrs = {"transpose_a": True, "activation": "Tanh"}
    for c in run_everywhere(f"MatMul_f32_{suffix}", [a, stored, bias], attrs, (5, 50)):
        assert_sums(c, expected, magnitude)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_two_operands(size: tuple[int, int, int], transpose_a: bool, transpose_b: bool) -> None:
    import tensorflow as tf

    m, k, n = size
    a = values(k, m) if transpose_a else values(m, k)
    b = values(n, k) if transpose_b else values(k, n)
    attrs = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    expected = tf.raw_ops.MatMul(a=a, b=b, **attrs).numpy()
    magnitude = tf.raw_ops.MatMul(a=np.abs(a), b=np.abs(b), **attrs).numpy()
    for c in run_everywhere("MatMul_f32", [a, b], attrs, (m, n)):
        assert_sums(c, expected, magnitude)


@pytest.mark.parametrize(
    ("x_shape", "y_shape"),
    [
        ((3, 4, 5), (3, 5, 6)),
        ((2, 3, 17, 33), (2, 3, 33, 20)),
        ((2, 1, 8, 64), (1, 5, 64, 7)),
        ((9, 10), (4, 10, 11)),
        ((4, 2, 9, 10), (10, 11)),
        ((2, 3, 1, 40), (3, 40, 50)),
        ((1, 70, 90), (1, 90, 80)),
        ((0, 3, 4), (0, 4, 5)),
    ],
)
@pytest.mark.parametrize("adj_x", [False, True])
@pytest.mark.parametrize("adj_y", [False, True])
def test_batches(x_shape: tuple[int, ...], y_shape: tuple[int, ...], adj_x: bool, adj_y: bool) -> None:
    import tensorflow as tf

    x, y = values(*x_shape), values(*y_shape)
    if adj_x:
        x = np.ascontiguousarray(np.swapaxes(x, -1, -2))
    if adj_y:
        y = np.ascontiguousarray(np.swapaxes(y, -1, -2))
    attrs = {"adj_x": adj_x, "adj_y": adj_y}
    expected = tf.raw_ops.BatchMatMulV2(x=x, y=y, **attrs).numpy()
    magnitude = tf.raw_ops.BatchMatMulV2(x=np.abs(x), y=np.abs(y), **attrs).numpy()
    for z in run_everywhere("BatchMatMulV2_f32", [x, y], attrs, expected.shape):
        assert_sums(z, expected, magnitude)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5, 7, 33), (1, 100, 100, 8), (0, 3)])
def test_bias_add(shape: tuple[int, ...]) -> None:
    import tensorflow as tf

    x, bias = values(*shape), values(shape[-1])
    expected = tf.raw_ops.BiasAdd(value=x, bias=bias).numpy()
    for threads in (1, 3):
        (y,) = run_kernel("BiasAdd_f32", [x, bias], {}, [(np.float32, shape)], threads)
        assert_exact(y, expected)
    if len(shape) == 4:
        (y,) = run_kernel("BiasAdd_f32", [x, values(shape[1])], {"data_format": "NCHW"}, [(np.float32, shape)])
        assert_exact(y, x + values(shape[1]).reshape(-1, 1, 1))


@pytest.mark.parametrize(
    ("key", "inputs", "shape", "message"),
    [
        ("MatMul_f32", [(3, 4), (5, 6)], (3, 6), "input 1 does not fit"),
        ("MatMul_f32", [(3, 4), (4, 6)], (3, 7), "input 1 does not fit"),
        ("MatMul_f32", [(3, 4), (4, 6)], (2, 6), "differ in rows"),
        ("MatMul_f32", [(3, 4), (4, 6), (5,)], (3, 6), "bias must have 6 values"),
        ("MatMul_f32", [(3, 4, 1), (4, 6)], (3, 6), "rank 2"),
        ("MatMul_f32_wf32", [(3, 4), (4, 6)], (3, 6), "not stored in panels"),
        ("BatchMatMulV2_f32", [(2, 3, 4), (3, 4, 5)], (2, 3, 5), "do not fit"),
        ("BatchMatMulV2_f32", [(2, 3, 4), (1, 4, 5)], (3, 3, 5), "do not fit"),
        ("BatchMatMulV2_f32", [(1, 3, 4), (1, 4, 5)], (3, 3, 5), "output's batch"),
        ("BatchMatMulV2_f32", [(4,), (4, 5)], (5,), "ranks"),
        ("BiasAdd_f32", [(2, 3), (2,)], (2, 3), "bias must have 3 values"),
    ],
)
def test_refuses_what_does_not_fit(
    key: str, inputs: list[tuple[int, ...]], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        run_kernel(key, [values(*one) for one in inputs], {}, [(np.float32, shape)])


def test_every_kernel_was_tested() -> None:
    keys = untested("nn", {"mat_mul.cc", "batch_mat_mul.cc", "bias_add.cc"})
    assert [key for key in keys if not key.endswith("_hf16")] == []  # test_half_products.py has the others
