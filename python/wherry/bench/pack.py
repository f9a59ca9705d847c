"""Measures one pack, in a process of its own so that nothing else is in the figures."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import RuntimeFailure, UsageError, WherryError
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


def resident_bytes(field: str) -> int | None:
    """VmRSS or VmHWM of this process, None where there is no /proc."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    match = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _measure_here(pack: str, threads: int, budget: int, runs: int) -> PackMeasurement:
    from wherry import _native  # noqa: F401  (its code is not what a pack adds)

    can_reset = _reset_peak()
    before = resident_bytes("VmRSS")
    with Executor(pack, threads=threads, memory_budget=budget) as executor:
        inputs = random_inputs(executor)
        executor.run(inputs)
        first = executor.stats.inference_seconds
        seconds = []
        for _ in range(runs):
            executor.run(inputs)
            seconds.append(executor.stats.inference_seconds)
        stats = executor.stats
    peak = resident_bytes("VmHWM")
    grown = peak - before if can_reset and peak is not None and before is not None else None
    return PackMeasurement(stats.load_seconds, first, seconds, stats.io_seconds, stats.peak_bytes, grown)


def measure(pack: str, threads: int, memory_budget: int | str | None, runs: int) -> PackMeasurement:
    """Measures in a new process. Raises what Executor raises."""
    arguments = json.dumps([os.fspath(pack), threads, parse_bytes(memory_budget), runs])
    command = [sys.executable, "-m", "wherry.bench.pack", arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode in (1, 2):
        error = UsageError if done.returncode == 2 else WherryError
        raise error(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the measurement failed")
    if done.returncode != 0:
        raise RuntimeFailure(f"{pack}: the measuring process ended with status {done.returncode}")
    return PackMeasurement(**json.loads(done.stdout.splitlines()[-1]))


def _main() -> int:
    pack, threads, budget, runs = json.loads(sys.argv[1])
    try:
        print(json.dumps(vars(_measure_here(pack, threads, budget, runs))))
    except WherryError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
