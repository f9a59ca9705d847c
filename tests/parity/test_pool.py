"""MaxPool and AvgPool against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from tolerance import assert_exact, assert_rounding

# input shape, (window height, width), (stride height, width)
SHAPES = [
    ((1, 8, 8, 16), (2, 2), (2, 2)),
    ((2, 7, 9, 3), (3, 3), (2, 2)),
    ((1, 5, 5, 1), (3, 2), (1, 2)),
    ((1, 1, 6, 5), (1, 3), (1, 3)),
    ((3, 4, 4, 33), (4, 4), (1, 1)),
    ((1, 6, 3, 8), (1, 1), (3, 2)),
    ((1, 40, 40, 24), (3, 3), (2, 2)),
    ((1, 9, 9, 83), (3, 3), (2, 2)),
    ((1, 5, 6, 150), (3, 2), (1, 1)),
    ((0, 4, 4, 2), (2, 2), (1, 1)),
]


def values(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("shape", "window", "stride"), SHAPES)
def test_pools(shape: tuple[int, ...], window: tuple[int, int], stride: tuple[int, int], padding: str) -> None:
    import tensorflow as tf

    x = values(shape)
    attrs = {"ksize": [1, *window, 1], "strides": [1, *stride, 1], "padding": padding}
    expected = tf.raw_ops.MaxPool(input=x, **attrs).numpy()
    for isa in FLOAT_ISAS:
        for threads in (1, 3):
            (y,) = run_kernel("MaxPool_f32", [x], attrs, [(np.float32, expected.shape)], threads=threads, isa=isa)
            assert_exact(y, expected)
    # An average of terms of both signs may lose digits, so it is compared on positive ones.
    x = np.abs(x)
    expected = tf.raw_ops.AvgPool(value=x, **attrs).numpy()
    means = []
    for isa in FLOAT_ISAS:
        for threads in (1, 3):
            (y,) = run_kernel("AvgPool_f32", [x], attrs, [(np.float32, expected.shape)], threads=threads, isa=isa)
            means.append(y.tobytes())
            assert_rounding(y, expected)
    assert len(set(means)) == 1, "instruction sets or threads differ"


@pytest.mark.parametrize("paddings", [(1, 1, 1, 1), (0, 1, 2, 0), (2, 2, 0, 1)])
def test_max_pool_with_explicit_padding(paddings: tuple[int, int, int, int]) -> None:
    import tensorflow as tf

    x = values((2, 9, 7, 5)) - 3
    attrs = {"ksize": [1, 3, 3, 1], "strides": [1, 2, 2, 1], "padding": "EXPLICIT",
             "explicit_paddings": [0, 0, *paddings, 0, 0]}  # fmt: skip
    expected = tf.raw_ops.MaxPool(input=x, **attrs).numpy()
    (y,) = run_kernel("MaxPool_f32", [x], attrs, [(np.float32, expected.shape)])
    assert_exact(y, expected)


def test_max_pool_skips_nan_and_minus_infinity() -> None:
    import tensorflow as tf

    x = np.array([[1, 2, 3], [4, np.nan, 6], [-np.inf, np.inf, 9]], np.float32).reshape(1, 3, 3, 1)
    attrs = {"ksize": [1, 2, 2, 1], "strides": [1, 1, 1, 1], "padding": "SAME"}
    for value in (x, np.full_like(x, -np.inf)):
        expected = tf.raw_ops.MaxPool(input=value, **attrs).numpy()
        for isa in FLOAT_ISAS:
            (y,) = run_kernel("MaxPool_f32", [value], attrs, [(np.float32, expected.shape)], isa=isa)
            assert_exact(y, expected)


@pytest.mark.parametrize(
    ("change", "shape", "message"),
    [
        ({}, (1, 4, 4, 2), "output must be 2 x 2"),
        ({}, (1, 2, 2, 3), "differ in channels"),
        ({"ksize": [1, 0, 2, 1]}, (1, 2, 2, 2), "do not fit"),
        ({"ksize": [1, 2**40, 2, 1]}, (1, 2, 2, 2), "do not fit"),
        ({"ksize": [2, 2, 2, 1]}, (1, 2, 2, 2), "ksize must be"),
        ({"strides": [1, 0, 2, 1]}, (1, 2, 2, 2), "do not fit"),
        ({"strides": [2, 2]}, (1, 2, 2, 2), "strides must be"),
        ({"padding": "ALL"}, (1, 2, 2, 2), "do not fit"),
        ({"data_format": "NCHW"}, (1, 2, 2, 2), "NHWC"),
        ({"padding": "EXPLICIT", "explicit_paddings": [0, 0, 2, 0, 0, 0, 0, 0]}, (1, 3, 2, 2), "smaller"),
    ],
)
def test_refuses_what_does_not_fit(change: dict, shape: tuple[int, ...], message: str) -> None:
    attrs = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID", **change}
    with pytest.raises(RuntimeError, match=message):
        run_kernel("MaxPool_f32", [values((1, 4, 4, 2))], attrs, [(np.float32, shape)])


def test_every_kernel_was_tested() -> None:
    assert untested("nn", {"max_pool.cc", "avg_pool.cc"}) == []
