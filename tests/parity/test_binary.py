"""Two-input elementwise kernels, AddN and Select against TensorFlow, over broadcasts of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from tolerance import ROUNDING_ULPS, assert_exact, assert_rounding

TYPES = {"f32": np.float32, "i32": np.int32, "i64": np.int64, "b1": np.bool_}
BINARY_FILES = {
    "add.cc",
    "add_n.cc",
    "div_no_nan.cc",
    "equal.cc",
    "floor_div.cc",
    "floor_mod.cc",
    "greater.cc",
    "greater_equal.cc",
    "less.cc",
    "less_equal.cc",
    "logical_and.cc",
    "logical_or.cc",
    "maximum.cc",
    "minimum.cc",
    "mul.cc",
    "not_equal.cc",
    "pow.cc",
    "real_div.cc",
    "select.cc",
    "squared_difference.cc",
    "sub.cc",
}
KEYS = untested("elementwise", BINARY_FILES - {"add_n.cc", "select.cc"})
COMPARISONS = {"Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual"}
SHAPES = [
    ((), ()),
    ((5,), (5,)),
    ((2, 3, 4), (2, 3, 4)),
    ((2, 3, 4), ()),
    ((), (2, 3, 4)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 3, 4)),
    ((2, 3, 4), (3, 1)),
    ((2, 1, 4), (3, 1)),
    ((1, 4, 1, 3, 1), (2, 1, 3, 1, 2)),
    ((2, 5, 5, 7), (2, 1, 1, 7)),
    ((3, 0, 2), (3, 1, 2)),
    ((0,), (1,)),
    ((1, 1), (1,)),
    ((2, 1, 2, 1, 2, 1, 2, 1), (1, 3, 1, 3, 1, 3, 1, 3)),
]


def operands(dtype: type, *shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    if dtype is np.bool_:
        return [rng.integers(0, 2, shape).astype(bool) for shape in shapes]
    if dtype is np.float32:
        return [np.asarray(rng.normal(size=shape) * 3, np.float32) for shape in shapes]
    return [np.asarray(rng.integers(-5, 5, shape), dtype) for shape in shapes]


def tensorflow(op: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The op on operands of equal shape: TensorFlow itself broadcasts over fewer dims than the kernels do."""
    import tensorflow as tf

    a, b = (np.ascontiguousarray(x).reshape(x.shape) for x in np.broadcast_arrays(a, b))
    return getattr(tf.raw_ops, op)(x=tf.constant(a), y=tf.constant(b)).numpy()


def check(key: str, a: np.ndarray, b: np.ndarray, op: str | None = None) -> None:
    name, short = key.rsplit("_", 1)
    expected = tensorflow(op or name, a, b)
    out = np.bool_ if name in COMPARISONS else TYPES[short]
    results = [run_kernel(key, [a, b], {}, [(out, expected.shape)], isa=isa)[0] for isa in FLOAT_ISAS]
    y = results[0]
    assert all(other.tobytes() == y.tobytes() for other in results), "instruction sets differ"
    if key in ("Pow_f32", "FloorMod_f32"):
        assert_rounding(y, expected, ROUNDING_ULPS)
    else:
        assert_exact(y, expected)


def divisors(name: str, b: np.ndarray) -> np.ndarray:
    return np.where(b == 0, np.asarray(3, b.dtype), b) if name.startswith("Floor") and b.dtype != np.float32 else b


@pytest.mark.parametrize("key", KEYS)
def test_broadcasts(key: str) -> None:
    name, short = key.rsplit("_", 1)
    for shapes in SHAPES:
        a, b = operands(TYPES[short], *shapes)
        if name == "Pow":
            a = np.abs(a)
        check(key, a, divisors(name, b))


@pytest.mark.parametrize("key", [k for k in KEYS if k.endswith("f32")])
def test_special_floats(key: str) -> None:
    special = np.array([np.nan, -np.inf, np.inf, -0.0, 0.0, 1, -1, 2.5, -2.5, 3e37], np.float32)
    a, b = special[:, None], special[None, :]
    check(key, np.broadcast_to(a, (10, 10)).copy(), np.broadcast_to(b, (10, 10)).copy())


@pytest.mark.parametrize("key", [k for k in KEYS if k[-3:] in ("i32", "i64")])
def test_integer_extremes(key: str) -> None:
    name, short = key.rsplit("_", 1)
    info = np.iinfo(TYPES[short])
    values: np.ndarray = np.array([info.min, info.min + 1, -7, -1, 0, 1, 7, info.max], TYPES[short])
    check(key, np.repeat(values, 8), divisors(name, np.tile(values, 8)))


# Rows that do not fill a vector, that share tiles, that have calls of their own; and rows of one element of an operand.
ROWS = [
    *[((7, 5, n), (n,)) for n in (3, 17, 64, 200, 256, 257, 600)],
    *[((n,), (7, 5, n)) for n in (3, 64, 257)],
    *[((9, 61, n), (9, 61, 1)) for n in (2, 3, 32, 33, 90)],
    *[((61, n), (9, 1, n)) for n in (2, 31, 300)],
    *[((9, 1, n), (61, 1)) for n in (3, 40)],
    ((4, 3, 5, 7), (4, 1, 1, 7)),
    ((1000,), ()),
    ((), (1000,)),
]


@pytest.mark.parametrize("key", KEYS)
def test_rows_of_all_lengths(key: str) -> None:
    name, short = key.rsplit("_", 1)
    for shapes in ROWS:
        a, b = operands(TYPES[short], *shapes)
        check(key, np.abs(a) if name == "Pow" else a, divisors(name, b))


@pytest.mark.parametrize(("op", "key"), [("Add", "AddV2_f32"), ("Div", "RealDiv_f32")])
def test_other_names(op: str, key: str) -> None:
    a, b = operands(np.float32, (3, 4), (4,))
    check(key, a, b, op)


@pytest.mark.parametrize("key", ["FloorDiv_i32", "FloorMod_i64"])
def test_integer_division_by_zero_fails(key: str) -> None:
    dtype = TYPES[key[-3:]]
    with pytest.raises(RuntimeError, match="division by zero"):
        run_kernel(key, [np.ones(3, dtype), np.array([1, 0, 2], dtype)], {}, [(dtype, (3,))])


@pytest.mark.parametrize("shapes", [((3, 40001), (40001,)), ((7, 20000, 2), (7, 1, 2)), ((99999,), (99999,)),
                                     ((1500, 37), (37,)), ((1500, 31), (1500, 1))])
def test_threads_do_not_show(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = operands(np.float32, *shapes)
    expected = a * b
    for threads in (1, 2, 5, 7):
        (y,) = run_kernel("Mul_f32", [a, b], {}, [(np.float32, expected.shape)], threads=threads)
        assert y.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("a", "b", "out"),
    [
        ((2, 3), (2, 4), (2, 3)),
        ((2, 3), (3,), (2, 4)),
        ((2, 3), (3,), (3,)),
        ((1, 3), (1, 3), (2, 3)),
        ((2,), (2,), (2, 2)),
    ],
)
def test_refuses_shapes_that_do_not_broadcast(a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError, match="broadcast"):
        run_kernel("AddV2_f32", operands(np.float32, a, b), {}, [(np.float32, out)])


@pytest.mark.parametrize("short", ["f32", "i32"])
@pytest.mark.parametrize("inputs", [1, 2, 3, 9])
def test_add_n(inputs: int, short: str) -> None:
    import tensorflow as tf

    values = operands(TYPES[short], *[(3, 1234)] * inputs)
    if short == "f32":  # few bits, so that no order of summation rounds
        values = [np.round(v * 8) / 8 for v in values]
    (y,) = run_kernel(f"AddN_{short}", values, {}, [(TYPES[short], (3, 1234))])
    assert_exact(y, tf.raw_ops.AddN(inputs=values).numpy())


SELECT_SHAPES = [
    ((2, 3), (2, 3), (2, 3)),
    ((), (2, 3), (2, 3)),
    ((3,), (2, 3), ()),
    ((2, 1), (3,), (1, 3)),
    ((2, 1, 4), (3, 1), (1,)),
    ((0, 2), (1,), (0, 1)),
]


@pytest.mark.parametrize(("width", "dtype"), [("x8", np.bool_), ("x32", np.float32), ("x64", np.int64)])
@pytest.mark.parametrize("shapes", SELECT_SHAPES)
def test_select_v2(shapes: tuple[tuple[int, ...], ...], width: str, dtype: type) -> None:
    import tensorflow as tf

    (condition,) = operands(np.bool_, shapes[0], seed=1)
    x, y = operands(dtype, *shapes[1:], seed=2)
    expected = tf.raw_ops.SelectV2(condition=condition, t=x, e=y).numpy()
    (out,) = run_kernel(f"SelectV2_{width}", [condition, x, y], {}, [(dtype, expected.shape)])
    assert_exact(out, expected)


@pytest.mark.parametrize(("width", "dtype"), [("x8", np.bool_), ("x32", np.float32), ("x64", np.int64)])
@pytest.mark.parametrize("condition_shape", [(), (3,), (3, 3, 2)])
def test_select(condition_shape: tuple[int, ...], width: str, dtype: type) -> None:
    import tensorflow as tf

    (condition,) = operands(np.bool_, condition_shape, seed=1)
    x, y = operands(dtype, (3, 3, 2), (3, 3, 2), seed=2)
    expected = tf.raw_ops.Select(condition=condition, x=x, y=y).numpy()
    (out,) = run_kernel(f"Select_{width}", [condition, x, y], {}, [(dtype, expected.shape)])
    assert_exact(out, expected)


def test_all_were_exercised() -> None:
    assert untested("elementwise", BINARY_FILES) == []
