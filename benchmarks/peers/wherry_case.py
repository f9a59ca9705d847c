"""Wherry, resident: packs without a memory budget. Cases: `convert` (`wherry compile`, as a user would) and `run`.

`run` imports numpy and wherry, never tensorflow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.peers.cases import Run, convert_main, measure, path_of
from benchmarks.peers.networks import NETWORKS, Array, Network

FORMATS = {"float32": "none", "dynamic": "int8", "static": "int8-static"}


def model_path(network: Network, kind: str) -> Path:
    return path_of(network, "wherry", kind, ".wherry")


def convert(network: str, kind: str) -> dict[str, Any]:
    """Also returns weight_bytes and arena_bytes, of which the memory figure is made."""
    chosen = NETWORKS[network]
    path = model_path(chosen, kind)
    command = [
        sys.executable, "-m", "wherry", "compile", str(chosen.saved_model), "-o", str(path), "--json",
        "--input-shapes", f"{chosen.input}={','.join(map(str, chosen.shape))}",
        "--quantize", FORMATS[kind],
    ]  # fmt: skip
    if kind != "float32":
        command += ["--calibrate" if kind == "static" else "--samples", str(chosen.samples)]
    report = json.loads(common.run_process(command)[0])
    return {
        "file_bytes": path.stat().st_size,
        "weight_bytes": report["largest_partition_bytes"],
        "arena_bytes": report["arena_bytes"],
    }


def run(network: str, kind: str, threads: int, seconds: float) -> dict[str, Any]:
    import wherry
    from wherry import _native  # noqa: F401  (peers' libraries are loaded before measuring begins, too)

    chosen = NETWORKS[network]

    def load() -> Run:
        executor = wherry.Executor(model_path(chosen, kind), threads=threads)

        def infer(x: Array) -> Array:
            y: Array = executor.run({chosen.input: x})[chosen.output]
            return y

        return infer

    measured = measure(chosen, load, seconds)
    foreign = sorted({"tensorflow", "keras"} & sys.modules.keys())
    if foreign:
        raise RuntimeError(f"running a pack must not import {', '.join(foreign)}")
    return measured


if __name__ == "__main__":
    convert_main(convert, run)
