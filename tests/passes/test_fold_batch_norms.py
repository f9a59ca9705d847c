"""Batch norms, biases and scales go into weights, exactly where that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_graphs import ROUNDING, check, only, ops, trace, weights
from wherry.passes import lazy_values
from wherry.passes.fold_batch_norms import fold_batch_norms
from wherry.passes.fold_constants import fold_constants

C = 6


def norm_op(tf: Any, x: Any, training: bool = False) -> Any:
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=1 + 0.3 * weights(C, seed=4), offset=weights(C, seed=5), mean=weights(C, seed=6),
        variance=np.exp(weights(C, seed=7)), epsilon=1e-3, is_training=training).y  # fmt: skip


def norm_arithmetic(tf: Any, x: Any) -> Any:
    return tf.nn.batch_normalization(
        x, weights(1, 1, 1, C), np.exp(weights(1, 1, 1, C, seed=8)), weights(1, 1, 1, C, seed=9),
        weights(1, 1, 1, C, seed=10), 1e-3)  # fmt: skip


def conv(tf: Any, x: Any) -> Any:
    return tf.nn.conv2d(x, weights(3, 3, 4, C), 1, "SAME")


def depthwise(tf: Any, x: Any) -> Any:
    return tf.nn.depthwise_conv2d(x, weights(3, 3, 3, 2), [1, 1, 1, 1], "SAME")


def transposed(tf: Any, x: Any) -> Any:
    return tf.nn.conv2d_transpose(x, weights(3, 3, C, 4), [2, 10, 10, C], 2, "SAME")


def matmul(tf: Any, x: Any) -> Any:
    return tf.matmul(x, weights(C, 4), transpose_b=True)


BEHIND: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...], list[str]]] = {
    "norm op": (lambda tf, x: norm_op(tf, conv(tf, x)), (2, 5, 5, 4), ["BiasAdd", "Conv2D"]),
    "norm as arithmetic": (lambda tf, x: norm_arithmetic(tf, conv(tf, x)), (2, 5, 5, 4), ["BiasAdd", "Conv2D"]),
    "bias and norm": (
        lambda tf, x: norm_op(tf, tf.nn.bias_add(conv(tf, x), weights(C))), (2, 5, 5, 4), ["BiasAdd", "Conv2D"]),
    "two norms": (lambda tf, x: norm_op(tf, norm_arithmetic(tf, conv(tf, x))), (2, 5, 5, 4), ["BiasAdd", "Conv2D"]),
    "depthwise": (
        lambda tf, x: norm_op(tf, depthwise(tf, x)), (2, 5, 5, 3), ["BiasAdd", "DepthwiseConv2dNative"]),
    "transposed": (
        lambda tf, x: norm_op(tf, transposed(tf, x)), (2, 5, 5, 4), ["BiasAdd", "Conv2DBackpropInput"]),
    "matmul": (
        lambda tf, x: (matmul(tf, x) - weights(C)) * weights(1, C) + weights(C), (3, 4), ["BiasAdd", "MatMul"]),
    "minus from": (lambda tf, x: weights(C) - matmul(tf, x) / np.exp(weights(C)), (3, 4), ["BiasAdd", "MatMul"]),
    "scale alone": (lambda tf, x: 2.5 * conv(tf, x), (2, 5, 5, 4), ["Conv2D"]),
    "not per channel": (
        lambda tf, x: conv(tf, x) * weights(1, 5, 1, 1), (2, 5, 5, 4), ["Conv2D", "Mul"]),
    "broadcast that grows": (lambda tf, x: matmul(tf, x) + weights(2, 1, C), (3, 4), ["AddV2", "MatMul"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BEHIND)
def test_behind_a_linear_op(name: str) -> None:
    import tensorflow as tf

    build, shape, expected = BEHIND[name]
    graph = trace(lambda x: tf.abs(build(tf, x)), shape)
    check(graph, fold_constants, fold_batch_norms, tolerance=ROUNDING)
    assert ops(graph) == sorted([*expected, "Abs"])
    assert fold_batch_norms(graph) == 0


BEFORE: dict[str, tuple[Callable[[Any, Any], Any], list[str]]] = {
    "valid": (lambda tf, x: tf.nn.conv2d(norm_op(tf, x), weights(3, 3, C, 4), 1, "VALID"), ["BiasAdd", "Conv2D"]),
    "1x1 same": (lambda tf, x: tf.nn.conv2d(norm_op(tf, x), weights(1, 1, C, 4), 2, "SAME"), ["BiasAdd", "Conv2D"]),
    "depthwise": (
        lambda tf, x: tf.nn.depthwise_conv2d(norm_op(tf, x), weights(3, 3, C, 2), [1, 1, 1, 1], "VALID"),
        ["BiasAdd", "DepthwiseConv2dNative"]),
    "joins a bias": (
        lambda tf, x: tf.nn.bias_add(tf.nn.conv2d(norm_op(tf, x), weights(1, 1, C, 4), 1, "VALID"), weights(4)),
        ["BiasAdd", "Conv2D"]),
    "scale into padding": (
        lambda tf, x: tf.nn.conv2d(x * weights(C), weights(3, 3, C, 4), 1, "SAME"), ["Conv2D"]),
    "scale into transposed": (
        lambda tf, x: tf.nn.conv2d_transpose(x * weights(C), weights(3, 3, 4, C), [2, 10, 10, 4], 2, "SAME"),
        ["Conv2DBackpropInput"]),
    "offset into padding": (
        lambda tf, x: tf.nn.conv2d(norm_op(tf, x), weights(3, 3, C, 4), 1, "SAME"), ["AddV2", "Conv2D", "Mul"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BEFORE)
def test_before_a_linear_op(name: str) -> None:
    import tensorflow as tf

    build, expected = BEFORE[name]
    graph = trace(lambda x: tf.abs(build(tf, tf.sin(x))), (2, 5, 5, C))
    check(graph, fold_constants, fold_batch_norms, tolerance=ROUNDING)
    assert ops(graph) == sorted([*expected, "Abs", "Sin"])


def test_before_an_activation_it_is_one_multiplication_and_one_addition() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.nn.relu(norm_op(tf, norm_arithmetic(tf, tf.sin(x)))), (2, 5, 5, C))
    check(graph, fold_constants, fold_batch_norms, tolerance=ROUNDING)
    assert ops(graph) == ["AddV2", "Mul", "Relu", "Sin"]


def test_a_tensor_that_others_read_stays() -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        y = conv(tf, x)
        return [norm_op(tf, y), tf.nn.relu(y)]

    graph = trace(build, (2, 5, 5, 4))
    check(graph, fold_batch_norms, tolerance=ROUNDING)
    assert ops(graph) == ["AddV2", "Conv2D", "Mul", "Relu"]


def test_large_weights_that_are_shared_are_not_copied() -> None:
    import tensorflow as tf

    shared = tf.constant  # made inside of the graph

    def build(x: Any, y: Any) -> Any:
        kernel = shared(weights(200, 200))
        return [tf.abs((x @ kernel) * weights(200)), tf.abs((y @ kernel) * 3.0)]

    graph = trace(build, (2, 200), (2, 200))
    check(graph, fold_batch_norms, tolerance=ROUNDING)
    assert ops(graph) == ["Abs", "Abs", "MatMul", "MatMul", "Mul", "Mul"]


def test_folded_weights_are_rounded_once_and_only_when_read() -> None:
    import tensorflow as tf

    graph = trace(lambda x: norm_op(tf, conv(tf, x)), (2, 5, 5, 4))
    kernel = graph.const_value(only(graph, "Conv2D").inputs[1])
    assert kernel is not None
    fold_batch_norms(graph)
    value = graph.const_value(only(graph, "Conv2D").inputs[1])
    assert isinstance(value, lazy_values.DerivedValue)
    scale = (1 + 0.3 * weights(C, seed=4)).astype(np.float64) / np.sqrt(
        np.exp(weights(C, seed=7)).astype(np.float64) + np.float32(1e-3)
    )
    assert np.array_equal(value.numpy(), (kernel.numpy() * scale).astype(np.float32))


def test_training_mode_is_left_alone() -> None:
    import tensorflow as tf

    graph = trace(lambda x: norm_op(tf, conv(tf, x), training=True), (2, 5, 5, 4))
    for node in graph.by_op("FusedBatchNormV3"):
        node.inputs[3:] = [graph.add_const("empty", np.zeros(0, np.float32))] * 2
    check(graph, fold_batch_norms)
    assert ops(graph) == ["Conv2D", "FusedBatchNormV3"]
