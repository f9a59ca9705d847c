"""The smallest control group limit that the native runner and LiteRT survive with Contect, each from a cold file.

Pages of the model's file and of the runner itself are dropped from the page cache before every run, so the group has
to bring them in, and they count. Pages of the C library, and of Python's and LiteRT's own files, are shared with
others and mostly count where they were read first: that flatters LiteRT.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.common import MB, Figure
from benchmarks.contect.peer_litert import MODEL as LITERT_MODEL
from benchmarks.memory import cgroup, page_cache
from benchmarks.memory.bench import Bench
from benchmarks.memory.bisection import NoneSurvives, smallest
from benchmarks.memory.cgroup import Interface, Outcome

LIMIT = 48 * MB
LIMIT_BUDGET = 36 * MB  # what the model may add under LIMIT; the rest is for the program and the kernel's tables
MOST, STEP = 96 * MB, MB // 2
LITERT_MOST, LITERT_STEP = 1024 * MB, 8 * MB
SECONDS = 30.0  # a run that takes longer thrashes: it does not survive


def _litert(case: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.memory.litert_case", case]


class _Trials:
    """Runs under limits, kept for the JSON."""

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self.seen: list[dict[str, object]] = []

    def run(self, command: Sequence[str], cold: Sequence[Path], limit: int) -> Outcome:
        page_cache.drop(cold)
        outcome = cgroup.run(self.interface, command, limit, SECONDS)
        fields = ("limit", "status", "oom_kills", "seconds", "peak_bytes")
        self.seen.append({**{name: getattr(outcome, name) for name in fields}, "outcome": outcome.reason()})
        return outcome


def _wherry_survives(bench: Bench, trials: _Trials, budget: int, limit: int) -> bool:
    model, runner = bench.contect, bench.runner
    outcome = trials.run(runner.command(model, budget), (model.pack, runner.program), limit)
    if outcome.survived:
        bench.compare(f"under a limit of {limit} bytes", model, [runner.result(outcome.stdout).digest])
    return outcome.survived


def _litert_survives(trials: _Trials, case: str, limit: int) -> bool:
    cold = (LITERT_MODEL,) if case == "once" else ()
    return trials.run(_litert(case), cold, limit).survived


def _smallest(bench: Bench, what: str, trials: _Trials, search: partial[int]) -> float | None:
    """In MB; None, and a failure, where no limit will do."""
    bench.say(f"limits: {what}")
    try:
        found = search()
    except NoneSurvives as error:
        bench.failures.append(f"{what}: {error}: {trials.seen[-1]['outcome']}")
        found = None
    bench.measured[f"limits {what}"] = {"smallest": found, "trials": trials.seen}
    return None if found is None else found / MB


def figures(bench: Bench) -> list[Figure]:
    interface = cgroup.find_interface()
    least = int(bench.resident(bench.contect).measured["memory_needed"])
    trials = _Trials(interface)
    search = partial(smallest, MOST, STEP, partial(_wherry_survives, bench, trials, least))
    wherry = _smallest(bench, "Wherry", trials, search)
    litert: dict[str, float | None] = {}
    for case in ("once", "imports"):
        trials = _Trials(interface)
        search = partial(smallest, LITERT_MOST, LITERT_STEP, partial(_litert_survives, trials, case))
        litert[case] = _smallest(bench, f"LiteRT {case}", trials, search)
    bench.say(f"limits: {bench.tries} runs under {LIMIT // MB} MB")
    trials = _Trials(interface)
    alive = sum(_wherry_survives(bench, trials, LIMIT_BUDGET, LIMIT) for _ in range(bench.tries))
    bench.measured["limits asked"] = {"limit": LIMIT, "budget": LIMIT_BUDGET, "alive": alive, "trials": trials.seen}
    return [
        Figure("smallest limit survived", wherry, LIMIT / MB, "MB", {"LiteRT": litert["once"]}),
        Figure("- of that an interpreter with its imports", None, None, "MB", {"LiteRT": litert["imports"]}),
        Figure(f"deaths in {bench.tries} runs under {LIMIT // MB} MB", bench.tries - alive, 0.0),
    ]
