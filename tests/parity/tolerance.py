"""How closely each class of kernels must agree with TensorFlow: declared here and nowhere else.

EXACT: integers, booleans, data movement, and arithmetic of one rounding. ROUNDING: elementwise functions that
two libraries approximate differently; APPROXIMATE where TensorFlow itself is up to 7 ulp from the exact value (each
such kernel is also held to ROUNDING against float64). SUMS: many terms added in an order of the kernel's choice.
WINOGRAD: sums of terms that are each a tile's pixels times a filter's taps.
"""

from __future__ import annotations

import numpy as np

ROUNDING_ULPS = 4
APPROXIMATE_ULPS = 12
SUMS_RELATIVE = 1e-5


def assert_exact(actual: np.ndarray, expected: np.ndarray) -> None:
    """Same type, shape and values; NaN equals NaN, and zeros of either sign are equal."""
    expected = np.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(actual, expected)


def assert_rounding(actual: np.ndarray, expected: np.ndarray, ulps: int = ROUNDING_ULPS) -> None:
    """Within `ulps` units in the last place of each element; infinities and NaNs in the same places.

    Results below the smallest normal number may be flushed to zero.
    """
    expected = np.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    info = np.finfo(expected.dtype)
    np.testing.assert_allclose(actual, expected, rtol=ulps * info.eps, atol=info.tiny)


def assert_sums(
    actual: np.ndarray, expected: np.ndarray, magnitude: np.ndarray | float | None = None
) -> None:
    """Within SUMS_RELATIVE of `magnitude`: the sum of the terms' magnitudes; by default the largest expected.

    Results below the smallest normal number may be flushed to zero.
    """
    expected = np.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if expected.size == 0:
        return
    if magnitude is None:
        finite = np.abs(expected[np.isfinite(expected)])
        magnitude = float(finite.max()) if finite.size else 0.0
    tiny = np.finfo(expected.dtype).tiny
    limit = SUMS_RELATIVE * np.broadcast_to(np.asarray(magnitude), expected.shape) + tiny
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0.0, np.abs(actual.astype(np.float64) - expected))
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error) - limit), expected.shape)
    assert bool((error <= limit).all()), (
        f"at {worst}: {actual[worst]} against {expected[worst]}, allowed difference {limit[worst]}"
    )


def assert_winograd(
    actual: np.ndarray, expected: np.ndarray, image: np.ndarray, filter_: np.ndarray, rest: np.ndarray | float = 0.0
) -> None:
    """As assert_sums, where each element's terms are those of cpp/math/winograd.h: for each channel the largest pixel
    within reach of the element's tile times the largest tap. `rest`: magnitude of bias and residual. The output is as
    large as the image, or up to a tile smaller or larger."""
    reach = 6
    height, width = expected.shape[1:3]
    padded = np.pad(np.abs(image), ((0, 0), (reach, 2 * reach), (reach, 2 * reach), (0, 0)))
    rows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1).max(-1)
    windows = np.lib.stride_tricks.sliding_window_view(rows, 2 * reach + 1, axis=2).max(-1)
    magnitude = windows[:, :height, :width].astype(np.float64) @ np.abs(filter_).max((0, 1))
    assert_sums(actual, expected, magnitude + rest)
