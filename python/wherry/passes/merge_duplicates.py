"""Merges nodes that compute the same: equal small constants, and equal ops of equal inputs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, Value
from wherry.passes.fold_constants import LARGE, is_stateful
from wherry.passes.rewrite import CONTROL_FLOW, bodies

_NEVER = frozenset({"Placeholder", "Identity"}) | CONTROL_FLOW


def merge_duplicates(graph: Graph) -> int:
    """Merges in the graph and in the functions it calls. Returns how many nodes went."""
    return sum(_merge_one(body) for body in bodies(graph))


def _merge_one(graph: Graph) -> int:
    first: dict[Any, Node] = {}
    merged: dict[str, str] = {}
    outputs = {ref.node for ref in graph.outputs.values()}
    controlling = {name for node in graph.nodes.values() for name in node.controls}
    for node in graph.topological():
        if merged:
            node.inputs = [Ref(merged.get(ref.node, ref.node), ref.index) for ref in node.inputs]
        if node.name in outputs or node.name in controlling:
            continue
        key = _key(node)
        if key is None:
            continue
        if key in first:
            merged[node.name] = first[key].name
        else:
            first[key] = node
    for name in merged:
        del graph.nodes[name]
    return len(merged)


def _key(node: Node) -> Any:
    """What two nodes share when one can stand for both, or None where a node must stay alone."""
    if node.controls or node.op in _NEVER:
        return None
    if node.value is not None:
        return _value_key(node.value)
    if is_stateful(node.op) or not node.types or any(t.dtype in (DType.VARIANT, DType.RESOURCE) for t in node.types):
        return None
    attrs = tuple((key, _hashable(node.attrs[key])) for key in sorted(node.attrs))
    return node.op, tuple(node.inputs), attrs


def _value_key(value: Value) -> Any:
    if value.type.dtype in (DType.STRING, DType.BFLOAT16) or not value.type.is_static or value.nbytes > LARGE:
        return None
    content = np.ascontiguousarray(value.numpy()).tobytes()
    return "Const", value.type, content if len(content) <= 64 else hashlib.blake2b(content).digest()


def _hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return type(value).__name__, value
