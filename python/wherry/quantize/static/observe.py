"""Runs a float32 graph on samples in the runtime and looks at tensors inside of it, a group of tensors at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from wherry.graph import Graph, Ref
from wherry.plan.arena import plan_arena
from wherry.plan.lower import lower
from wherry.plan.partition import by_count
from wherry.quantize.static.correct import Means, MeanSums
from wherry.quantize.static.ranges import Calibration, Observed, Scale
from wherry.quantize.static.samples import Samples
from wherry.runtime.executor import Executor
from wherry.runtime.trial import PLANNED_THREADS

if TYPE_CHECKING:
    from wherry.pack.writer import PackedWeights

_Runner = TypeVar("_Runner", bound="Runner")
_GROUP_BYTES = 192 << 20  # of tensors that are looked at together: each lives to the end of a run
_THREADS = 2


def with_outputs(graph: Graph, refs: Sequence[Ref]) -> Graph:
    """The graph with other outputs; nodes are shared."""
    outputs = {f"tensor{number}": ref for number, ref in enumerate(refs)}
    return Graph(graph.name, graph.nodes, graph.inputs, outputs, graph.functions, graph.versions)


class Runner:
    """A graph as a pack in a temporary folder, opened. packed: what several such packs share."""

    def __init__(self, graph: Graph, packed: PackedWeights | None = None) -> None:
        from wherry.pack.writer import write_pack

        program = lower(graph, ordered=False)
        plan_arena(program)
        self._folder = tempfile.TemporaryDirectory(prefix="wherry-")
        path = Path(self._folder.name) / "graph.wherry"
        write_pack(program, by_count(program, 1), path, trials={} if packed is None else packed)
        self._executor = Executor(path, threads=min(_THREADS, PLANNED_THREADS))
        self.run = self._executor.run

    def __enter__(self: _Runner) -> _Runner:
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
        with _Opened(graph, group) as opened:
            for ref, values in opened.tensors(batches):
                see(ref, values)


class _Opened(Runner):
    """A graph that also gives out tensors inside of it."""

    def __init__(self, graph: Graph, refs: Sequence[Ref]) -> None:
        super().__init__(with_outputs(graph, [*refs, *graph.outputs.values()]))
        self._refs = refs
        self._names = list(graph.outputs)

    def tensors(self, batches: Batches) -> Iterator[tuple[Ref, np.ndarray]]:
        for batch in batches():
            outputs = self.run(batch)
            for number, ref in enumerate(self._refs):
                yield ref, outputs[f"tensor{number}"]

    def own_outputs(self, batches: Batches) -> Iterator[dict[str, np.ndarray]]:
        for batch in batches():
            outputs = self.run(batch)
            yield {name: outputs[f"tensor{len(self._refs) + number}"] for number, name in enumerate(self._names)}


@dataclass(frozen=True)
class Observation:
    """The scale of each tensor's codes, the size of its largest value, the means of its channels, and the graph's own
    outputs for every batch."""

    scales: dict[Ref, Scale] = field(default_factory=dict)
    largest: dict[Ref, float] = field(default_factory=dict)
    means: dict[Ref, Means] = field(default_factory=dict)
    outputs: list[dict[str, np.ndarray]] = field(default_factory=list)


def observe(graph: Graph, refs: Sequence[Ref], samples: Samples, calibration: Calibration) -> Observation:
    """Looks at tensors two or three times, each time with what the one before it has found.

    Where there are enough samples some give no scales and means; there are outputs for all.
    """
    found = Observation()
    seen = samples.without_held_out().batches
    for group in list(groups(graph, refs)) or [[]]:
        with _Opened(graph, group) as opened:
            found.outputs[:] = found.outputs or opened.own_outputs(samples.batches)
            ranges = {ref: Observed() for ref in group}
            for ref, values in opened.tensors(seen):
                ranges[ref].see(values)
            for ref, values in opened.tensors(seen) if calibration.needs_histogram else ():
                ranges[ref].count(values)
            found.scales.update((ref, observed.scale(calibration)) for ref, observed in ranges.items())
            found.largest.update((ref, max(-observed.low, observed.high, 0.0)) for ref, observed in ranges.items())
            sums = {ref: MeanSums(found.scales[ref]) for ref in group}
            for ref, values in opened.tensors(seen):
                sums[ref].see(values)
            found.means.update((ref, held.means()) for ref, held in sums.items())
    return found
