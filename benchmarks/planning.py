"""Seconds that planning takes, on generated programs of a thousand to a million steps.

    python -m benchmarks.planning [--steps 1000 10000 100000 1000000] [--kinds branches layers series-parallel]

Prints the seconds of a core for the order, lifetimes and addresses together, nanoseconds per n log2 n, the peak of
the order as it came and as it is, divided by what no order can go below, and the arena divided by its largest live
set.
"""

from __future__ import annotations

import argparse
import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from wherry.plan.arena import plan_arena
from wherry.plan.lifetimes import set_lifetimes
from wherry.plan.order import choose_order
from wherry.plan.precedence import precedence
from wherry.plan.program import Program

from benchmarks.common import table
from benchmarks.generated import branches, layers, series_parallel

KINDS: dict[str, Callable[[int], Program]] = {
    "branches": branches, "layers": layers, "series-parallel": series_parallel,
}  # fmt: skip
STEPS = (10**3, 10**4, 10**5, 10**6)


@dataclass(frozen=True)
class Planned:
    """What planning a program took. Bytes are divided: peaks of orders by what no order can go below, the arena by
    its largest live set."""

    kind: str
    steps: int
    seconds: float
    came: float
    order: float
    arena: float

    @property
    def nanoseconds(self) -> float:
        """For each n log2 n."""
        return self.seconds * 1e9 / (self.steps * math.log2(self.steps))


def plan(kind: str, steps: int) -> Planned:
    """Generates a program and plans it; the seconds are those of a core, for planning alone."""
    program = KINDS[kind](steps)
    model = precedence(program)
    given = max(model.peaks(range(len(program.steps))))
    del model
    gc.collect()
    gc.freeze()  # what was generated is not looked through while planning is timed
    start = time.process_time()
    choose_order(program)
    set_lifetimes(program)
    plan_arena(program)
    seconds = time.process_time() - start
    gc.unfreeze()
    bound = program.order_lower_bound
    return Planned(
        kind, len(program.steps), seconds, given / bound, program.arena_lower_bound / bound,
        program.arena_bytes / program.arena_lower_bound,
    )  # fmt: skip


def growth(plans: Sequence[Planned]) -> float:
    """The power of n log n that the seconds of one kind grow with: the slope of the line through their logarithms."""
    sizes = np.log([one.steps * math.log(one.steps) for one in plans])
    return float(np.polyfit(sizes, np.log([one.seconds for one in plans]), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    arguments = parser.parse_args()
    rows = []
    for kind in arguments.kinds:
        for steps in arguments.steps:
            one = plan(kind, steps)
            rows.append([
                kind, str(one.steps), f"{one.seconds:.2f}", f"{one.nanoseconds:.0f}", f"{one.came:.3f}",
                f"{one.order:.3f}", f"{one.arena:.3f}",
            ])  # fmt: skip
    header = ["program", "steps", "s", "ns / n log n", "came / bound", "order / bound", "arena / live"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
