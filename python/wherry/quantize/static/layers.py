"""Which nodes of an optimised graph have kernels on 8-bit codes, and what those need to know of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from wherry.graph import DType, Graph, Node, Ref
from wherry.ops.rules import ALIASES, composite_op, runtime_attrs
from wherry.passes.rewrite import static_shape
from wherry.quantize.static.functions import source_of

CONVOLUTIONS = frozenset({"Conv2D", "_FusedConv2D"})
DEPTHWISE = frozenset({"DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"})
PRODUCTS = frozenset({"MatMul", "_FusedMatMul"})
RESIDUAL = "FusedConv2DAdd"
LINEAR = CONVOLUTIONS | DEPTHWISE | PRODUCTS | {RESIDUAL}
# What only moves codes: the scale stays.
MOVES = frozenset({
    *ALIASES, "Transpose", "MaxPool", "Pad", "PadV2", "MirrorPad", "StridedSlice", "Slice", "DepthToSpace",
    "SpaceToDepth", "Tile", "ReverseV2",
}) - {"CheckNumerics"}
_CUTS = ("", "Relu", "Relu6")  # activations that are a limit of the codes
_MOST_DEPTH = 65536  # of a product whose sums fit int32


def op_of(node: Node) -> str:
    return composite_op(node.op, node.attrs)


def activation_of(node: Node) -> str:
    found: Any = runtime_attrs(op_of(node), node.attrs).get("activation", "")
    return found.decode() if isinstance(found, bytes) else str(found)


def data_positions(op: str) -> list[int]:
    """Positions of what an op computes on."""
    return [0, 3] if op == RESIDUAL else [0, 1] if op in ("AddV2", "Add", "Mul") else [0]


def data_inputs(graph: Graph, node: Node) -> list[Ref]:
    """What a node computes on: no weights, biases, axes or paddings. Of a function of one tensor, that tensor."""
    op = op_of(node)
    source = source_of(graph, node)
    if source is not None:
        return [source]
    if op == "ConcatV2":
        return list(node.inputs[:-1])
    return [node.inputs[position] for position in data_positions(op)]


def can_compute(graph: Graph, node: Node) -> bool:
    """Whether there is a kernel on codes for a node, if what it computes on is codes."""
    if len(node.types) != 1 or node.types[0].dtype is not DType.FLOAT or not node.types[0].is_static:
        return False
    if 0 in (node.types[0].shape or ()) or not node.inputs:
        return False
    op = op_of(node)
    if any(graph.const_value(ref) is not None for ref in data_inputs(graph, node)):
        return False
    if op in LINEAR:
        return _linear(graph, node, op)
    if source_of(graph, node) is not None:
        return True
    if op in ("AddV2", "Add"):
        return len({static_shape(graph, ref) for ref in (*node.inputs, Ref(node.name))}) == 1
    if op == "Mul":
        return factor_position(graph, node) is not None
    if op == "Mean":
        return _is_global_mean(graph, node)
    if op in ("AvgPool", "MaxPool"):
        return node.attrs.get("data_format", b"NHWC") == b"NHWC"
    return op == "ConcatV2" or op in MOVES


def factor_position(graph: Graph, node: Node) -> int | None:
    """Of a Mul, which input may be the second of QLinearMul: of the same shape, or one value a channel of an image."""
    shapes = [static_shape(graph, ref) for ref in node.inputs]
    whole = static_shape(graph, Ref(node.name))
    for position in (1, 0):
        if shapes[1 - position] != whole or shapes[position] is None or whole is None:
            continue
        if shapes[position] == whole:
            return position
        if len(whole) >= 2 and shapes[position] == (whole[0], *[1] * (len(whole) - 2), whole[-1]):
            return position
    return None


def _is_global_mean(graph: Graph, node: Node) -> bool:
    axes = graph.const_value(node.inputs[1])
    shape = static_shape(graph, node.inputs[0])
    if axes is None or shape is None or len(shape) != 4:
        return False
    return sorted(int(a) % 4 for a in np.atleast_1d(axes.numpy())) == [1, 2]


def _linear(graph: Graph, node: Node, op: str) -> bool:
    value = graph.const_value(node.inputs[1])
    if value is None or value.type.dtype is not DType.FLOAT or activation_of(node) not in _CUTS:
        return False
    weight = static_shape(graph, node.inputs[1])
    source = static_shape(graph, node.inputs[0])
    if weight is None or source is None or node.attrs.get("data_format", b"NHWC") != b"NHWC":
        return False
    if len(node.inputs) > 2 and graph.const_value(node.inputs[2]) is None:
        return False
    if op in DEPTHWISE:
        return weight[3] == 1
    if op in PRODUCTS:
        return len(source) == 2 and not node.attrs.get("transpose_a") and max(weight) <= _MOST_DEPTH
    return source[3] == weight[2] and int(np.prod(weight[:3])) <= _MOST_DEPTH


def choose(graph: Graph, kept: Collection[str]) -> set[str]:
    """Names of the nodes that compute on codes. kept: names of those that must not.

    Convolutions and products do wherever they can. Other nodes do when one of their inputs is codes already and what
    they make is read as codes.
    """
    needed = graph.reachable()
    order = [node for node in graph.topological() if node.name in needed]
    chosen: set[str] = set()
    for node in order:
        if node.name in kept or node.op in ("Const", "Placeholder") or not can_compute(graph, node):
            continue
        sources = [ref.node for ref in data_inputs(graph, node)]
        if op_of(node) in LINEAR or any(name in chosen for name in sources):
            chosen.add(node.name)
    wanted: set[Ref] = set()
    for node in reversed(order):
        if node.name in chosen and op_of(node) not in LINEAR and Ref(node.name) not in wanted:
            chosen.discard(node.name)
        if node.name in chosen:
            wanted.update(data_inputs(graph, node))
    return chosen
