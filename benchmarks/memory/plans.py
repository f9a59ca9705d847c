"""Seconds that planning takes: those of Contect, which `wherry compile` reports, and how they grow with the steps."""

from __future__ import annotations

import json
from dataclasses import asdict

from benchmarks import planning
from benchmarks.common import Figure
from benchmarks.memory.bench import Bench
from benchmarks.memory.packs import MANY

SECONDS = 5.0
GROWTH = 1.0  # the power of n log n


def figures(bench: Bench) -> list[Figure]:
    seconds = max(
        json.loads(model.report.read_text())["seconds"]["plan"] for model in (bench.contect, bench.contect_many)
    )
    rows = [Figure(f"planning Contect, 1 and {MANY} partitions, the slower", seconds, SECONDS, "s")]
    plans: dict[str, list[planning.Planned]] = {}
    for kind in planning.KINDS:
        bench.say(f"plans: {kind}, up to {max(planning.STEPS):,} steps")
        plans[kind] = [planning.plan(kind, steps) for steps in planning.STEPS]
        rows += [
            Figure(f"planning, {kind}: grows with n log n to the power of", planning.growth(plans[kind]), GROWTH),
            Figure(f"- {max(planning.STEPS):,} steps", plans[kind][-1].seconds, None, "s"),
        ]
    bench.measured["plans"] = {kind: [asdict(one) for one in found] for kind, found in plans.items()}
    return rows
