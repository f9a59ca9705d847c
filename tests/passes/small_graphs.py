"""Small graphs from TensorFlow code, and the check that a pass kept what they compute."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from wherry.graph import Graph, Node, Ref
from wherry.graph.convert import from_graphdef
from wherry.passes.infer_shapes import infer_shapes
from wherry.runtime.tensorflow_runner import run_graph

# Passes that only move data must not change a bit.
EXACT = 0.0
# Folding rounds each weight once more and changes the order of a few additions.
ROUNDING = 2e-6
# Whole models, relative to the largest output. TensorFlow's own float32 answer is up to 2.4e-5 away from its float64
# answer on the deepest of them, and so is the optimised graph's: two such errors fit twice over, and nothing that is
# wrong in a weight does.
MODEL = 1e-4


def trace(function: Callable[..., Any], *specs: Any, infer: bool = True) -> Graph:
    """The graph of a Python function of tensors. Inputs are x0, x1, ...; outputs y0, y1, ...

    specs: one per argument: a shape (float32) or a (shape, dtype) pair.
    """
    import tensorflow as tf

    with tf.Graph().as_default() as traced:
        args = []
        for i, spec in enumerate(specs):
            shape, dtype = spec if len(spec) == 2 and not isinstance(spec[1], (int, type(None))) else (spec, "float32")
            args.append(tf.compat.v1.placeholder(dtype, shape, name=f"x{i}"))
        results = function(*args)
        results = list(results) if isinstance(results, (tuple, list)) else [results]
        refs = {f"y{i}": Ref(r.op.name, r.value_index) for i, r in enumerate(results)}
    graph = from_graphdef(traced.as_graph_def(), "test")
    graph.inputs = {f"x{i}": f"x{i}" for i in range(len(specs))}
    graph.outputs = refs
    if infer:
        infer_shapes(graph)
    return graph


def inputs_for(graph: Graph, seed: int = 1) -> dict[str, np.ndarray]:
    """Random inputs for a graph of static or unknown (then: 2) dimensions."""
    rng = np.random.default_rng(seed)
    result = {}
    for name, placeholder in graph.inputs.items():
        attrs = graph.nodes[placeholder].attrs
        shape = [2 if d is None else d for d in attrs["shape"].dims]
        dtype = attrs["dtype"].numpy
        values = rng.normal(size=shape) if dtype.kind == "f" else rng.integers(0, 4, shape)
        result[name] = values.astype(dtype)
    return result


def error(want: np.ndarray, got: np.ndarray) -> float:
    """The largest difference relative to the largest value; infinite where shapes or types differ."""
    if want.shape != got.shape or want.dtype != got.dtype:
        return float("inf")
    if want.size == 0:
        return 0.0
    difference = np.abs(want.astype(np.float64) - got.astype(np.float64)).max()
    return float(difference / max(np.abs(want).astype(np.float64).max(), 1e-30))


def check(graph: Graph, *passes: Callable[[Graph], int], tolerance: float = EXACT) -> int:
    """Runs passes; asserts that TensorFlow's answer stays and that types agree. Returns the last pass's count."""
    inputs = inputs_for(graph)
    want = run_graph(graph, inputs)
    changes = 0
    for step in passes:
        changes = step(graph)
        got = run_graph(graph, inputs)
        assert got.keys() == want.keys()
        for name in want:
            assert error(want[name], got[name]) <= tolerance, f"{name} after {step.__name__}"
        assert_types(graph, got)
    return changes


def assert_types(graph: Graph, outputs: dict[str, np.ndarray]) -> None:
    """Whether the types the graph claims for its outputs are those that TensorFlow delivers."""
    for name, ref in graph.outputs.items():
        types = graph.nodes[ref.node].types
        if ref.index < len(types):
            held = types[ref.index]
            assert held.dtype.numpy == outputs[name].dtype
            assert held.shape is None or len(held.shape) == outputs[name].ndim
            for known, real in zip(held.shape or (), outputs[name].shape, strict=False):
                assert known in (None, real), f"{name}: {held} but TensorFlow says {outputs[name].shape}"


def ops(graph: Graph) -> list[str]:
    """Sorted op names, constants and inputs left out."""
    return sorted(node.op for node in graph.nodes.values() if node.op not in ("Const", "Placeholder"))


def only(graph: Graph, op: str) -> Node:
    """The one node of an op."""
    (node,) = graph.by_op(op)
    return node


def weights(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def duplicate(graph: Graph) -> Graph:
    return copy.deepcopy(graph)
