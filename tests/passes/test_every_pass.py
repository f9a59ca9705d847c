"""After every pass, every model is a GraphDef that stock TensorFlow runs to the same answer."""

from __future__ import annotations

import pytest
import zoo
from small_graphs import MODEL, assert_types, error
from wherry.frontend import load
from wherry.graph import Graph
from wherry.graph.convert import from_graphdef, to_graphdef
from wherry.passes import Pass, optimise
from wherry.passes.composite import composite_kernel
from wherry.passes.rewrite import remove_unused_functions
from wherry.runtime.tensorflow_runner import run_graph

NAMES = [name if name in zoo.FAST else pytest.param(name, marks=pytest.mark.slow) for name in zoo.NAMES]
# Ops that no model of the zoo may have left: norms, loops, dilations, and what only rearranges constants. Layer norms
# are of what runs.
GONE = {
    "BatchToSpaceND", "Einsum", "ExpandDims", "FusedBatchNormV3", "Identity", "IdentityN", "Pack", "Rsqrt", "Shape",
    "SpaceToBatchND", "Sqrt", "Squeeze", "Sub", "TensorListStack", "While",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_tensorflow_agrees_after_every_pass(name: str) -> None:
    model, inputs = zoo.build(name), zoo.sample_inputs(name)
    want = model.predict_on_batch(inputs["x"])
    graph = load(model)
    (output,) = graph.outputs

    def judge(step: Pass, current: Graph) -> None:
        again = from_graphdef(to_graphdef(current))
        again.inputs, again.outputs = current.inputs, current.outputs
        got = run_graph(again, inputs)
        assert error(want, got[output]) < MODEL, f"{name} after {step.name}"
        assert_types(current, got)

    optimise(graph, on_pass=judge)
    left = {node.op for node in graph.nodes.values()}
    gone = GONE - {"Rsqrt"} if name == "transformer" else GONE
    assert left.isdisjoint(gone), left & gone
    assert all(held.is_static for node in graph.nodes.values() for held in node.types)
    assert all(node.types for node in graph.nodes.values())
    assert all(composite_kernel(node) for node in graph.by_op("PartitionedCall"))
    assert remove_unused_functions(graph) == 0


@pytest.mark.parametrize("name", ["mobilenetv2", "autoencoder"])
def test_optimised_graphs_run_with_grappler_too(name: str) -> None:
    """Stock TensorFlow with its own rewriting on, as a user runs a GraphDef."""
    import tensorflow as tf

    model, inputs = zoo.build(name), zoo.sample_inputs(name)
    want = model.predict_on_batch(inputs["x"])
    graph = load(model)
    optimise(graph)
    (placeholder,), (ref,) = graph.inputs.values(), graph.outputs.values()
    graph_def = to_graphdef(graph)
    with tf.Graph().as_default() as imported, tf.compat.v1.Session(graph=imported) as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        got = session.run(f"{ref.node}:{ref.index}", {f"{placeholder}:0": inputs["x"]})
    assert error(want, got) < MODEL
