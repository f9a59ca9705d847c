"""Contect against LiteRT and TensorFlow: what conversion, loading and inference cost, and how far outputs
differ.

    python -m benchmarks.contect.run [--fresh] [--peers-only] [--runs N]

Every measurement is a process of its own. MB are 10^6 bytes. Conversion is measured over the whole process,
from the SavedModel to the file on disk; memory added is what loading and running bring on top of the process
with its imports done, mapped file pages included. LiteRT's conversion takes minutes and is kept until the
SavedModel changes; `--fresh` repeats it. Raw figures go to build/bench/contect.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import MB, Figure
from benchmarks.contect import outputs, peer_litert
from benchmarks.contect.wherry_case import compile_command

PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy", "wherry")
BUDGET = "90MB"  # for compiling and running; 10 MB are left for the native module itself
FLOAT_BUDGET = "512MB"  # the float32 pack is only there to compare outputs

CONVERT_SECONDS = 90.0
CONVERT_BYTES = 4e9
FILE_BYTES = 256 * MB
LOAD_SECONDS = 0.05
ADDED_BYTES = 100 * MB
TIMES_LITERT = 3.0
DIFFERENCE = 1e-4

Measured = dict[str, Any]


def litert_convert(fresh: bool) -> Measured:
    """LiteRT's conversion, or the one measured before if its file is newer than the SavedModel."""
    kept = outputs.FOLDER / "litert_convert.json"
    model = outputs.SAVED_MODEL / "saved_model.pb"
    there = kept.exists() and peer_litert.MODEL.exists()
    if there and not fresh and peer_litert.MODEL.stat().st_mtime > model.stat().st_mtime:
        earlier: Measured = json.loads(kept.read_text())
        return {**earlier, "reused": True}
    measured = common.run_case("benchmarks.contect.peer_litert", "convert").to_json()
    common.write_json("contect/litert_convert", measured)
    return measured


def wherry_convert(pack: Path, quantize: str, budget: str) -> Measured:
    _, seconds, peak = common.run_process(compile_command(pack, quantize, budget))
    return {"process_seconds": seconds, "process_peak_bytes": peak, "file_bytes": pack.stat().st_size}


def wherry_run(pack: Path, name: str, budget: str, runs: int) -> Measured:
    case = "benchmarks.contect.wherry_case"
    arguments: dict[str, Any] = {"pack": str(pack), "memory_budget": budget, "name": name, "runs": runs}
    return common.run_case(case, "run", **arguments).to_json()


def measure(fresh: bool, peers_only: bool, runs: int) -> tuple[dict[str, Measured], list[str]]:
    """Every measurement by name, and the failures of Wherry's own; a peer that fails ends the benchmark."""

    def step(name: str, work: Callable[[], Measured]) -> Measured:
        print(f"... {name}", file=sys.stderr, flush=True)
        return work()

    model_command = [sys.executable, "-m", "benchmarks.contect.model", *(["--fresh"] if fresh else [])]
    done: dict[str, Measured] = {
        "model": step("model", lambda: json.loads(common.run_process(model_command)[0])),
        "litert_convert": step("LiteRT converts", lambda: litert_convert(fresh)),
        "tensorflow": step(
            "TensorFlow runs",
            lambda: common.run_case("benchmarks.contect.peer_tensorflow", "run", runs=runs).to_json(),
        ),
        "litert": step(
            "LiteRT runs",
            lambda: common.run_case("benchmarks.contect.peer_litert", "run", runs=runs).to_json(),
        ),
    }
    failures: list[str] = []
    if not peers_only:
        for name, quantize, budget in (
            ("wherry", "int8", BUDGET),
            ("wherry_float32", "none", FLOAT_BUDGET),
        ):
            pack = outputs.FOLDER / f"{name}.wherry"
            try:
                convert = f"{name}_convert"
                done[convert] = step(convert, partial(wherry_convert, pack, quantize, budget))
                done[name] = step(name, partial(wherry_run, pack, name, budget, runs))
            except common.CaseFailed as failure:
                failures.append(str(failure))
    return done, failures


def figures(done: Mapping[str, Measured]) -> list[Figure]:
    """The table's rows, in its order."""

    def get(name: str, key: str, unit: float = 1.0) -> float | None:
        return done[name][key] / unit if name in done else None

    def row(
        name: str,
        key: str,
        wanted: float,
        unit: str,
        scale: float = 1.0,
        sources: tuple[str, ...] = ("litert", "tensorflow", "wherry"),
    ) -> Figure:
        litert, tensorflow, wherry = (get(source, key, scale) for source in sources)
        peers = {"LiteRT": litert, "TensorFlow": tensorflow}
        return Figure(name, wherry, wanted / scale, unit, peers)

    def difference(program: str) -> float | None:
        return outputs.relative_difference(program) if program in done else None

    convert = ("litert_convert", "", "wherry_convert")
    inference_wanted = TIMES_LITERT * done["litert"]["inference_seconds"]
    peers_differ = {"LiteRT": difference("litert"), "TensorFlow": 0.0}
    return [
        row("convert", "process_seconds", CONVERT_SECONDS, "s", sources=convert),
        row("convert peak memory", "process_peak_bytes", CONVERT_BYTES, "MB", MB, sources=convert),
        row("file", "file_bytes", FILE_BYTES, "MB", MB),
        row("load", "load_seconds", LOAD_SECONDS, "s"),
        row("peak memory added", "peak_added_bytes", ADDED_BYTES, "MB", MB),
        row("inference", "inference_seconds", inference_wanted, "s"),
        Figure("float32 difference", difference("wherry_float32"), DIFFERENCE, "of largest logit"),
        Figure("8-bit difference", difference("wherry"), None, "of largest logit", peers_differ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="build the model and repeat LiteRT's conversion")
    parser.add_argument("--peers-only", action="store_true", help="leave Wherry out")
    parser.add_argument(
        "--runs", type=int, default=5, help="measured inferences of each program (default: 5)"
    )
    options = parser.parse_args()

    machine = common.machine(PACKAGES)
    done, failures = measure(options.fresh, options.peers_only, options.runs)
    rows = figures(done)
    model = done["model"]
    size = f"{model['weights']:,} weights, {model['inference_nodes']:,} nodes"
    print(f"Contect: {size}; {outputs.THREADS} threads, median of {options.runs} runs")
    print(f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['flags'])}")
    print(common.figures_table(rows, "Wherry"))
    if done["litert_convert"].get("reused"):
        print("LiteRT's conversion was measured in an earlier run; --fresh repeats it.")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    common.write_json(
        "contect",
        {
            "machine": machine,
            "measured": done,
            "failures": failures,
            "figures": [{**vars(row), "reached": row.reached} for row in rows],
        },
    )
    print("peers only: nothing to judge" if options.peers_only else common.verdict(rows))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
