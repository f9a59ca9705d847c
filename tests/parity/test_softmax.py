"""Softmax and LogSoftmax against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from harness import run_kernel, untested
from tolerance import assert_sums

SHAPES = [(1, 1000), (3, 7), (2, 3, 4, 5), (6,), (1, 1), (64, 129), (0, 4), (3, 0)]


@pytest.mark.parametrize("spread", [1.0, 10.0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax(op: str, shape: tuple[int, ...], spread: float) -> None:
    import tensorflow as tf

    x = (np.random.default_rng(3).standard_normal(shape) * spread).astype(np.float32)
    expected = getattr(tf.raw_ops, op)(logits=x).numpy()
    results = [run_kernel(f"{op}_f32", [x], {}, [(np.float32, shape)], threads=n)[0] for n in (1, 3)]
    np.testing.assert_array_equal(*results)
    # Probabilities agree digit by digit; a logarithm is the difference of two larger numbers.
    assert_sums(results[0], expected, np.abs(expected) + (0 if op == "Softmax" else spread))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_extremes(op: str) -> None:
    import tensorflow as tf

    x = np.array([[-np.inf, 1, 2], [3e38, -3e38, 0], [200, 100, 199]], np.float32)
    expected = getattr(tf.raw_ops, op)(logits=x).numpy()
    (y,) = run_kernel(f"{op}_f32", [x], {}, [(np.float32, x.shape)])
    assert_sums(y, expected, np.where(np.isfinite(expected), np.abs(expected), 0))
    (y,) = run_kernel(f"{op}_f32", [np.full((2, 3), np.nan, np.float32)], {}, [(np.float32, (2, 3))])
    assert np.isnan(y).all()


def test_refuses_a_scalar_and_another_shape() -> None:
    with pytest.raises(RuntimeError, match="rank 1 or more"):
        run_kernel("Softmax_f32", [np.float32(1)], {}, [(np.float32, ())])
    with pytest.raises(RuntimeError, match="differ in shape"):
        run_kernel("Softmax_f32", [np.zeros((2, 3), np.float32)], {}, [(np.float32, (3, 2))])


def test_every_kernel_was_tested() -> None:
    assert untested("nn", {"softmax.cc"}) == []
