"""Linear ops: convolutions and matrix products with constant weights, and how to scale their output channels."""

from __future__ import annotations

import numpy as np

from wherry.graph import Graph, Node, Ref, Value
from wherry.passes import lazy_values
from wherry.passes.rewrite import is_float

# Op -> position of the input that varies, position of the weights.
INPUTS = {
    "Conv2D": (0, 1),
    "DepthwiseConv2dNative": (0, 1),
    "Conv2DBackpropInput": (2, 1),
    "MatMul": (0, 1),
}


def is_linear(graph: Graph, node: Node) -> bool:
    """Whether a node is a linear op in float with constant weights."""
    return node.op in INPUTS and is_float(node) and graph.const_value(node.inputs[INPUTS[node.op][1]]) is not None


def data_input(node: Node) -> Ref:
    return node.inputs[INPUTS[node.op][0]]


def weights_input(node: Node) -> Ref:
    return node.inputs[INPUTS[node.op][1]]


def weights_shape(graph: Graph, node: Node) -> tuple[int, ...]:
    value = graph.const_value(weights_input(node))
    assert value is not None and value.type.shape is not None
    return tuple(d or 0 for d in value.type.shape)


def out_channels(graph: Graph, node: Node) -> int:
    shape = weights_shape(graph, node)
    if node.op == "DepthwiseConv2dNative":
        return shape[2] * shape[3]
    if node.op == "Conv2DBackpropInput":
        return shape[2]
    if node.op == "MatMul" and node.attrs.get("transpose_b"):
        return shape[0]
    return shape[-1]


def in_channels(graph: Graph, node: Node) -> int:
    shape = weights_shape(graph, node)
    if node.op == "MatMul":
        return shape[1] if node.attrs.get("transpose_b") else shape[0]
    return shape[3] if node.op == "Conv2DBackpropInput" else shape[2]


def scaled_by_output(graph: Graph, node: Node, scale: np.ndarray) -> Value:
    """The weights that give every output channel times `scale` [out channels]."""
    value = graph.const_value(weights_input(node))
    assert value is not None
    if node.op == "DepthwiseConv2dNative":
        return lazy_values.scaled(value, scale.reshape(weights_shape(graph, node)[2:]))
    if node.op == "Conv2DBackpropInput" or (node.op == "MatMul" and node.attrs.get("transpose_b")):
        return lazy_values.scaled(value, scale[:, None])
    return lazy_values.scaled(value, scale)


def scaled_by_input(graph: Graph, node: Node, scale: np.ndarray) -> Value:
    """The weights that take every input channel times `scale` [in channels]."""
    value = graph.const_value(weights_input(node))
    assert value is not None
    if node.op == "Conv2DBackpropInput" or (node.op == "MatMul" and node.attrs.get("transpose_b")):
        return lazy_values.scaled(value, scale)
    return lazy_values.scaled(value, scale[:, None])


def response_to_offset(graph: Graph, node: Node, offset: np.ndarray) -> np.ndarray:
    """What a constant `offset` [in channels] on the input adds to every output [out channels], without padding."""
    value = graph.const_value(weights_input(node))
    assert value is not None
    weights = value.numpy().astype(np.float64)
    if node.op == "MatMul":
        result = weights @ offset if node.attrs.get("transpose_b") else offset @ weights
    elif node.op == "Conv2D":
        result = np.einsum("hwio,i->o", weights, offset)
    elif node.op == "DepthwiseConv2dNative":
        result = np.einsum("hwim,i->im", weights, offset).reshape(-1)
    else:
        raise ValueError(f"{node.op} pads by its nature")
    return np.asarray(result, np.float64)


def pads_nothing(graph: Graph, node: Node) -> bool:
    """Whether no output of the op sees a padded zero."""
    if node.op == "MatMul":
        return True
    if node.op not in ("Conv2D", "DepthwiseConv2dNative"):
        return False
    padding = node.attrs.get("padding")
    return padding == b"VALID" or (padding == b"SAME" and weights_shape(graph, node)[:2] == (1, 1))
