"""Measures one pack, in a process of its own so that nothing else is in the figures."""

from __future__ import annotations

import os
import statistics
import sys
from dataclasses import dataclass
from typing import Any

from wherry.bench.memory import memory_gain
from wherry.bench.process import case_main, run_case
from wherry.output_error import random_inputs
from wherry.runtime.executor import Executor, parse_bytes


@dataclass(frozen=True)
class PackMeasurement:
    """Seconds and bytes. io_seconds: of the last run, waiting for weights. peak_bytes: what the executor held.

    grown_bytes: what the process gained at its peak, mapped file pages included; None where the system does not say.
    """

    load_seconds: float
    first_seconds: float
    seconds: list[float]
    io_seconds: float
    peak_bytes: int
    grown_bytes: int | None

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.seconds)


def _measure_here(pack: str, threads: int, budget: int, runs: int) -> dict[str, Any]:
    from wherry import _native  # noqa: F401  (its code is not what a pack adds)

    gain = memory_gain()
    with Executor(pack, threads=threads, memory_budget=budget) as executor:
        inputs = random_inputs(executor.inputs)
        executor.run(inputs)
        first = executor.stats.inference_seconds
        seconds = []
        for _ in range(runs):
            executor.run(inputs)
            seconds.append(executor.stats.inference_seconds)
        stats = executor.stats
    grown = gain.peak_added() if gain is not None else None
    return vars(PackMeasurement(stats.load_seconds, first, seconds, stats.io_seconds, stats.peak_bytes, grown))


def measure(pack: str, threads: int, memory_budget: int | str | None, runs: int) -> PackMeasurement:
    """Measures in a new process. Raises what Executor raises."""
    budget = parse_bytes(memory_budget)
    case = {"pack": os.fspath(pack), "threads": threads, "budget": budget, "runs": runs}
    found = run_case(os.fspath(pack), "wherry.bench.pack", "measure", **case)
    return PackMeasurement(**found)


if __name__ == "__main__":
    sys.exit(case_main({"measure": _measure_here}))
