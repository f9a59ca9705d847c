"""One-input elementwise kernels against TensorFlow, and the approximations among them against float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from tolerance import APPROXIMATE_ULPS, ROUNDING_ULPS, assert_exact, assert_rounding, assert_sums

SPECIAL = np.array(
    [np.nan, -np.inf, np.inf, -0.0, 0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.4e38, -3.4e38, 1.2e-38, 6.0, 7.0],
    np.float32,
)
UNARY_FILES = {
    "abs.cc",
    "cast.cc",
    "ceil.cc",
    "clip_by_value.cc",
    "cos.cc",
    "elu.cc",
    "erf.cc",
    "erfc.cc",
    "exp.cc",
    "expm1.cc",
    "floor.cc",
    "is_finite.cc",
    "is_inf.cc",
    "is_nan.cc",
    "leaky_relu.cc",
    "log.cc",
    "log1p.cc",
    "logical_not.cc",
    "neg.cc",
    "reciprocal.cc",
    "relu.cc",
    "relu6.cc",
    "round.cc",
    "rsqrt.cc",
    "selu.cc",
    "sigmoid.cc",
    "sign.cc",
    "sin.cc",
    "softplus.cc",
    "softsign.cc",
    "sqrt.cc",
    "square.cc",
    "tanh.cc",
}


def values(scale: float, positive: bool = False, count: int = 5000) -> np.ndarray:
    x = (np.random.default_rng(3).normal(size=count) * scale).astype(np.float32)
    return np.abs(x) if positive else x


def tensorflow(op: str, x: np.ndarray, **attrs: object) -> np.ndarray:
    import tensorflow as tf

    name = "features" if op in ("Relu", "Relu6", "Elu", "Selu", "Softplus", "Softsign", "LeakyRelu") else "x"
    return getattr(tf.raw_ops, op)(**{name: tf.constant(x)}, **attrs).numpy()


@pytest.mark.parametrize(
    "op", ["Relu", "Relu6", "Neg", "Abs", "Square", "Floor", "Ceil", "Round", "Rint", "Sign", "Sqrt"]
)
def test_exact_functions(op: str) -> None:
    x = np.concatenate([SPECIAL, values(4.0)])
    key = "Round_f32" if op == "Rint" else f"{op}_f32"
    (y,) = run_kernel(key, [x], {}, [(np.float32, x.shape)])
    assert_exact(y, tensorflow(op, x))


@pytest.mark.parametrize("op", ["Neg", "Abs", "Square", "Sign"])
def test_integers(op: str) -> None:
    x = np.array([[0, 1, -1, 46341], [-(2**31), 2**31 - 1, 77, -77]], np.int32)
    (y,) = run_kernel(f"{op}_i32", [x], {}, [(np.int32, x.shape)])
    assert_exact(y, tensorflow(op, x))


@pytest.mark.parametrize(
    ("op", "scale", "positive", "ulps"),
    [
        ("Exp", 20.0, False, ROUNDING_ULPS),
        ("Expm1", 5.0, False, APPROXIMATE_ULPS),
        ("Log", 20.0, True, APPROXIMATE_ULPS),
        ("Log1p", 5.0, True, APPROXIMATE_ULPS),
        ("Rsqrt", 5.0, True, ROUNDING_ULPS),
        ("Sin", 10.0, False, ROUNDING_ULPS),
        ("Cos", 10.0, False, ROUNDING_ULPS),
        ("Erf", 2.0, False, APPROXIMATE_ULPS),
        ("Erfc", 3.0, False, APPROXIMATE_ULPS),
        ("Sigmoid", 8.0, False, APPROXIMATE_ULPS),
        ("Tanh", 2.0, False, APPROXIMATE_ULPS),
        ("Softplus", 8.0, False, APPROXIMATE_ULPS),
        ("Softsign", 8.0, False, ROUNDING_ULPS),
        ("Reciprocal", 8.0, False, ROUNDING_ULPS),
        ("Inv", 8.0, False, ROUNDING_ULPS),
    ],
)
def test_approximated_functions(op: str, scale: float, positive: bool, ulps: int) -> None:
    special = SPECIAL
    if op in ("Sin", "Cos"):  # TensorFlow reduces huge angles differently
        special = SPECIAL[np.isnan(SPECIAL) | (np.abs(SPECIAL) < 1e30)]
    x = np.concatenate([special, values(scale, positive), values(1e-3 * scale, positive)])
    key = "Reciprocal_f32" if op == "Inv" else f"{op}_f32"
    (y,) = run_kernel(key, [x], {}, [(np.float32, x.shape)])
    assert_rounding(y, tensorflow(op, x), ulps)


@pytest.mark.parametrize("op", ["Elu", "Selu"])
def test_functions_that_cancel_in_tensorflow(op: str) -> None:
    x = np.concatenate([SPECIAL, values(3.0), values(1e-4)])
    (y,) = run_kernel(f"{op}_f32", [x], {}, [(np.float32, x.shape)])
    expected = tensorflow(op, x)
    assert_sums(y, expected, np.maximum(1.0, np.nan_to_num(np.abs(expected), posinf=1.0)))


def selu(x: np.ndarray) -> np.ndarray:
    scale, alpha = np.float32(1.0507009873554805), np.float32(1.6732632423543772)
    return np.float64(scale) * np.where(x < 0, np.float64(alpha) * np.expm1(x), x)


EXACT_VALUE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Exp": np.exp,
    "Expm1": np.expm1,
    "Log": np.log,
    "Log1p": np.log1p,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Erf": np.vectorize(math.erf),
    "Erfc": np.vectorize(math.erfc),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Softplus": lambda x: np.logaddexp(0, x),
    "Elu": lambda x: np.where(x < 0, np.expm1(x), x),
    "Selu": selu,
}


@pytest.mark.parametrize("isa", FLOAT_ISAS)
@pytest.mark.parametrize("op", EXACT_VALUE)
def test_accuracy(op: str, isa: int | None) -> None:
    x = np.concatenate([values(s, op in ("Log", "Log1p", "Rsqrt"), 20000) for s in (1e-4, 0.3, 3.0, 30.0)])
    x = x[np.abs(x) < 85]
    (y,) = run_kernel(f"{op}_f32", [x], {}, [(np.float32, x.shape)], isa=isa)
    exact = EXACT_VALUE[op](x.astype(np.float64))
    error = np.abs(y - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert error.max() <= ROUNDING_ULPS, f"{error.max():.2f} ulp at {x[error.argmax()]}"


# Largest errors as cpp/math/vmath-inl.h states them.
STATED_ULPS = {
    "Erf": 1.3,
    "Erfc": 2.7,
    "Exp": 1.3,
    "Expm1": 1.8,
    "Log": 0.8,
    "Log1p": 1.5,
    "Sigmoid": 2.5,
    "Softplus": 2.1,
    "Tanh": 2.5,
}


@pytest.mark.parametrize("op", STATED_ULPS)
def test_stated_accuracy(op: str) -> None:
    """Over floats of every size: one bit pattern in 8191, on every instruction set."""
    x = np.arange(0, 1 << 32, 8191, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = x[np.isfinite(x) & ((op not in ("Log", "Log1p")) | (x > (0 if op == "Log" else -1)))]
    with np.errstate(over="ignore", under="ignore"):
        exact = EXACT_VALUE[op](x.astype(np.float64))
        rounded = exact.astype(np.float32)
    normal = np.isfinite(rounded) & (np.abs(exact) >= np.finfo(np.float32).tiny)
    for isa in FLOAT_ISAS:
        (y,) = run_kernel(f"{op}_f32", [x], {}, [(np.float32, x.shape)], isa=isa)
        assert (y[np.isinf(rounded)] == rounded[np.isinf(rounded)]).all()
        assert (np.abs(y[~normal & np.isfinite(rounded)]) <= 2 * np.finfo(np.float32).tiny).all()
        unit = np.exp2(np.floor(np.log2(np.abs(exact[normal]))) - 23)
        error = np.abs(y[normal] - exact[normal]) / unit
        assert error.max() <= STATED_ULPS[op], f"{error.max():.2f} ulp at {x[normal][error.argmax()]}"


def test_exp_at_the_ends_of_its_range() -> None:
    x = np.array([88.72, 88.73, 1e4, -87.3, -104.1, -1e4], np.float32)
    (y,) = run_kernel("Exp_f32", [x], {}, [(np.float32, x.shape)])
    with np.errstate(over="ignore", under="ignore"):
        assert_rounding(y, np.exp(x.astype(np.float64)).astype(np.float32))


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.3, 2.0])
def test_leaky_relu(alpha: float) -> None:
    x = np.concatenate([SPECIAL, values(4.0)])
    (y,) = run_kernel("LeakyRelu_f32", [x], {"alpha": alpha}, [(np.float32, x.shape)])
    assert_exact(y, tensorflow("LeakyRelu", x, alpha=alpha))


def test_predicates() -> None:
    for op in ("IsNan", "IsInf", "IsFinite"):
        (y,) = run_kernel(f"{op}_f32", [SPECIAL], {}, [(np.bool_, SPECIAL.shape)])
        assert_exact(y, tensorflow(op, SPECIAL))
    flags = np.array([[True, False], [False, False]])
    (y,) = run_kernel("LogicalNot_b1", [flags], {}, [(np.bool_, flags.shape)])
    assert_exact(y, ~flags)


TYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "i32": np.int32,
    "i64": np.int64,
    "u8": np.uint8,
    "i8": np.int8,
    "b1": np.bool_,
}


@pytest.mark.parametrize("key", untested("elementwise", {"cast.cc"}))
def test_cast(key: str) -> None:
    import tensorflow as tf

    _, source, target = key.split("_")
    if source.startswith("f"):
        with np.errstate(over="ignore"):
            x = np.concatenate([values(50.0), values(1e-6), [0.0, -0.0, 0.5, 2.5, 70000.0, 65519.0, 65520.0]])
            x = x.astype(TYPES[source])
        if target in ("i32", "i64"):
            x = np.concatenate([x, np.array([np.nan, np.inf, -np.inf, 3e9, -3e9, 1e19, -1e19], TYPES[source])])
        elif target == "u8":
            x = np.abs(x[np.abs(x) < 255])
        elif target != "b1":
            x = np.concatenate([x, np.array([np.nan, np.inf, -np.inf], TYPES[source])])
    elif source == "b1":
        x = np.array([True, False])
    else:
        info = np.iinfo(TYPES[source])
        x = np.array([info.min, info.max, 0, 1, 2, 100, info.max - 1, info.max // 3], TYPES[source])
    (y,) = run_kernel(key, [x], {}, [(TYPES[target], x.shape)])
    assert_exact(y, tf.cast(tf.constant(x), TYPES[target]).numpy())


def test_every_half_converts() -> None:
    x = np.arange(65536, dtype=np.uint16).view(np.float16)
    (y,) = run_kernel("Cast_f16_f32", [x], {}, [(np.float32, x.shape)])
    assert_exact(y, x.astype(np.float32))
    (back,) = run_kernel("Cast_f32_f16", [y], {}, [(np.float16, x.shape)])
    assert_exact(back, x)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("whole", [False, True])
def test_clip_by_value(dtype: type, whole: bool) -> None:
    import tensorflow as tf

    x = (SPECIAL if dtype is np.float32 else np.arange(-9, 9, dtype=dtype)).reshape(1, -1)
    low: np.ndarray = np.asarray(-2, dtype)
    high: np.ndarray = np.asarray(3, dtype)
    if whole:
        low, high = np.full(x.shape, low), np.full(x.shape, high)
    (y,) = run_kernel(f"ClipByValue_{'f32' if dtype is np.float32 else 'i32'}", [x, low, high], {}, [(dtype, x.shape)])
    assert_exact(y, tf.raw_ops.ClipByValue(t=x, clip_value_min=low, clip_value_max=high).numpy())


@pytest.mark.parametrize("shape", [(), (0, 3), (1, 1, 1), (3, 70001)])
def test_shapes_and_threads(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    for key in ("Neg_f32", "Tanh_f32", "Exp_f32"):
        results = [run_kernel(key, [x], {}, [(np.float32, shape)], threads=threads)[0] for threads in (1, 3)]
        assert results[0].tobytes() == results[1].tobytes()
    assert_exact(run_kernel("Neg_f32", [x], {}, [(np.float32, shape)])[0], -x)


def test_refuses_shapes_and_types_that_do_not_fit() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(RuntimeError, match="shape"):
        run_kernel("Neg_f32", [x], {}, [(np.float32, (2, 4))])
    with pytest.raises(RuntimeError, match="type"):
        run_kernel("Neg_f32", [x.astype(np.int32)], {}, [(np.float32, (2, 3))])
    with pytest.raises(RuntimeError, match="inputs"):
        run_kernel("Neg_f32", [x, x], {}, [(np.float32, (2, 3))])
    with pytest.raises(RuntimeError, match="element"):
        run_kernel("ClipByValue_f32", [x, x[0], x[0, 0]], {}, [(np.float32, (2, 3))])


def test_all_were_exercised() -> None:
    assert untested("elementwise", UNARY_FILES) == []
