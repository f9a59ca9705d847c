"""Layers that int8-static leaves in float arithmetic, and whose products may be of whole numbers of 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import wherry
from test_static import concrete, images, weights
from wherry.quantize.static.ranges import Observed, parse_calibration
from wherry.quantize.static.shorts import fraction_bits


@pytest.mark.parametrize(("depth", "most"), [(1, 16383), (64, 16383), (65, 8191), (256, 8191)])
@pytest.mark.parametrize("largest", [1e-5, 0.3, 1.0, 6.0, 1000.0, 3e7])
def test_steps_reach_a_quarter_beyond_the_largest(largest: float, depth: int, most: int) -> None:
    bits = fraction_bits(largest, depth)
    assert most * 2.0**-bits >= 1.25 * largest > most * 2.0 ** -(bits + 1)


def test_steps_of_what_is_nothing_or_beyond_all_bounds() -> None:
    assert fraction_bits(0.0, 8) == 0
    assert fraction_bits(1e-30, 8) == 60 and fraction_bits(3e38, 8) == -60


def test_ranges_of_few_values_have_room() -> None:
    observed = Observed()
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    observed.see(values)
    observed.count(values)
    scale = observed.scale(parse_calibration("least-error"))
    assert scale.scale * 255 == pytest.approx(1.25 * float(values.max() - values.min()), rel=1e-2)
    within = observed.scale(parse_calibration("percentile:99"))
    assert within.scale * 255 < float(values.max() - values.min())


def net(x: tf.Tensor) -> tf.Tensor:
    """An expansion and a projection with a depthwise convolution between, swishes, a deep product."""
    y = tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 3, 16), 2, "SAME"), weights(16))
    y = tf.nn.bias_add(tf.nn.conv2d(y * tf.sigmoid(y), weights(1, 1, 16, 96), 1, "SAME"), weights(96))
    y = tf.nn.depthwise_conv2d(y * tf.sigmoid(y), weights(3, 3, 96, 1) * 3, [1, 1, 1, 1], "SAME")
    y = tf.nn.bias_add(tf.nn.conv2d(y, weights(1, 1, 96, 24), 1, "SAME"), weights(24))
    return tf.nn.conv2d(y, weights(3, 3, 24, 64), 1, "SAME")


def kernels(path: Path, tolerance: float) -> tuple[set[str], float]:
    report = wherry.compile(
        concrete(net), path, quantize="int8-static", calibrate={"x": images(16)}, tolerance=tolerance
    )
    assert report.quantize is not None and report.quantize.static is not None
    return set(report.kernels), report.quantize.static.error


def test_layers_in_floats_may_take_them_where_the_tolerance_is_not_theirs(tmp_path: Path) -> None:
    exact = wherry.compile(concrete(net), tmp_path / "exact.wherry")
    assert not any(key.endswith("_sf32") for key in exact.kernels)
    coarse, error = kernels(tmp_path / "a.wherry", 0.01)
    assert error <= 0.01 and any(key.endswith("_sf32") for key in coarse)
    fine, error = kernels(tmp_path / "b.wherry", 1e-5)
    assert error <= 1e-5 and not any(key.endswith("_sf32") for key in fine)


def test_swishes_are_fast_only_beside_reduced_arithmetic(tmp_path: Path) -> None:
    def has_fast(**options: object) -> bool:
        wherry.compile(concrete(net), tmp_path / "m.wherry", **options)  # type: ignore[arg-type]
        held = (tmp_path / "m.wherry").read_bytes()
        assert b"Swish" in held
        return b"FastSwish" in held

    assert not has_fast() and not has_fast(quantize="int8-weights")
    assert has_fast(quantize="int8-static", calibrate={"x": images(16)}, tolerance=0.005)
