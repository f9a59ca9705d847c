"""Constant folding computes what it should, and leaves what would make the model larger or different."""

from __future__ import annotations

import numpy as np
from small_graphs import check, ops, trace, weights
from wherry.graph import ArrayValue
from wherry.passes.fold_constants import fold_constants
from wherry.passes.lazy_values import DerivedValue


def test_constants_fold_down_to_the_frontier() -> None:
    import tensorflow as tf

    def build(x: tf.Tensor) -> tf.Tensor:
        a = tf.constant(weights(4))
        return x * (tf.math.rsqrt(a * a + 0.1) - tf.exp(a))

    graph = trace(build, (3, 4))
    assert check(graph, fold_constants) > 0
    assert ops(graph) == ["Mul"]
    assert len(graph.nodes) == 3


def test_shape_arithmetic_disappears() -> None:
    import tensorflow as tf

    def build(x: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)
        flat = tf.reshape(x, tf.stack([shape[0], shape[1] * shape[2]]))
        return flat * tf.cast(tf.size(x) + tf.rank(x), tf.float32)

    graph = trace(build, (2, 3, 4))
    check(graph, fold_constants)
    assert ops(graph) == ["Mul", "Reshape"]


def test_what_depends_on_an_unknown_batch_stays() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.reshape(x, tf.stack([tf.shape(x)[0], 12])), (None, 3, 4))
    check(graph, fold_constants)
    assert "Shape" in ops(graph)


def test_folding_shapes_lets_inference_go_on() -> None:
    import tensorflow as tf

    def build(x: tf.Tensor) -> tf.Tensor:
        # TensorFlow's inference does not look through Where; folding does.
        n = tf.reduce_sum(tf.where(tf.shape(x) > 2)[:, 0])
        y = tf.reshape(x, tf.stack([tf.cast(n, tf.int32), -1]))
        return tf.reshape(tf.exp(y), tf.reverse(tf.shape(y), [0]))

    graph = trace(build, (2, 3, 4))
    check(graph, fold_constants)
    assert ops(graph) == ["Exp", "Reshape", "Reshape"]


def test_nothing_grows_much() -> None:
    import tensorflow as tf

    graph = trace(lambda x: x + tf.fill([300, 300], 2.0) + tf.tile(tf.constant([[1.0]]), [300, 300]), (300, 300))
    check(graph, fold_constants)
    assert {"Fill", "Tile"} <= set(ops(graph))


def test_random_ops_stay() -> None:
    import tensorflow as tf

    graph = trace(lambda x: x + 0.0 * tf.random.uniform([3]), (3,))
    check(graph, fold_constants)
    assert "RandomUniform" in ops(graph)


def test_large_weights_are_rearranged_only_when_read() -> None:
    import tensorflow as tf

    held = weights(64, 2, 160)
    graph = trace(lambda x: x @ tf.transpose(tf.reshape(tf.constant(held), [128, 160])), (3, 160))
    check(graph, fold_constants)
    assert ops(graph) == ["MatMul"]
    large = [node.value for node in graph.by_op("Const") if node.value is not None and node.value.nbytes > 1 << 16]
    assert len(large) == 1 and isinstance(large[0], DerivedValue)
    assert np.array_equal(large[0].numpy(), held.reshape(128, 160).T)


def test_several_outputs_and_outputs_of_the_graph() -> None:
    import tensorflow as tf

    def build(x: tf.Tensor) -> list[tf.Tensor]:
        a, b = tf.split(tf.constant([1.0, 2.0, 3.0, 4.0]), 2)
        return [x * b, a + 1.0, b]

    graph = trace(build, (2,))
    check(graph, fold_constants)
    assert "Split" not in ops(graph)
    assert graph.nodes[graph.outputs["y1"].node].op == "Identity"


def test_bodies_of_loops_are_folded() -> None:
    import tensorflow as tf
    import tensorflow.compat.v1 as tf1

    tf1.enable_control_flow_v2()

    def step(i: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return i + 1, y * tf.exp(tf.constant(0.5) + 1.0)

    graph = trace(lambda x: tf.while_loop(lambda i, y: i < 3, step, [0, x])[1], (2,))
    check(graph, fold_constants)
    assert not any(f.graph.by_op("Exp") for f in graph.functions.values())


def test_a_folded_value_is_an_array() -> None:
    import tensorflow as tf

    graph = trace(lambda x: x + tf.exp(tf.constant([0.0, 1.0])), (2,))
    fold_constants(graph)
    (constant,) = graph.by_op("Const")
    assert isinstance(constant.value, ArrayValue)
