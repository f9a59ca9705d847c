"""Functions of one tensor: nodes that make each element of their result of one element of a source and of constants.

However many nodes they are (a hard swish is four), on 8-bit codes a table of 256 computes them in one step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wherry.graph import Graph, Node, Ref
from wherry.passes.rewrite import static_shape

Function = Callable[..., np.ndarray]


def _elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _selu(x: np.ndarray) -> np.ndarray:
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))


_UNARY: dict[str, Function] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "Elu": _elu,
    "Selu": _selu,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-np.clip(x, -700, 700))),
    "Tanh": np.tanh,
    "Exp": lambda x: np.exp(np.minimum(x, 88)),
    "Square": np.square,
    "Neg": np.negative,
    "Abs": np.abs,
    "Sqrt": lambda x: np.sqrt(np.maximum(x, 0)),
    "Softplus": lambda x: np.logaddexp(0, x),
    "Softsign": lambda x: x / (1 + np.abs(x)),
}
_BINARY: dict[str, Function] = {
    "AddV2": np.add,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
}


def _function(node: Node) -> Function | None:
    if node.op == "LeakyRelu":
        alpha = float(node.attrs.get("alpha", 0.2))
        return lambda x: np.asarray(np.where(x > 0, x, alpha * x))
    if node.op == "RealDiv":
        return lambda x, y: np.divide(x, y, out=np.zeros(np.broadcast_shapes(x.shape, y.shape)), where=y != 0)
    return _UNARY.get(node.op) or _BINARY.get(node.op)


def source_of(graph: Graph, node: Node) -> Ref | None:
    """The tensor that a node is a function of, or None where it is none: it joins two tensors, or changes the shape."""
    if _function(node) is None:
        return None
    found: set[Ref] = set()
    for ref in node.inputs:
        value = graph.const_value(ref)
        if value is None:
            found.add(ref)
        elif value.type.nbytes != value.type.dtype.size:
            return None
    if len(found) == 2:
        found = {_root(graph, ref) for ref in found}
    if len(found) != 1:
        return None
    (source,) = found
    return source if static_shape(graph, source) == static_shape(graph, Ref(node.name)) else None


def _root(graph: Graph, ref: Ref) -> Ref:
    """Through functions of one tensor, to what the first of them takes."""
    node = graph.nodes[ref.node]
    source = source_of(graph, node) if node.op not in ("Const", "Placeholder") else None
    return ref if source is None else _root(graph, source)


def evaluate(graph: Graph, node: Node, source: Ref, values: np.ndarray) -> np.ndarray:
    """What a node makes of values of its source, in float64."""
    function = _function(node)
    assert function is not None
    arguments = []
    for ref in node.inputs:
        constant = graph.const_value(ref)
        if ref == source:
            arguments.append(values.astype(np.float64))
        elif constant is not None:
            arguments.append(constant.numpy().astype(np.float64).reshape(()))
        else:
            arguments.append(evaluate(graph, graph.nodes[ref.node], source, values))
    result: np.ndarray = function(*arguments)
    return result
