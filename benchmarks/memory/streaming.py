"""Contect streamed: the memory it adds, what that costs in time beside all weights in memory, and new budgets.

Total time is that of opening the pack and ten runs. Programs take turns, each in a process of its own; a figure is
the median over the rounds. Warm: the page cache holds the file, as a run with all weights in memory has left it. Small
pages: it holds it in pages of 4 KiB, as copying and downloading can leave it. Cold: it was made to forget it, and the
time is that of opening and the first run.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks import common
from benchmarks.common import MB, Figure
from benchmarks.memory import page_cache
from benchmarks.memory.bench import Bench, inputs_of
from benchmarks.memory.packs import MANY, Model

CASES = "benchmarks.memory.wherry_case"
PEAK = 40 * MB  # that the process may gain
BUDGET = 36 * MB  # so the model has this much: the rest is for the native module and threads' stacks
TIMES_RESIDENT = 1.03
TIMES_ONE_PARTITION = 1.05
LOAD_SECONDS = 0.005
REPLAN_SECONDS = 0.010
LARGE = 0.99  # of the file in pages of 2 MiB, where it is called warm
PAPER_PEAK, PAPER_STREAMING, PAPER_MANY = 1172.0, 1.52, 2.5


@dataclass(frozen=True)
class Variant:
    name: str
    model: Model
    budget: int | None


def medians(rounds: list[dict[str, Any]], name: str) -> float:
    return statistics.median(single[name] for single in rounds)


def _run(variant: Variant, runs: int) -> dict[str, Any]:
    model = variant.model
    arguments: dict[str, Any] = {"pack": str(model.pack), "inputs": inputs_of(model), "budget": variant.budget}
    return common.run_case(CASES, "run", runs=runs, **arguments).result


def _prepare(model: Model, state: str) -> None:
    if state == "cold":
        page_cache.drop([model.pack])
    elif state == "small pages":
        if page_cache.large_pages(model.pack) > 1 - LARGE:
            page_cache.drop([model.pack])
        page_cache.read_in_small_pages(model.pack)
    else:
        resident = Variant("", model, None)
        _run(resident, 1)
        page_cache.settle(model.pack, LARGE, lambda: _run(resident, 1))


def _measure(bench: Bench, variant: Variant, runs: int, state: str) -> dict[str, Any]:
    _prepare(variant.model, state)
    result = _run(variant, runs)
    bench.compare(f"{variant.name}, {state}", variant.model, result["digests"])
    return {**result, "large_pages": page_cache.large_pages(variant.model.pack)}


def _rounds(bench: Bench, variants: list[Variant], runs: int, state: str) -> dict[str, list[dict[str, Any]]]:
    """Every round begins with another of them."""
    found: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in variants}
    for index in range(bench.rounds):
        bench.say(f"streaming: {state}, round {index + 1} of {bench.rounds}")
        turn = index % len(variants)
        for variant in (*variants[turn:], *variants[:turn]):
            found[variant.name].append(_measure(bench, variant, runs, state))
    return found


def _replan(bench: Bench) -> dict[str, Any]:
    """From the smallest budget to all weights in memory and back."""
    bench.say("streaming: new budgets")
    needed = int(bench.resident(bench.contect).measured["memory_needed"])
    whole = needed + bench.contect.pack.stat().st_size
    budgets = [whole, needed, 2 * BUDGET, BUDGET, whole // 2, needed, whole, BUDGET]
    arguments: dict[str, Any] = {"pack": str(bench.contect.pack), "inputs": inputs_of(bench.contect)}
    result = common.run_case(CASES, "replan", budgets=budgets, rounds=2, **arguments).result
    bench.compare("new budgets", bench.contect, result["digests"])
    return {**result, "budgets": budgets}


def _litert_peak(bench: Bench) -> float:
    bench.say("streaming: LiteRT")
    return float(common.run_case("benchmarks.memory.litert_case", "once").result["peak_added_bytes"]) / MB


def figures(bench: Bench) -> list[Figure]:
    resident = Variant("resident", bench.contect, None)
    streaming = Variant("streaming", bench.contect, BUDGET)
    many = Variant(f"{MANY} partitions", bench.contect_many, BUDGET)
    warm = _rounds(bench, [resident, streaming, many], bench.runs, "warm")
    small = _rounds(bench, [resident, streaming], bench.runs, "small pages")
    cold = _rounds(bench, [resident, streaming], 1, "cold")
    replanned = _replan(bench)
    litert = _litert_peak(bench)
    bench.measured["streaming"] = {
        "budget": BUDGET, "warm": warm, "small pages": small, "cold": cold, "replan": replanned, "litert_peak": litert,
    }  # fmt: skip

    def ratio(rounds: dict[str, list[dict[str, Any]]], one: Variant, other: Variant, name: str) -> float:
        return medians(rounds[one.name], name) / medians(rounds[other.name], name)

    def milliseconds(rounds: dict[str, list[dict[str, Any]]], variant: Variant, name: str) -> float:
        return medians(rounds[variant.name], name) * 1e3

    def large(rounds: dict[str, list[dict[str, Any]]]) -> list[float]:
        return [100 * single["large_pages"] for variant in rounds.values() for single in variant]

    peak = max(single["peak_added_bytes"] for name in (streaming.name, many.name) for single in warm[name])
    total = ratio(warm, streaming, resident, "total_seconds")
    in_small = ratio(small, streaming, resident, "total_seconds")
    cut = ratio(warm, many, streaming, "total_seconds")
    return [
        Figure("peak memory added, streaming", peak / MB, PEAK / MB, "MB", {"the paper": PAPER_PEAK, "LiteRT": litert}),
        Figure("total time, streaming / resident", total, TIMES_RESIDENT, "", {"the paper": PAPER_STREAMING}),
        Figure("- of the runs alone", ratio(warm, streaming, resident, "inference_seconds"), None),
        Figure("- a run, resident", milliseconds(warm, resident, "inference_seconds"), None, "ms"),
        Figure("- a run, streaming", milliseconds(warm, streaming, "inference_seconds"), None, "ms"),
        Figure("- of the file in pages of 2 MiB, the least", min(large(warm)), None, "%"),
        Figure("small pages: total time, streaming / resident", in_small, None),
        Figure("- a run, resident", milliseconds(small, resident, "inference_seconds"), None, "ms"),
        Figure("- a run, streaming", milliseconds(small, streaming, "inference_seconds"), None, "ms"),
        Figure("- of the file in pages of 2 MiB, the most", max(large(small)), None, "%"),
        Figure("cold: opening and first run, resident", milliseconds(cold, resident, "first_seconds"), None, "ms"),
        Figure("cold: opening and first run, streaming", milliseconds(cold, streaming, "first_seconds"), None, "ms"),
        Figure(f"total time, {MANY} partitions / 1", cut, TIMES_ONE_PARTITION, "", {"the paper": PAPER_MANY}),
        Figure(f"load, {MANY} partitions", milliseconds(warm, many, "load_seconds"), LOAD_SECONDS * 1e3, "ms"),
        Figure("new budget, the slowest", max(replanned["seconds"]) * 1e3, REPLAN_SECONDS * 1e3, "ms"),
    ]
