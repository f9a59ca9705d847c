"""Elementwise kernels against TensorFlow."""

from __future__ import annotations

import numpy as np
from wherry.runtime.single_kernel import run_kernel


def test_relu_passes_nan_and_clears_negatives() -> None:
    import tensorflow as tf

    x = np.array([[-1.5, 0.0, 2.5], [np.nan, -0.0, np.inf]], np.float32)
    (y,) = run_kernel("Relu_f32", [x], {}, [(np.float32, x.shape)])
    np.testing.assert_array_equal(y, tf.nn.relu(x).numpy())
