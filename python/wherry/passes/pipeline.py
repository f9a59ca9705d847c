"""The passes, in order: one explicit table. Read it from top to bottom to know what happens to a model."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wherry.graph import Graph
from wherry.passes.absorb_pads import absorb_pads
from wherry.passes.canonicalise import canonicalise
from wherry.passes.dilations import fold_dilations
from wherry.passes.expand_einsums import expand_einsums
from wherry.passes.fold_batch_norms import fold_batch_norms
from wherry.passes.fold_branches import fold_branches
from wherry.passes.fold_constants import fold_constants
from wherry.passes.fuse_activations import fuse_composites, fuse_conv, fuse_matmul
from wherry.passes.fuse_residual import fuse_residual
from wherry.passes.infer_shapes import infer_shapes
from wherry.passes.merge_duplicates import merge_duplicates
from wherry.passes.recurrent import fuse_recurrent
from wherry.passes.simplify import simplify
from wherry.passes.sink_reshapes import sink_reshapes
from wherry.passes.strip import strip


class Pass(NamedTuple):
    """A rewrite of a graph in place. `run` returns how many changes it made; zero means that nothing was found."""

    name: str
    run: Callable[[Graph], int]
    summary: str


PASSES: tuple[Pass, ...] = (
    Pass("strip", strip, "drop what the outputs do not need and what only training needs"),
    Pass("fold_branches", fold_branches, "the taken branch where a condition is constant"),
    Pass("infer_shapes", infer_shapes, "fill in the type of every tensor"),
    Pass("fold_constants", fold_constants, "compute what depends on constants alone"),
    Pass("fuse_recurrent", fuse_recurrent, "loops of LSTM and GRU layers as block ops"),
    Pass("expand_einsums", expand_einsums, "sums of products of any labels as matrix products"),
    Pass("canonicalise", canonicalise, "one spelling for every op"),
    Pass("fold_dilations", fold_dilations, "dilated convolutions as one op"),
    Pass("sink_reshapes", sink_reshapes, "reshapes behind the bias and activation of a linear op"),
    Pass("simplify", simplify, "drop ops that change nothing"),
    Pass("refold_constants", fold_constants, "compute what the rewrites made constant"),
    Pass("fold_batch_norms", fold_batch_norms, "batch norms and biases into weights"),
    Pass("absorb_pads", absorb_pads, "padding into convolutions and max pools"),
    Pass("fuse_conv", fuse_conv, "convolution, bias, activation as one op"),
    Pass("fuse_residual", fuse_residual, "residual connections into the convolution before them"),
    Pass("fuse_matmul", fuse_matmul, "matrix product, bias, activation as one op"),
    Pass("fuse_composites", fuse_composites, "depthwise and transposed convolution, bias, activation as composites"),
    Pass("merge_duplicates", merge_duplicates, "equal constants and equal computations once"),
    Pass("infer_final_shapes", infer_shapes, "fill in the types of what is new"),
)

# What follows is quantized to 8-bit codes: only activations that are limits of codes are fused, as a table of 256 codes
# computes any other one, and sums are added before they are rounded wherever that is possible.
CODE_ACTIVATIONS = frozenset({"Relu", "Relu6"})
_FOR_CODES: dict[str, Callable[[Graph], int]] = {
    "fuse_conv": functools.partial(fuse_conv, activations=CODE_ACTIVATIONS),
    "fuse_residual": functools.partial(fuse_residual, activations=CODE_ACTIVATIONS, needs_activation=False),
    "fuse_matmul": functools.partial(fuse_matmul, activations=CODE_ACTIVATIONS),
    "fuse_composites": functools.partial(fuse_composites, activations=CODE_ACTIVATIONS),
}
CODE_PASSES: tuple[Pass, ...] = tuple(step._replace(run=_FOR_CODES.get(step.name, step.run)) for step in PASSES)


class PassRecord(NamedTuple):
    name: str
    changes: int
    nodes_before: int
    nodes_after: int
    seconds: float


@dataclass
class PassReport:
    """What every pass did, in order."""

    records: list[PassRecord] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(record.seconds for record in self.records)

    def __str__(self) -> str:
        lines = [f"{'pass':20} {'changes':>8} {'nodes':>8} {'seconds':>8}"]
        lines += [f"{r.name:20} {r.changes:8} {r.nodes_after:8} {r.seconds:8.2f}" for r in self.records]
        return "\n".join(lines)


def optimise(
    graph: Graph, passes: Sequence[Pass] = PASSES, on_pass: Callable[[Pass, Graph], None] | None = None
) -> PassReport:
    """Runs passes over the graph in place; calls `on_pass` after each. Raises PassError where one cannot go on."""
    report = PassReport()
    for step in passes:
        before, start = len(graph.nodes), time.perf_counter()
        changes = step.run(graph)
        report.records.append(
            PassRecord(step.name, changes, before, len(graph.nodes), time.perf_counter() - start)
        )
        if on_pass is not None:
            on_pass(step, graph)
    return report
