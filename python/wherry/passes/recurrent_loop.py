"""Reads a While as what Keras means by it: so many steps over a sequence, a state, and a list of results.

Keras (2 and 3) turns a recurrent layer into a While over counters, TensorLists and states. Nothing is
assumed here of names or of the order of the loop's variables; each is told by what the body does to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wherry.graph import DType, Function, Graph, Node, Ref, Value
from wherry.passes.recurrent_expr import PASS_THROUGH, Algebra, Constant, Expr, scalar
from wherry.passes.recurrent_rules import evaluate

LOOP_OPS = ("While", "StatelessWhile")


@dataclass(eq=False)
class Result:
    """A list that the loop writes: a value of every step, or of the last one only."""

    value: Expr
    every_step: bool


@dataclass(eq=False)
class Loop:
    """steps: T; batch: B; features: I.

    sequence: [T, B, I], read at 0, 1, ... T-1; item: the expression of one step's slice [B, I].
    states: variable -> its leaf; updates: variable -> its next value; initial: variable -> what it starts as.
    results: variable -> what the list holds. counters: variable -> its value after the loop.
    invariants: variables that the body hands on unchanged.
    """

    node: Node
    steps: int
    batch: int
    features: int
    sequence: Ref
    item: Expr
    states: dict[int, Expr]
    updates: dict[int, Expr]
    initial: dict[int, Ref]
    results: dict[int, Result]
    counters: dict[int, np.ndarray]
    invariants: set[int]
    algebra: Algebra


def origin(graph: Graph, ref: Ref) -> Ref:
    """The reference behind any number of nodes that hand their input on."""
    while graph.nodes[ref.node].op in PASS_THROUGH:
        ref = graph.nodes[ref.node].inputs[0]
    return ref


def read_loop(graph: Graph, node: Node) -> Loop | None:
    """The loop behind a While, or None where it is not a plain loop over one sequence of known length.

    Raises KeyError where shape inference has not run.
    """
    body = graph.functions.get(str(node.attrs.get("body")))
    cond = graph.functions.get(str(node.attrs.get("cond")))
    if body is None or cond is None or not len(body.args) == len(cond.args) == len(node.inputs):
        return None
    sources = [origin(graph, ref) for ref in node.inputs]
    found = _sequence(graph, body, sources)
    if found is None:
        return None
    sequence, (steps, batch, features) = found

    algebra = Algebra(batch)
    kept = {i for i, arg in enumerate(body.args) if origin(body.graph, body.results[i]) == Ref(arg)}
    leaves = _leaves(graph, sources, kept, algebra)
    if leaves is None:
        return None
    after = evaluate(body.graph, dict(zip(body.args, leaves, strict=True)), body.results, algebra)
    test = evaluate(cond.graph, dict(zip(cond.args, leaves, strict=True)), cond.results, algebra)[0]

    counters = _counters(graph, sources, leaves, after)
    if _trips(test, counters) != steps:
        return None
    loop = Loop(node, steps, batch, features, sequence, leaves[0], {}, {}, {}, {}, {}, kept, algebra)
    return loop if _classify(graph, loop, sources, leaves, after, counters) else None


def _sequence(graph: Graph, body: Function, sources: list[Ref]) -> tuple[Ref, tuple[int, int, int]] | None:
    """The one TensorList that the loop reads, as the tensor it was made from, and that tensor's shape."""
    lists = [ref for ref in sources if graph.nodes[ref.node].op == "TensorListFromTensor"]
    if len(lists) != 1:
        return None
    sequence = graph.nodes[lists[0].node].inputs[0]
    dtype, shape = graph.type_of(sequence)
    if dtype is not DType.FLOAT or shape is None or len(shape) != 3:
        return None
    steps, batch, features = shape
    if steps is None or batch is None or features is None:
        return None
    return sequence, (steps, batch, features)


def _leaves(graph: Graph, sources: list[Ref], kept: set[int], algebra: Algebra) -> list[Expr] | None:
    """What stands for each loop variable at the start of a step. None where a state has no known width."""
    leaves: list[Expr] = []
    for i, ref in enumerate(sources):
        value = graph.const_value(ref)
        if i in kept and value is not None:
            leaves.append(algebra.constant(Constant(value)))
            continue
        shape = graph.nodes[ref.node].types[ref.index].shape if graph.nodes[ref.node].types else None
        width = shape[1] if shape is not None and len(shape) == 2 else None
        leaves.append(algebra.make("Leaf", (), i, width))
    return leaves


def _counters(graph: Graph, sources: list[Ref], leaves: list[Expr], after: list[Expr]) -> dict[int, int]:
    """Variables that go up by one, and what they start from."""
    counters = {}
    for i, (leaf, result) in enumerate(zip(leaves, after, strict=True)):
        start = _integer(graph.const_value(sources[i]))
        rest = [arg for arg in result.args if arg is not leaf]
        goes_up = result.op == "Add" and len(result.args) == 2 and len(rest) == 1 and scalar(rest[0]) == 1
        if start is not None and goes_up:
            counters[i] = start
    return counters


def _integer(value: Value | None) -> int | None:
    if value is None or value.type.shape != () or value.type.dtype not in (DType.INT32, DType.INT64):
        return None
    return int(value.numpy())


def _trips(test: Expr, counters: dict[int, int]) -> int | None:
    """How many steps a condition allows: counters below constants, joined by "and"."""
    if test.op == "LogicalAnd":
        trips = [_trips(arg, counters) for arg in test.args]
        return None if None in trips else min(trip for trip in trips if trip is not None)
    if test.op != "Less" or test.args[0].op != "Leaf" or test.args[0].detail not in counters:
        return None
    bound: Any = scalar(test.args[1])
    return None if bound is None else int(bound) - counters[test.args[0].detail]


def _classify(
    graph: Graph,
    loop: Loop,
    sources: list[Ref],
    leaves: list[Expr],
    after: list[Expr],
    counters: dict[int, int],
) -> bool:
    """Fills in the loop's variables by kind. False where one is of no kind that a recurrent layer has."""
    for i, (leaf, result) in enumerate(zip(leaves, after, strict=True)):
        if i in loop.invariants:
            continue
        if i in counters:
            dtype = graph.nodes[sources[i].node].attrs["dtype"].numpy
            loop.counters[i] = np.asarray(counters[i] + loop.steps, dtype)
        elif result.op == "SetItem":
            held = _result(graph, sources[i], leaf, result, counters, loop.steps)
            if held is None:
                return False
            loop.results[i] = held
        elif leaf.width is not None:
            loop.states[i], loop.updates[i], loop.initial[i] = leaf, result, loop.node.inputs[i]
        else:
            return False
    parts = [part for update in loop.updates.values() for part in _parts(update)]
    items = {part.uid: part for part in parts if part.op == "Item"}
    if len(items) != 1:
        return False
    (loop.item,) = items.values()
    list_leaf, index = loop.item.args
    source = sources[list_leaf.detail] if list_leaf.op == "Leaf" else None
    return (
        source is not None
        and graph.nodes[source.node].op == "TensorListFromTensor"
        and list_leaf.detail in loop.invariants
        and index.op == "Leaf"
        and counters.get(index.detail) == 0
    )


def _result(
    graph: Graph, source: Ref, leaf: Expr, result: Expr, counters: dict[int, int], steps: int
) -> Result | None:
    reserve = graph.nodes[source.node]
    target, index, value = result.args
    if reserve.op != "TensorListReserve" or target is not leaf:
        return None
    length = _integer(graph.const_value(origin(graph, reserve.inputs[1])))
    if index.op == "Leaf" and counters.get(index.detail) == 0 and length == steps:
        return Result(value, every_step=True)
    if scalar(index) == 0 and length == 1:
        return Result(value, every_step=False)
    return None


def _parts(expr: Expr) -> list[Expr]:
    """An expression and everything in it, each once."""
    seen: dict[int, Expr] = {}
    stack = [expr]
    while stack:
        part = stack.pop()
        if part.uid not in seen:
            seen[part.uid] = part
            stack.extend(part.args)
    return list(seen.values())
