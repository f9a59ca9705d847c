"""Runs a float32 graph on samples in the runtime and looks at tensors inside of it, a group of tensors at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from wherry.graph import Graph, Ref
from wherry.plan.arena import plan_arena
from wherry.plan.lower import lower
from wherry.plan.partition import by_count
from wherry.quantize.static.ranges import Calibration, Observed, Scale
from wherry.quantize.static.samples import Samples
from wherry.runtime.executor import Executor
from wherry.runtime.trial import PLANNED_THREADS

_GROUP_BYTES = 128 << 20  # of tensors that are looked at together: each lives to the end of a run
_THREADS = 2


def with_outputs(graph: Graph, refs: Sequence[Ref]) -> Graph:
    """The graph with other outputs; nodes are shared."""
    outputs = {f"tensor{number}": ref for number, ref in enumerate(refs)}
    return Graph(graph.name, graph.nodes, graph.inputs, outputs, graph.functions, graph.versions)


class Runner:
    """A graph as a pack in a temporary folder, opened."""

    def __init__(self, graph: Graph, threads: int = _THREADS) -> None:
        from wherry.pack.writer import write_pack

        program = lower(graph)
        plan_arena(program)
        self._folder = tempfile.TemporaryDirectory(prefix="wherry-")
        path = Path(self._folder.name) / "graph.wherry"
        write_pack(program, by_count(program, 1), path)
        self._executor = Executor(path, threads=min(threads, PLANNED_THREADS))
        self.run = self._executor.run

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.close()
        self._folder.cleanup()


def groups(graph: Graph, refs: Sequence[Ref]) -> Iterator[list[Ref]]:
    """Tensors in runs that fit into memory together."""
    held: list[Ref] = []
    size = 0
    for ref in refs:
        nbytes = graph.type_of(ref).nbytes
        if held and size + nbytes > _GROUP_BYTES:
            yield held
            held, size = [], 0
        held.append(ref)
        size += nbytes
    if held:
        yield held


Batches = Callable[[], Iterable[Mapping[str, np.ndarray]]]  # inputs by name, from the first batch on at each call


def visit(graph: Graph, refs: Sequence[Ref], batches: Batches, see: Callable[[Ref, np.ndarray], None]) -> None:
    """Calls see(tensor, values) for every tensor and every batch."""
    for group in groups(graph, refs):
        with Runner(with_outputs(graph, group)) as runner:
            for batch in batches():
                outputs = runner.run(batch)
                for number, ref in enumerate(group):
                    see(ref, outputs[f"tensor{number}"])


def observe(graph: Graph, refs: Sequence[Ref], samples: Samples, calibration: Calibration) -> dict[Ref, Scale]:
    """The scale of each tensor's codes."""
    found = {ref: Observed() for ref in refs}
    visit(graph, refs, samples.batches, lambda ref, values: found[ref].see(values))
    if calibration.needs_histogram:
        visit(graph, refs, samples.batches, lambda ref, values: found[ref].count(values))
    return {ref: observed.scale(calibration) for ref, observed in found.items()}
