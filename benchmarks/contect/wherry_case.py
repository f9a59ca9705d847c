"""Wherry on Contect: runs a pack. Imports numpy and wherry, never tensorflow.

Converting has no case here: the benchmark runs the command line (`python -m wherry compile`) as a user would
and measures that whole process.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.contect import outputs


def compile_command(pack: Path, quantize: str, memory_budget: str) -> list[str]:
    """From the SavedModel to a pack, on the command line."""
    return [
        sys.executable, "-m", "wherry", "compile", str(outputs.SAVED_MODEL), "-o", str(pack),
        "--quantize", quantize, "--memory-budget", memory_budget,
    ]  # fmt: skip


def run(pack: str, memory_budget: str, name: str, runs: int = 5) -> dict[str, Any]:
    """Opens the pack and runs it; the outputs go to outputs_<name>.npz."""
    import wherry

    executors: list[Any] = []
    stack = contextlib.ExitStack()

    def load() -> outputs.Run:
        opened = wherry.Executor(pack, threads=outputs.THREADS, memory_budget=memory_budget)
        executor = stack.enter_context(opened)
        executors.append(executor)

        def infer(spectrogram: outputs.Array) -> Mapping[str, outputs.Array]:
            result: Mapping[str, outputs.Array] = executor.run({"spectrogram": spectrogram})
            return result

        return infer

    measured = outputs.measure(load, name, runs)
    foreign = sorted({"tensorflow", "keras", "ai_edge_litert"} & sys.modules.keys())
    if foreign:
        raise RuntimeError(f"running a pack must not import {', '.join(foreign)}")
    stats = str(executors[0].stats)
    stack.close()
    return {**measured, "file_bytes": Path(pack).stat().st_size, "stats": stats}


if __name__ == "__main__":
    common.case_main({"run": run})
