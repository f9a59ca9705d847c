"""Kills runs with SIGKILL at random moments and has new processes go on from their checkpoints.

    python -m benchmarks.kill [--pack FILE] [--kills 100] [--partitions 50] [--threads 1] [--memory-budget SIZE]

Without a pack it takes the small network of the tests, in so many partitions. A child opens the pack, says so, and
runs; it says when it has ended a partition. The moments lie evenly in the time that an uninterrupted run takes. Asked
for: every output the same bit for bit, and no partition run twice but the one that was interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wherry
from wherry.output_error import random_inputs
from wherry.runtime.executor import Executor

from benchmarks.common import Figure, figures_table, machine, verdict, write_json

ROOT = Path(__file__).resolve().parents[1]
_SHARE = 1.1  # of an uninterrupted run's time, in which the moments lie: some come when it has ended


@dataclass(frozen=True)
class Setting:
    """What every child gets: the pack, and how to run it."""

    pack: Path
    threads: int = 1
    memory_budget: str | None = None

    def executor(self, checkpoint: Path) -> Executor:
        return Executor(self.pack, self.threads, self.memory_budget, checkpoint=checkpoint)


@dataclass(frozen=True)
class Trial:
    """One run that was killed, and the one that went on."""

    ended: int  # partitions that the first said to have ended
    resumed_at: int  # partitions that the second did not run
    completed: bool  # the checkpoint said so before the second ran
    same: bool

    @property
    def run_twice(self) -> int:
        """Partitions that had ended in the first and were run again."""
        return max(0, self.ended - self.resumed_at)


def child(setting: Setting, checkpoint: Path) -> None:
    """Runs the pack, and prints a line when it begins, for each partition, and with the outputs' digests."""
    from wherry import _native

    def say(line: str) -> None:
        os.write(1, f"{line}\n".encode())

    with setting.executor(checkpoint) as executor:
        inputs = random_inputs(executor.inputs)
        before = executor.checkpoint
        say("begins")
        started = time.perf_counter()
        executor.on_progress(lambda done, _: say(f"partition {done}"))
        outputs = executor.run(inputs)
        seconds = time.perf_counter() - started
        digests = {name: _native.hash64(array) for name, array in outputs.items()}
        first, completed = executor.stats.first_partition, before is not None and before.completed
    say(json.dumps({"first": first, "completed": completed, "seconds": seconds, "outputs": digests}))


def start(setting: Setting, checkpoint: Path) -> subprocess.Popen[str]:
    """A child that has opened the pack and begins to run."""
    options = ["--memory-budget", setting.memory_budget] if setting.memory_budget else []
    command = [
        sys.executable, "-m", "benchmarks.kill", "--child", str(checkpoint), "--pack", str(setting.pack), "--threads",
        str(setting.threads), *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "begins\n":
        process.kill()
        raise RuntimeError(f"{' '.join(command)}: did not begin")
    return process


def finish(process: subprocess.Popen[str]) -> tuple[list[int], dict[str, Any] | None]:
    """The partitions that a child said to have ended, and its result; None where it was killed before it had one."""
    said, _ = process.communicate()
    lines = said.splitlines()
    result = json.loads(lines.pop()) if lines and lines[-1].endswith("}") else None
    return [int(line.split()[1]) for line in lines if line.startswith("partition ")], result


def whole(setting: Setting, checkpoint: Path) -> tuple[dict[str, object], float]:
    """Digests of the outputs of a run that nobody kills, and its seconds."""
    checkpoint.unlink(missing_ok=True)
    _, result = finish(start(setting, checkpoint))
    assert result is not None, "the run failed"
    return result["outputs"], result["seconds"]


def trial(setting: Setting, checkpoint: Path, delay: float, wanted: dict[str, object]) -> Trial:
    """Kills a new run after so many seconds, and goes on with it."""
    checkpoint.unlink(missing_ok=True)
    process = start(setting, checkpoint)
    until = time.perf_counter() + delay
    while time.perf_counter() < until:
        time.sleep(0 if until - time.perf_counter() < 2e-3 else 1e-3)
    process.send_signal(signal.SIGKILL)
    ended, _ = finish(process)
    again, result = finish(start(setting, checkpoint))
    assert result is not None, "the second run failed"
    first = int(result["first"])
    assert again == list(range(first + 1, first + len(again) + 1)), "partitions are run in order"
    return Trial(len(ended), first, bool(result["completed"]), result["outputs"] == wanted)


def kills(setting: Setting, folder: Path, count: int, seed: int) -> tuple[list[Trial], float]:
    """So many trials, and the seconds of an uninterrupted run."""
    checkpoint = folder / "run.checkpoint"
    runs = [whole(setting, checkpoint) for _ in range(5)]
    wanted, seconds = runs[0][0], statistics.median(seconds for _, seconds in runs)
    generator = random.Random(seed)
    return [trial(setting, checkpoint, generator.uniform(0, _SHARE * seconds), wanted) for _ in range(count)], seconds


def figures(trials: list[Trial]) -> list[Figure]:
    """What was asked of them."""
    count = len(trials)
    return [
        Figure(f"outputs that differ, of {count} killed runs", sum(not one.same for one in trials), 0),
        Figure("partitions run twice, the interrupted ones not among them", sum(one.run_twice for one in trials), 0),
    ]


def small_pack(folder: Path, partitions: int) -> Path:
    """The small network of the tests."""
    sys.path.insert(0, str(ROOT / "tests"))
    import support

    return support.pack(folder, partitions=partitions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--partitions", type=int, default=50, help="of the small network")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-budget")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(Setting(args.pack, args.threads, args.memory_budget), args.child)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pack = args.pack.resolve() if args.pack else small_pack(folder, args.partitions)
        trials, seconds = kills(Setting(pack, args.threads, args.memory_budget), folder, args.kills, args.seed)
        with wherry.Executor(pack) as executor:
            partitions = executor.stats.partitions
    ended = sorted(one.ended for one in trials)
    print(f"{pack.name}: {partitions} partitions, {seconds * 1e3:.1f} ms for an uninterrupted run with a checkpoint")
    print(f"partitions ended when killed: {ended[0]} to {ended[-1]}, median {ended[len(ended) // 2]}")
    print(f"runs that had ended: {sum(one.completed for one in trials)} of {len(trials)}")
    rows = figures(trials)
    print(figures_table(rows))
    print(verdict(rows))
    write_json("kill", {
        "machine": machine(), "partitions": partitions, "seconds": seconds, "trials": [vars(one) for one in trials],
    })  # fmt: skip
    sys.exit(any(not row.reached for row in rows))


if __name__ == "__main__":
    main()
