"""Swishes of networks in reduced arithmetic: within the error that math/activation.h states, everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from harness import ISAS, run_kernel
from wherry.graph.values import ArrayValue
from wherry.pack.weights import pack_weight

ATTRS = {"strides": [1, 1, 1, 1], "padding": "VALID", "activation": "FastSwish"}


def fast_swish(x: np.ndarray, isa: int) -> np.ndarray:
    """By a convolution that multiplies by one."""
    image = x.reshape(1, -1, 1, 16)
    one = pack_weight("DepthwiseConv2dNative", ArrayValue(np.ones((1, 1, 16, 1), np.float32)))
    (y,) = run_kernel("DepthwiseConv2dNative_f32_wf32", [image, one], ATTRS, [(np.float32, image.shape)], 1, isa)
    return y.reshape(-1)


@pytest.mark.parametrize("isa", ISAS)
def test_error(isa: int) -> None:
    x = np.linspace(-40, 40, 1 << 18, dtype=np.float32)
    expected = x / (1 + np.exp(-x.astype(np.float64)))
    error = np.abs(fast_swish(x, isa) - expected)
    assert (error <= np.maximum(1e-4, 2e-5 * np.abs(x))).all()
    assert error[np.abs(x) < 1].max() <= 3e-5


@pytest.mark.parametrize("isa", ISAS)
def test_limits(isa: int) -> None:
    x = np.zeros(32, np.float32)
    x[:8] = np.inf, -np.inf, np.nan, 3e38, -3e38, 0.0, 1e-40, -1e-40
    y = fast_swish(x, isa)
    assert y[0] == np.inf and np.isnan(y[2])
    np.testing.assert_allclose(y[3], 3e38, rtol=2e-5)
    np.testing.assert_allclose(y[[1, 4]], 0, atol=1e-4)
    assert np.abs(y[5:]).max() < 1e-30
