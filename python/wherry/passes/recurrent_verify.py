"""Runs a loop and what is to replace it in TensorFlow on random input: the last word on every rewrite.

The loop runs its last two steps only, from random states: that uses everything a cell has, costs nothing for
a long sequence, and leaves rounding no time to grow. What is compared is two readings of one formula, so
anything beyond rounding means that the loop was misread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, TensorType
from wherry.graph.graph import ShapeAttr
from wherry.passes.recurrent_loop import Loop

STEPS = 2
TOLERANCE = 1e-4  # of the largest output; rounding of wide products stays below, a misread gate is above

Rewrite = Callable[[Graph, Loop], Mapping[Ref, Ref]]


def agrees(graph: Graph, loop: Loop, outputs: Sequence[Ref], rewrite: Rewrite) -> bool:
    """Whether `rewrite` keeps the last values of `outputs`, for random input and random initial states.

    rewrite: adds the replacement to the graph it is given and returns what stands for each output now.
    """
    from wherry.runtime.tensorflow_runner import run_graph

    part = Graph(name=graph.name, functions=dict(graph.functions), versions=graph.versions)
    steps = min(STEPS, loop.steps)
    sequence = _placeholder(part, "sequence", (loop.steps, loop.batch, loop.features))
    tail = _placeholder(part, "tail", (steps, loop.batch, loop.features))
    initial = {i: _placeholder(part, f"state_{i}", (loop.batch, s.width)) for i, s in loop.states.items()}
    if not _cut_out(graph, part, loop, sequence, initial, outputs):
        return False
    node = part.nodes[loop.node.name]
    for i, end in loop.counters.items():
        node.inputs[i] = part.add_const("start", end - np.asarray(steps, end.dtype))
    replaced = rewrite(
        part, dataclasses.replace(loop, node=node, steps=steps, sequence=tail, initial=initial)
    )
    part.outputs = {f"before{i}": ref for i, ref in enumerate(outputs)}
    part.outputs |= {f"after{i}": replaced[ref] for i, ref in enumerate(outputs)}

    random = np.random.default_rng(0)
    inputs = {
        ref.node: random.standard_normal([d or 1 for d in part.type_of(ref).shape or ()]).astype(np.float32)
        for ref in (sequence, *initial.values())
    }
    inputs[tail.node] = inputs[sequence.node][-steps:]
    results = run_graph(part, inputs)
    return all(_close(results[f"before{i}"], results[f"after{i}"]) for i in range(len(outputs)))


def _close(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether two results agree; of a whole sequence, the new one has the last steps only."""
    if old.ndim == 3:
        old = old[-len(new) :]
    return old.shape == new.shape and bool(np.abs(old - new).max() <= TOLERANCE * np.abs(old).max())


def _cut_out(
    graph: Graph, part: Graph, loop: Loop, sequence: Ref, initial: Mapping[int, Ref], outputs: Sequence[Ref]
) -> bool:
    """Copies the nodes behind `outputs` into `part`, up to the loop's sequence and initial states.

    False where something else that is not a constant goes into the loop.
    """
    stack = [ref.node for ref in outputs]
    while stack:
        name = stack.pop()
        if name in part.nodes:
            continue
        node = graph.nodes[name]
        if node.op == "Placeholder":
            return False
        sources = [sequence if ref == loop.sequence else ref for ref in node.inputs]
        if node is loop.node:
            sources = [initial.get(i, ref) for i, ref in enumerate(sources)]
        part.nodes[name] = dataclasses.replace(node, inputs=sources, controls=[])
        stack.extend(ref.node for ref in sources)
    return True


def _placeholder(graph: Graph, name: str, shape: tuple[int | None, ...]) -> Ref:
    attrs = {"dtype": DType.FLOAT, "shape": ShapeAttr(shape)}
    node = Node(f"wherry_verify/{name}", "Placeholder", attrs=attrs)
    node.types, node.num_outputs = [TensorType(DType.FLOAT, shape)], 1
    return Ref(graph.add(node).name)
