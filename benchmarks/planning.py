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

from wherry.plan.arena import plan_arena
from wherry.plan.lifetimes import set_lifetimes
from wherry.plan.order import choose_order
from wherry.plan.precedence import precedence
from wherry.plan.program import Program

from benchmarks.common import table
from benchmarks.generated import branches, layers, series_parallel

KINDS = {"branches": branches, "layers": layers, "series-parallel": series_parallel}


def row(kind: str, program: Program) -> list[str]:
    """A line of the table."""
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
    count, bound = len(program.steps), program.order_lower_bound
    return [
        kind, str(count), f"{seconds:.2f}", f"{seconds * 1e9 / (count * math.log2(count)):.0f}", f"{given / bound:.3f}",
        f"{program.arena_lower_bound / bound:.3f}", f"{program.arena_bytes / program.arena_lower_bound:.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    arguments = parser.parse_args()
    rows = [row(kind, KINDS[kind](steps)) for kind in arguments.kinds for steps in arguments.steps]
    header = ["program", "steps", "s", "ns / n log n", "came / bound", "order / bound", "arena / live"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
