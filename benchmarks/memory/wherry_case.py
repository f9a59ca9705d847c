"""Wherry's Executor on a pack: `run` measures memory and times, `replan` what a new budget takes between two runs.

Imports numpy and wherry, never tensorflow.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.contect.outputs import THREADS
from benchmarks.memory.packs import digest


def _load(inputs: Mapping[str, str]) -> dict[str, np.ndarray]:
    return {name: np.load(file) for name, file in inputs.items()}


def run(pack: str, inputs: dict[str, str], budget: int | None, runs: int) -> dict[str, Any]:
    """budget: bytes, or None for all weights in memory. total_seconds: of opening the pack and all runs."""
    import wherry

    arrays = _load(inputs)
    gain = common.MemoryGain()
    executor, load_seconds = common.timed(lambda: wherry.Executor(pack, threads=THREADS, memory_budget=budget))
    single: list[float] = []
    digests: set[str] = set()
    for _ in range(runs):
        outputs, seconds = common.timed(lambda: executor.run(arrays))
        single.append(seconds)
        digests.add(digest(outputs))
    peak = gain.peak_added()
    stats = executor.stats
    executor.close()
    return {
        "load_seconds": load_seconds,
        "first_seconds": load_seconds + single[0],
        "inference_seconds": statistics.median(single),
        "total_seconds": load_seconds + sum(single),
        "inference_runs": single,
        "peak_added_bytes": peak,
        "memory_needed": stats.memory_needed,
        "partitions": stats.partitions,
        "digests": sorted(digests),
    }


def replan(pack: str, inputs: dict[str, str], budgets: list[int], rounds: int) -> dict[str, Any]:
    """Runs with one budget after another, `rounds` times round; seconds: of each change."""
    import wherry

    arrays = _load(inputs)
    seconds: list[float] = []
    digests: set[str] = set()
    with wherry.Executor(pack, threads=THREADS, memory_budget=budgets[-1]) as executor:
        digests.add(digest(executor.run(arrays)))
        for budget in budgets * rounds:
            seconds.append(common.timed(partial(executor.set_memory_budget, budget))[1])
            digests.add(digest(executor.run(arrays)))
    return {"seconds": seconds, "digests": sorted(digests)}


if __name__ == "__main__":
    common.case_main({"run": run, "replan": replan})
