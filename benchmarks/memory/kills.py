"""Contect in many partitions, streamed: killed at random moments, and gone on with by a new process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import kill
from benchmarks.common import Figure
from benchmarks.contect.outputs import THREADS
from benchmarks.memory.bench import Bench
from benchmarks.memory.streaming import BUDGET

KILLS = 100
SEED = 20180550


def figures(bench: Bench) -> list[Figure]:
    bench.say(f"kills: {KILLS} runs, each killed and gone on with")
    with tempfile.TemporaryDirectory() as folder:
        setting = kill.Setting(bench.contect_many.pack, THREADS, str(BUDGET))
        trials, seconds = kill.kills(setting, Path(folder), KILLS, SEED)
    bench.measured["kills"] = {"seconds": seconds, "trials": [vars(one) for one in trials]}
    return kill.figures(trials)
