"""The last step of loading: what only TensorFlow's runtime wants is dropped, and what it would default is
written out.

Control edges only order side effects (printing, assertions); the graph is a function of its inputs, so they
go. In graphs with TensorFlow 1's Switch and Enter they stay, because there they say which branch or frame a
node belongs to.
"""

from __future__ import annotations

import functools
from typing import Any

from wherry.errors import LoadError
from wherry.graph import Graph, Node
from wherry.graph.attributes import attr_from_proto
from wherry.graph.opdefs import op_def

_KEPT_PRIVATE = ("_wherry", "_lower_using_switch_merge")
_OLD_CONTROL_FLOW = frozenset({"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"})


def normalise(graph: Graph) -> None:
    """Tidies the graph and its functions. Raises LoadError for an op that TensorFlow does not know."""
    for part in [graph] + [function.graph for function in graph.functions.values()]:
        _tidy(part, graph)
        part.remove_unreachable()


def _tidy(part: Graph, whole: Graph) -> None:
    keep_controls = any(node.op in _OLD_CONTROL_FLOW for node in part.nodes.values())
    for node in part.nodes.values():
        for key in [key for key in node.attrs if key.startswith("_") and not key.startswith(_KEPT_PRIVATE)]:
            del node.attrs[key]
        if node.op not in whole.functions:
            for key, value in _defaults(node):
                node.attrs.setdefault(key, value)
        if not keep_controls:
            node.controls = []


def _defaults(node: Node) -> tuple[tuple[str, Any], ...]:
    defaults = _defaults_of(node.op)
    if defaults is None:
        raise LoadError(f"node {node.name!r}: TensorFlow has no op {node.op!r} (custom ops are not supported)")
    return defaults


@functools.cache
def _defaults_of(op: str) -> tuple[tuple[str, Any], ...] | None:
    definition = op_def(op)
    if definition is None:
        return None
    return tuple(
        (attr.name, attr_from_proto(attr.default_value))
        for attr in definition.attr
        if attr.HasField("default_value") and not attr.name.startswith("_")
    )
