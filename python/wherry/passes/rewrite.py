"""What every rewriting pass asks of a graph: who uses a tensor, what is constant, what is safe to move.

A pass collects `Uses` once, rewrites chains that do not overlap, and drops what became unreachable at the end, so it
stays linear in the size of the graph. The last node of a chain is rewritten in place: it keeps its name, and its
consumers need no change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from wherry.graph import DType, FuncName, Graph, Node, Ref
from wherry.passes.composite import KERNEL_ATTR

CONTROL_FLOW = frozenset({"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond", "RefSwitch", "RefMerge"})


class Uses:
    """Who reads each tensor of a graph, at the moment it was made."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.consumers = graph.consumers()
        self._pinned = set(graph.outputs.values())
        for node in graph.nodes.values():
            self._pinned.update(Ref(name) for name in node.controls)

    def is_output(self, ref: Ref) -> bool:
        """Whether something beside data edges needs the tensor: an output of the graph, a control edge."""
        return ref in self._pinned

    def count(self, ref: Ref) -> int:
        return len(self.consumers.get(ref, ())) + self.is_output(ref)

    def only_consumer(self, ref: Ref) -> tuple[Node, int] | None:
        """The one node that reads a tensor, and the input position, when nothing else does."""
        found = self.consumers.get(ref, ())
        if len(found) != 1 or self.is_output(ref):
            return None
        return found[0]

    def is_private(self, node: Node) -> bool:
        """Whether nothing but the node's output 0 is used, and that just once."""
        outputs = range(max(1, node.num_outputs or 1, len(node.types)))
        return all(self.count(Ref(node.name, i)) == (1 if i == 0 else 0) for i in outputs) and not self.is_output(
            Ref(node.name)
        )


def bodies(graph: Graph) -> Iterator[Graph]:
    """The graph itself, then the bodies of the functions it calls; composites keep theirs as they are."""
    yield graph
    seen: set[str] = set()
    stack = [graph]
    while stack:
        for node in stack.pop().nodes.values():
            if KERNEL_ATTR in node.attrs:
                continue
            for name in called_functions(node):
                if name not in seen and name in graph.functions:
                    seen.add(name)
                    body = graph.functions[name].graph
                    stack.append(body)
                    yield body


def called_functions(node: Node) -> Iterator[str]:
    """Names of the functions that a node's attributes mention."""
    for value in node.attrs.values():
        if isinstance(value, FuncName):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, FuncName))


def remove_unused_functions(graph: Graph) -> int:
    """Drops functions that nothing calls. Returns how many."""
    used: set[str] = set()
    stack = [graph]
    while stack:
        for node in stack.pop().nodes.values():
            for name in called_functions(node):
                if name not in used and name in graph.functions:
                    used.add(name)
                    stack.append(graph.functions[name].graph)
    before = len(graph.functions)
    graph.functions = {name: function for name, function in graph.functions.items() if name in used}
    return before - len(graph.functions)


def small_const(graph: Graph, ref: Ref, limit: int = 1 << 16) -> np.ndarray | None:
    """The array behind a reference when it is a constant of at most `limit` elements."""
    value = graph.const_value(ref)
    if value is None or not value.type.is_static or math.prod(d or 0 for d in value.type.shape or ()) > limit:
        return None
    return value.numpy()


def become(
    node: Node, op: str, inputs: list[Ref], attrs: dict[str, Any], controls: list[str] | None = None
) -> None:
    """Turns a node into another op that computes the same tensor; name and types stay."""
    node.op, node.inputs, node.attrs, node.value = op, inputs, attrs, None
    if controls is not None:
        node.controls = controls


def static_shape(graph: Graph, ref: Ref) -> tuple[int, ...] | None:
    """The shape of a tensor when it is fully known."""
    node = graph.nodes[ref.node]
    if ref.index >= len(node.types) or not node.types[ref.index].is_static:
        return None
    shape = node.types[ref.index].shape
    assert shape is not None
    return tuple(d for d in shape if d is not None)


def rank_of(graph: Graph, ref: Ref) -> int | None:
    node = graph.nodes[ref.node]
    if ref.index >= len(node.types):
        return None
    shape = node.types[ref.index].shape
    return None if shape is None else len(shape)


def per_channel(array: np.ndarray, rank: int, channels: int) -> np.ndarray | None:
    """A constant as a float64 vector [channels] when broadcasting it to a tensor of `rank` is per last dimension."""
    if array.ndim > rank or array.size not in (1, channels) or (array.size > 1 and array.shape[-1] != channels):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (channels,))


def is_float(node: Node) -> bool:
    return node.attrs.get("T") == DType.FLOAT
