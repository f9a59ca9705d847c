"""Biases and activations reach the linear op through reshapes, and only where that computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from small_graphs import ROUNDING, check, ops, trace, weights
from wherry.graph import Graph
from wherry.passes import optimise
from wherry.passes.canonicalise import canonicalise
from wherry.passes.fold_constants import fold_constants
from wherry.passes.simplify import simplify
from wherry.passes.sink_reshapes import sink_reshapes

CASES: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...], list[str]]] = {
    "Conv1D": (
        lambda tf, x: tf.nn.relu(tf.nn.bias_add(tf.nn.conv1d(x, weights(3, 4, 6), 1, "SAME"), weights(6)) * 2.0),
        (2, 9, 4), ["Reshape", "Reshape", "_FusedConv2D"]),
    "dense over a sequence": (
        lambda tf, x: tf.tanh(tf.linalg.matmul(x, weights(4, 6)) * weights(1, 1, 6) + weights(6)), (2, 9, 4),
        ["Reshape", "Reshape", "_FusedMatMul"]),
    "activation through any reshape": (
        lambda tf, x: tf.nn.elu(tf.reshape(tf.matmul(x, weights(4, 6)), [6, 2])), (2, 4),
        ["Reshape", "_FusedMatMul"]),
    "channels that move": (
        lambda tf, x: tf.reshape(tf.matmul(x, weights(4, 6)), [4, 3]) + weights(3), (2, 4),
        ["AddV2", "MatMul", "Reshape"]),
}  # fmt: skip


def _optimise(graph: Graph) -> int:
    return sum(record.changes for record in optimise(graph).records)


@pytest.mark.parametrize("name", CASES)
def test_sink_reshapes(name: str) -> None:
    import tensorflow as tf

    build, shape, expected = CASES[name]
    graph = trace(lambda x: tf.abs(build(tf, x)), shape)
    moved = check(graph, fold_constants, canonicalise, sink_reshapes, tolerance=ROUNDING)
    assert (moved > 0) == (name != "channels that move")
    check(graph, simplify, _optimise, tolerance=ROUNDING)
    assert ops(graph) == sorted(["Abs", *expected])


def test_a_reshape_with_other_readers_stays() -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        y = tf.reshape(tf.matmul(x, weights(4, 6)), [3, 4])
        return [tf.nn.relu(y), tf.exp(y)]

    graph = trace(build, (2, 4))
    assert check(graph, sink_reshapes) == 0
