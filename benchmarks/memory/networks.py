"""Four small networks at the smallest budget that they run in: their memory beside the lower bound of their plan.

Memory is what the native runner's process gains while it opens the pack and runs it: the kernel's own peak (VmHWM)
less what was there before, and less the inputs, which are the caller's. Code that is paged in and threads' stacks are
among it.
"""

from __future__ import annotations

from wherry.pack.reader import read_pack

from benchmarks.common import Figure
from benchmarks.memory.bench import Bench
from benchmarks.memory.lower_bound import lower_bound

TIMES_BOUND = 1.25


def figures(bench: Bench) -> list[Figure]:
    rows: list[Figure] = []
    for model in bench.small:
        bench.say(f"networks: {model.title}")
        bound = lower_bound(read_pack(model.pack))
        needed = int(bench.resident(model).measured["memory_needed"])
        gained = []
        for _ in range(bench.rounds):
            run = bench.runner.run(model, needed, repeat=2)
            bench.compare("the smallest budget", model, [run.digest])
            gained.append(int(run.measured["process_gained_bytes"]))
        worst = max(gained)
        bench.measured[f"networks {model.name}"] = {"lower_bound": bound, "memory_needed": needed, "gained": gained}
        rows.append(Figure(f"{model.title}, memory gained", worst / bound, TIMES_BOUND, "of lower bound"))
        rows.append(Figure("- smallest budget", needed / bound, None, "of lower bound"))
    return rows
