"""What is computed twice is computed once, unless it is random or an output of its own."""

from __future__ import annotations

from typing import Any

from small_graphs import check, ops, trace, weights
from wherry.passes.merge_duplicates import merge_duplicates


def test_equal_constants_and_computations() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.sin(x + weights(4)) * tf.sin(x + weights(4)), (3, 4))
    assert check(graph, merge_duplicates) == 3
    assert ops(graph) == ["AddV2", "Mul", "Sin"]
    assert len(graph.by_op("Const")) == 1


def test_different_attributes_types_and_values_stay() -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        a = tf.cast(x, tf.int32) + tf.constant(0)
        b = tf.cast(x, tf.int64) + tf.constant(0, tf.int64)
        return [tf.cast(a, tf.int64) + b, tf.nn.leaky_relu(x, 0.1) + tf.nn.leaky_relu(x, 0.2)]

    graph = trace(build, (3, 4))
    assert check(graph, merge_duplicates) == 0


def test_random_numbers_and_outputs_stay_apart() -> None:
    import tensorflow as tf

    graph = trace(lambda x: [tf.exp(x), tf.exp(x), 0.0 * tf.random.uniform([3]) - 0.0 * tf.random.uniform([3])],
                  (3,))  # fmt: skip
    merge_duplicates(graph)
    assert ops(graph).count("RandomUniform") == 2
    assert len(set(graph.outputs.values())) == 3
