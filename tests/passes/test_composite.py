"""Composites: TensorFlow still runs them, equal bodies are stored once, marks come back as they went in."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import check, ops, trace
from wherry.graph import Graph, Ref
from wherry.graph.convert import from_graphdef, to_graphdef
from wherry.passes.composite import composite_attrs, composite_kernel, make_composite
from wherry.runtime.tensorflow_runner import run_graph


def two_scaled_relus() -> Graph:
    import tensorflow as tf

    return trace(lambda x: tf.nn.relu(tf.nn.relu(x * 2.0) * 2.0), (3, 4))


def fuse(graph: Graph) -> int:
    for relu in graph.by_op("Relu"):
        product = graph.nodes[relu.inputs[0].node]
        make_composite(graph, [product, relu], "ScaledRelu", {"limit": 3, "name": b"x"}, product.inputs,
                       [Ref(relu.name)])  # fmt: skip
    return 2


def test_equal_bodies_share_one_function() -> None:
    graph = two_scaled_relus()
    assert check(graph, fuse) == 2
    assert ops(graph) == ["PartitionedCall", "PartitionedCall"]
    assert len(graph.functions) == 1


def test_marks_survive_a_graphdef() -> None:
    graph = two_scaled_relus()
    fuse(graph)
    again = from_graphdef(to_graphdef(graph))
    for node in again.by_op("PartitionedCall"):
        assert composite_kernel(node) == "ScaledRelu"
        assert composite_attrs(node) == {"limit": 3, "name": b"x"}


def test_a_plain_call_is_no_composite() -> None:
    graph = two_scaled_relus()
    assert all(composite_kernel(node) is None for node in graph.nodes.values())


def test_several_outputs_are_redirected() -> None:
    import tensorflow as tf

    def build(x: tf.Tensor) -> list[tf.Tensor]:
        a, b = tf.split(x, 2, axis=1)
        return [tf.exp(b), a - b]

    graph = trace(build, (2, 6))
    inputs = {"x0": np.arange(12, dtype=np.float32).reshape(2, 6)}
    want = run_graph(graph, inputs)
    split, minus = graph.by_op("Split")[0], graph.by_op("Sub")[0]
    make_composite(graph, [split, minus], "Halves", {}, list(split.inputs), [Ref(minus.name), Ref(split.name, 1)])
    got = run_graph(graph, inputs)
    assert all(np.array_equal(want[name], got[name]) for name in want)


def test_a_body_that_reads_something_else_is_refused() -> None:
    graph = two_scaled_relus()
    relu = graph.by_op("Relu")[0]
    with pytest.raises(ValueError, match="not an input of the composite"):
        make_composite(graph, [relu], "Broken", {}, [], [Ref(relu.name)])
