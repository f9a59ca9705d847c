"""GraphDef <-> Graph, library included, losing nothing but device names and debug information.

Every stage of the compiler can hand out a GraphDef that stock TensorFlow runs. Weights that would push the
protobuf past its limit are handed out beside it (`to_graphdef_and_feeds`). A quantized constant becomes the
few ops that turn its codes back: Cast, Mul, AddV2; the last one carries the constant's name.
"""

from __future__ import annotations

import math
from typing import Any

from wherry.errors import LoadError, WherryError
from wherry.graph.functions import functions_from_library, functions_to_library
from wherry.graph.graph import Graph, Node, ShapeAttr
from wherry.graph.nodes import check_references, expand_quantized, node_from_proto, node_to_proto, parse_ref
from wherry.graph.types import DType
from wherry.graph.values import ArrayValue, QuantizedValue, Value

PROTO_LIMIT = (1 << 31) - (
    1 << 20
)  # protobuf refuses messages of 2 GiB; the rest is for everything but weights


def from_graphdef(graph_def: Any, name: str = "model") -> Graph:
    """The Graph of a GraphDef. Its `inputs` and `outputs` are left empty. Raises LoadError on a damaged
    graph."""
    graph = Graph(name=name, versions=(graph_def.versions.producer, graph_def.versions.min_consumer))
    for node_def in graph_def.node:
        if node_def.name in graph.nodes:
            raise LoadError(f"{name}: two nodes are called {node_def.name!r}")
        node = node_from_proto(node_def)
        for item in node_def.input:
            if item.startswith("^"):
                node.controls.append(item[1:])
            else:
                node.inputs.append(parse_ref(item))
        graph.nodes[node.name] = node
    graph.functions = functions_from_library(graph_def.library)
    check_references(graph)
    return graph


def to_graphdef(graph: Graph) -> Any:
    """The GraphDef of a Graph. Raises WherryError when its weights do not fit into one protobuf."""
    graph_def, feeds = to_graphdef_and_feeds(graph)
    if feeds:
        raise WherryError(
            f"{graph.name}: the weights pass the 2 GB that one GraphDef can hold; "
            "use to_graphdef_and_feeds, which hands them out beside it"
        )
    return graph_def


def to_graphdef_and_feeds(graph: Graph, limit_bytes: int = PROTO_LIMIT) -> tuple[Any, dict[str, Value]]:
    """A GraphDef whose constants stay under `limit_bytes`, and the values to feed into what it leaves out.

    Constants are left out from the largest down; each becomes a Placeholder of the same name, type and
    shape (for a quantized constant, the Placeholder of its codes). Constants inside functions always stay
    in.
    """
    from tensorflow.core.framework import graph_pb2

    outside = _constants_to_leave_out(graph, limit_bytes)
    graph_def = graph_pb2.GraphDef()
    graph_def.versions.producer, graph_def.versions.min_consumer = graph.versions
    feeds: dict[str, Value] = {}
    for original in graph.nodes.values():
        for node in expand_quantized(original, graph.nodes):
            if original.name in outside and node.op == "Const" and _is_weight(original, node):
                assert node.value is not None
                feeds[node.name] = node.value
                node = placeholder_for(node)
            node_def = graph_def.node.add()
            node_to_proto(node, node_def)
            node_def.input.extend(map(str, node.inputs))
            node_def.input.extend(f"^{control}" for control in node.controls)
    functions_to_library(graph.functions, graph_def.library)
    return graph_def, feeds


def placeholder_for(node: Node) -> Node:
    """A Placeholder of the name, type and shape of a Const."""
    assert node.value is not None
    dtype, shape = node.value.type
    return Node(node.name, "Placeholder", attrs={"dtype": dtype, "shape": ShapeAttr(shape)})


def _is_weight(original: Node, node: Node) -> bool:
    """Whether a node of an expanded constant holds its bulk: the constant itself, or its codes."""
    return node is original or (
        isinstance(original.value, QuantizedValue)
        and isinstance(node.value, ArrayValue)
        and node.value.array is original.value.codes
    )


def _constants_to_leave_out(graph: Graph, limit_bytes: int) -> set[str]:
    sizes = {
        node.name: _proto_bytes(node.value)
        for node in graph.nodes.values()
        if node.op == "Const" and node.value is not None and node.value.type.dtype is not DType.STRING
    }
    inside = sum(
        _proto_bytes(node.value)
        for function in graph.functions.values()
        for node in function.graph.nodes.values()
        if node.value is not None and node.value.type.dtype is not DType.STRING
    )
    total = inside + sum(sizes.values())
    outside = set()
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if total <= limit_bytes:
            break
        outside.add(name)
        total -= sizes[name]
    return outside


def _proto_bytes(value: Value | None) -> int:
    if isinstance(value, QuantizedValue):
        return value.codes.nbytes
    if value is None:
        return 0
    try:
        return value.nbytes
    except KeyError:  # a type that numpy lacks is at most as wide as float
        return 4 * math.prod(size or 0 for size in value.type.shape or ())
