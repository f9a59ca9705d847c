"""SpaceToBatchND around a convolution is its dilation."""

from __future__ import annotations

from typing import Any

import pytest
from small_graphs import ROUNDING, check, only, ops, trace, weights
from wherry.passes.dilations import fold_dilations
from wherry.passes.fold_constants import fold_constants
from wherry.passes.simplify import simplify


def spelled_out(tf: Any, x: Any, kernel: Any, rate: int, padding: str) -> Any:
    """What TensorFlow's with_space_to_batch makes of a dilated convolution."""

    def convolve(inner: Any, _blocks: Any, _padding: Any) -> Any:
        return tf.raw_ops.Conv2D(input=inner, filter=kernel, strides=[1, 1, 1, 1], padding="VALID")

    return tf.space_to_batch(x, [rate, rate], [[0, 0], [0, 0]]) if convolve is None else tf.nn.with_space_to_batch(
        x, [rate, rate], padding, lambda i, n, p: convolve(i, n, p), filter_shape=kernel.shape)  # fmt: skip


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("rate", [2, 3])
def test_two_dimensions(padding: str, rate: int) -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        return spelled_out(tf, x, weights(3, 3, 4, 5), rate, padding)

    graph = trace(build, (2, 11, 13, 4))
    assert check(graph, fold_constants, simplify, fold_dilations, tolerance=ROUNDING) == 1
    assert ops(graph) == ["Conv2D"]
    assert only(graph, "Conv2D").attrs["dilations"] == [1, rate, rate, 1]


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CAUSAL"])
def test_one_dimension(padding: str) -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        if padding == "CAUSAL":
            x = tf.pad(x, [[0, 0], [4, 0], [0, 0]])
        return tf.nn.conv1d(x, weights(3, 4, 5), 1, "VALID" if padding == "CAUSAL" else padding, dilations=2)

    graph = trace(build, (2, 11, 4))
    check(graph, fold_constants, simplify, fold_dilations, tolerance=ROUNDING)
    assert "SpaceToBatchND" not in ops(graph) and "Conv2D" in ops(graph)


def test_a_real_rearrangement_stays() -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        y = tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]])
        return tf.raw_ops.BatchToSpaceND(input=tf.nn.relu(y), block_shape=[2, 2], crops=[[0, 0], [0, 0]])

    graph = trace(build, (2, 8, 8, 4))
    assert check(graph, fold_dilations) == 0
