"""Four small networks at the smallest budget that they run in: their memory beside the lower bound of their plan.

Two figures for each. The smallest budget is what the plan takes: tables, tensors, scratch memory and weights. Gained
is what the native runner's process takes while it opens the pack and runs it: the kernel's own peak (VmHWM) less what
was there before, and less the inputs, which are the caller's. Code that is paged in, the C library's too, and threads'
stacks are among it. The runner has libwherry.a in it and finds the C library where all programs do; what the same
runner gains with the C library in it as well, so that only what it calls is paged in, is shown beside that.
"""

from __future__ import annotations

from wherry.pack.reader import read_pack

from benchmarks.common import Figure
from benchmarks.memory.bench import Bench
from benchmarks.memory.lower_bound import lower_bound
from benchmarks.memory.packs import Model
from benchmarks.memory.runner import Runner, all_in_one

TIMES_BOUND = 1.25
OF_BOUND = "of lower bound"


def figures(bench: Bench) -> list[Figure]:
    rows: list[Figure] = []
    whole = all_in_one(bench.runner)
    for model in bench.small:
        bench.say(f"networks: {model.title}")
        bound = lower_bound(read_pack(model.pack))
        needed = int(bench.resident(model).measured["memory_needed"])
        gained = _gained(bench, bench.runner, model, needed)
        gained_whole = _gained(bench, whole, model, needed)
        bench.measured[f"networks {model.name}"] = {
            "lower_bound": bound, "memory_needed": needed, "gained": gained, "gained_all_in_one": gained_whole,
        }  # fmt: skip

        def row(name: str, measured: int, wanted: float | None, bound: int = bound) -> Figure:
            return Figure(name, measured / bound, wanted, OF_BOUND, {"bound, MB": bound / 1e6, "MB": measured / 1e6})

        rows.append(row(f"{model.title}, smallest budget", needed, TIMES_BOUND))
        rows.append(row("- gained by the process", max(gained), TIMES_BOUND))
        rows.append(row("- with the C library in it", max(gained_whole), None))
    return rows


def _gained(bench: Bench, runner: Runner, model: Model, budget: int) -> list[int]:
    """Bytes, in each round."""
    found = []
    for _ in range(bench.rounds):
        run = runner.run(model, budget, repeat=2)
        bench.compare("the smallest budget", model, [run.digest])
        found.append(int(run.measured["process_gained_bytes"]))
    return found
