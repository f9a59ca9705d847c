"""Which layers with 8-bit weights multiply in whole numbers, with activations quantized as they run.

A node says so with the attribute INTEGER; lowering then takes the kernel that does (its key ends in di8), if there is one.
"""

from __future__ import annotations

import math

from wherry.graph import Graph, Node, QuantizedValue
from wherry.ops.rules import INTEGER, WeightUse, composite_op, rule_for

MAX_DEPTH = 65536  # rows of a weight for which no sum of products of codes leaves int32 (cpp/math/qgemm.h)


def integer_layers(graph: Graph) -> list[Node]:
    """The nodes that could multiply in whole numbers: products and convolutions with symmetric 8-bit weights."""
    return [node for node in graph.topological() if _fits(graph, node)]


def set_arithmetic(nodes: list[Node], integer: bool) -> None:
    for node in nodes:
        if integer:
            node.attrs[INTEGER] = True
        else:
            node.attrs.pop(INTEGER, None)


def _fits(graph: Graph, node: Node) -> bool:
    weights = rule_for(composite_op(node.op, node.attrs)).weights
    if not weights or node.attrs.get("transpose_a"):
        return False
    for position, use in weights.items():
        value = graph.const_value(node.inputs[position])
        if not isinstance(value, QuantizedValue) or value.format != "int8":
            return False
        shape = value.codes.shape
        if use is WeightUse.FILTER:
            image = graph.type_of(node.inputs[0]).shape
            if image is None or image[3] != shape[2]:  # grouped
                return False
        elif use is not WeightUse.MATRIX:
            return False
        if math.prod(shape) // max(shape[0 if node.attrs.get("transpose_b") else -1], 1) > MAX_DEPTH:
            return False
    return True
