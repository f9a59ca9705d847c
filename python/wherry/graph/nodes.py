"""NodeDef <-> Node, and the nodes that stand for a quantized constant in a GraphDef."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from wherry.errors import LoadError
from wherry.graph.attributes import attr_from_proto, attr_to_proto, value_from_proto, value_to_proto
from wherry.graph.graph import Graph, Node, Ref
from wherry.graph.types import DType
from wherry.graph.values import ArrayValue, QuantizedValue


def node_from_proto(node_def: Any) -> Node:
    """Name, op, attributes and value of a NodeDef; the inputs are left to the caller."""
    node = Node(node_def.name, node_def.op)
    is_const = node_def.op == "Const"
    try:
        for key, attr in node_def.attr.items():
            if is_const and key == "value":
                node.value = value_from_proto(attr.tensor)
            else:
                node.attrs[key] = attr_from_proto(attr)
    except (KeyError, TypeError, ValueError) as error:
        raise LoadError(
            f"node {node_def.name!r} ({node_def.op}): attribute {key!r} is damaged: {error}"
        ) from error
    if is_const and node.value is None:
        raise LoadError(f"node {node_def.name!r} is a Const without a value")
    return node


def node_to_proto(node: Node, node_def: Any) -> None:
    """Fills in name, op, attributes and value of a NodeDef; the inputs are left to the caller."""
    node_def.name = node.name
    node_def.op = node.op
    for key in sorted(node.attrs):
        try:
            attr_to_proto(node.attrs[key], node_def.attr[key])
        except TypeError as error:
            raise TypeError(f"node {node.name!r} ({node.op}), attribute {key!r}: {error}") from error
    if node.op == "Const":
        if node.value is None:
            raise ValueError(f"node {node.name!r} is a Const without a value")
        node_def.attr["dtype"].type = int(node.value.type.dtype)
        value_to_proto(node.value, node_def.attr["value"].tensor)


def parse_ref(text: str) -> Ref:
    """`name` or `name:1` as a reference."""
    name, colon, index = text.rpartition(":")
    return Ref(name, int(index)) if colon and index.isdigit() else Ref(text)


def check_references(graph: Graph) -> None:
    """Raises LoadError when a node takes an input from a node that does not exist."""
    for node in graph.nodes.values():
        for name in [ref.node for ref in node.inputs] + node.controls:
            if name not in graph.nodes:
                raise LoadError(
                    f"{graph.name}: node {node.name!r} ({node.op}) takes an input from {name!r}, "
                    "which does not exist"
                )


def expand_quantized(node: Node, taken: Mapping[str, Any]) -> list[Node]:
    """The nodes that stand for a node in a GraphDef: itself, or what dequantizes it. Names avoid those in
    `taken`."""
    value = node.value
    if node.op != "Const" or not isinstance(value, QuantizedValue):
        return [node]

    def fresh(suffix: str) -> str:
        name, number = f"{node.name}/{suffix}", 0
        while name in taken:
            number += 1
            name = f"{node.name}/{suffix}_{number}"
        return name

    def const(suffix: str, array: np.ndarray) -> Node:
        held = ArrayValue(array)
        return Node(
            fresh(suffix), "Const", controls=list(node.controls), attrs={"dtype": held.type.dtype}, value=held
        )

    codes = const("codes", value.codes)
    steps = [
        Node(
            node.name,
            "Cast",
            [Ref(codes.name)],
            attrs={"SrcT": codes.attrs["dtype"], "DstT": DType.FLOAT, "Truncate": False},
        )
    ]
    nodes = [codes]
    if value.format != "float16":
        shape = [1] * value.codes.ndim
        if value.axis is not None:
            shape[value.axis] = -1
        operands = [("Mul", "scale", value.scale)]
        if value.offset is not None:
            operands.append(("AddV2", "offset", value.offset))
        for op, suffix, array in operands:
            steps[-1].name = fresh("cast" if len(steps) == 1 else "scaled")
            operand = const(suffix, np.asarray(array, np.float32).reshape(shape))
            nodes.append(operand)
            steps.append(
                Node(node.name, op, [Ref(steps[-1].name), Ref(operand.name)], attrs={"T": DType.FLOAT})
            )
    return nodes + steps
