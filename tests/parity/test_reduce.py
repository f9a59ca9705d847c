"""Reductions against TensorFlow, over every way that kept and reduced dims can alternate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from tolerance import assert_exact, assert_sums

TYPES = {"f32": np.float32, "i32": np.int32, "i64": np.int64, "b1": np.bool_}
KEYS = [key for key in untested("reduce", None) if not key.startswith("Arg")]
SHAPES = [(7,), (33, 5), (2, 3, 4), (3, 1, 17, 2), (1, 6, 6, 130), (2, 9, 300)]


def operand(short: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if short == "b1":
        return rng.random(shape) < 0.8
    if short == "f32":
        return np.asarray(rng.normal(size=shape) + 0.3, np.float32)
    return np.asarray(rng.integers(-9, 9, shape), TYPES[short])


def tensorflow(op: str, x: np.ndarray, axes: object, keep_dims: bool) -> np.ndarray:
    import tensorflow as tf

    return getattr(tf.raw_ops, op)(input=tf.constant(x), axis=axes, keep_dims=keep_dims).numpy()


def check(key: str, x: np.ndarray, axes: np.ndarray, keep_dims: bool, threads: int = 1) -> None:
    op, short = key.rsplit("_", 1)
    expected = tensorflow(op, x, axes, keep_dims)
    isas = FLOAT_ISAS if key in ("Sum_f32", "Mean_f32", "Max_f32", "Min_f32") else (None,)
    for isa in isas:
        wanted = [(TYPES[short], expected.shape)]
        results = [run_kernel(key, [x, axes], {"keep_dims": keep_dims}, wanted, n, isa)[0] for n in {1, threads}]
        assert_exact(results[-1], results[0])
        check_result(key, x, axes, keep_dims, results[0], expected)


def check_result(
    key: str, x: np.ndarray, axes: np.ndarray, keep_dims: bool, y: np.ndarray, expected: np.ndarray
) -> None:
    op = key.rsplit("_", 1)[0]
    if key in ("Sum_f32", "Mean_f32"):
        magnitude = np.nan_to_num(np.abs(x).astype(np.float64), posinf=0.0)
        reduce = np.sum if op == "Sum" else np.mean
        assert_sums(y, expected, reduce(magnitude, axis=tuple(int(a) for a in axes.ravel()), keepdims=keep_dims))
    elif key == "Prod_f32":
        assert_sums(y, expected, np.abs(expected))
    else:
        assert_exact(y, expected)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_set_of_axes(shape: tuple[int, ...], key: str) -> None:
    x = operand(key.rsplit("_", 1)[1], shape)
    for count in range(len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            check(key, x, np.array(axes, np.int32), keep_dims=bool(count % 2))


@pytest.mark.parametrize("key", ["Max_f32", "Min_f32", "Sum_f32", "Mean_f32"])
@pytest.mark.parametrize("shape", [(1, 56, 57, 13), (1, 40, 40, 64), (3, 100, 400), (20000, 1)])
def test_rows_in_chunks(shape: tuple[int, ...], key: str) -> None:
    x = operand("f32", shape)
    x.reshape(-1)[[3, 777]] = [np.inf, -np.inf]
    check(key, x, np.arange(len(shape) - 1), False, threads=3)


@pytest.mark.parametrize("key", KEYS)
def test_axis_forms(key: str) -> None:
    x = operand(key.rsplit("_", 1)[1], (4, 5, 6))
    check(key, x, np.array(-1, np.int32), True)
    check(key, x, np.array([-1, 0], np.int64), False)
    check(key, x[0, 0, 0], np.zeros(0, np.int32), True)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("shape", "axes"), [((3, 0), [1]), ((0, 3), [1]), ((0, 3), [0]), ((2, 0, 3), [0, 1, 2])])
def test_empty(shape: tuple[int, ...], axes: list[int], key: str) -> None:
    op, short = key.rsplit("_", 1)
    x = operand(short, shape)
    expected = tensorflow(op, x, axes, False)
    (y,) = run_kernel(key, [x, np.array(axes, np.int32)], {}, [(TYPES[short], expected.shape)])
    assert_exact(y, expected)


@pytest.mark.parametrize("key", ["Max_f32", "Min_f32", "Sum_f32", "Mean_f32"])
def test_nan_and_infinity(key: str) -> None:
    x = np.array(
        [[1, np.nan, 3], [np.nan, np.inf, -np.inf], [np.inf, 2, np.inf], [-np.inf, -np.inf, -np.inf]], np.float32
    )
    for axis in (0, 1):
        check(key, x, np.array([axis], np.int32), False)
    check(key, x[2:], np.array([0, 1], np.int32), False)


def test_large_sums_keep_their_digits() -> None:
    x = (np.random.default_rng(1).random((3, 300_001)) + 1).astype(np.float32)
    for axes, expected in (([1], x.sum(1, np.float64)), ([0, 1], x.sum(dtype=np.float64)), ([0], x.sum(0, np.float64))):
        expected = np.asarray(expected, np.float32)
        (y,) = run_kernel("Sum_f32", [x, np.array(axes, np.int32)], {}, [(np.float32, expected.shape)])
        np.testing.assert_allclose(y, expected, rtol=2e-7)


@pytest.mark.parametrize("axes", [[1, 2], [3], [0, 2], [1, 2, 3]])
def test_threads_do_not_show(axes: list[int]) -> None:
    x = operand("f32", (5, 40, 41, 67))
    shape = x.sum(tuple(axes)).shape
    results = [
        run_kernel("Sum_f32", [x, np.array(axes, np.int32)], {}, [(np.float32, shape)], threads=threads)[0].tobytes()
        for threads in (1, 2, 5)
    ]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("key", ["ArgMax_f32", "ArgMax_i32", "ArgMin_f32", "ArgMin_i32"])
@pytest.mark.parametrize("out", [np.int32, np.int64])
@pytest.mark.parametrize("shape", [(9,), (4, 6), (3, 5, 7), (2, 0, 3)])
def test_arg(shape: tuple[int, ...], out: type, key: str) -> None:
    import tensorflow as tf

    op, short = key.split("_")
    x: np.ndarray = np.round(operand(short, shape)).astype(TYPES[short])  # many ties
    for axis in range(-1, len(shape)):
        if shape[axis] == 0:
            continue
        expected = getattr(tf.raw_ops, op)(input=x, dimension=axis, output_type=out).numpy()
        (y,) = run_kernel(key, [x, np.array(axis, np.int32)], {}, [(out, expected.shape)], threads=2)
        assert_exact(y, expected)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_arg_passes_over_nan(op: str) -> None:
    import tensorflow as tf

    nan, inf = np.nan, np.inf
    x = np.array([[1, nan, 3], [nan, 1, 2], [nan, nan, nan], [-inf, -inf, -inf], [inf, inf, inf]], np.float32)
    expected = getattr(tf.raw_ops, op)(input=x, dimension=1).numpy()
    (y,) = run_kernel(f"{op}_f32", [x, np.array(1, np.int32)], {}, [(np.int64, (5,))])
    assert_exact(y, expected)


@pytest.mark.parametrize(
    ("axes", "out", "message"),
    [
        ([2], (3,), "axis 2"),
        ([-3], (3,), "axis -3"),
        ([0, 0], (4,), "twice"),
        ([0], (3,), "shape"),
        ([0], (1, 4), "shape"),
    ],
)
def test_refuses(axes: list[int], out: tuple[int, ...], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        run_kernel("Sum_f32", [np.ones((3, 4), np.float32), np.array(axes, np.int32)], {}, [(np.float32, out)])


def test_all_were_exercised() -> None:
    assert untested("reduce", None) == []
