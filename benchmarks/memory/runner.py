"""The native runner: a C program with libwherry.a in it, which holds these packs' kernels. The C library is shared."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.contect.outputs import THREADS
from benchmarks.memory.packs import FOLDER, Model, digest


@dataclass(frozen=True)
class NativeRun:
    """measured: what `wherry_run --json` prints; digest: of the outputs."""

    measured: dict[str, Any]
    digest: str


class Runner:
    """wherry_run, built for this machine. Outputs go to a folder that every run empties first."""

    def __init__(self, program: Path, outputs: Path) -> None:
        self.program, self.outputs = program, outputs

    def command(self, model: Model, budget: int | None, repeat: int = 1) -> list[str]:
        """budget: bytes, or None for all weights in memory."""
        shutil.rmtree(self.outputs, ignore_errors=True)
        command = [str(self.program), str(model.pack), "--threads", str(THREADS), "--repeat", str(repeat), "--json"]
        for name, file in model.inputs.items():
            command += ["--input", f"{name}={file}"]
        if budget is not None:
            command += ["--memory-budget", str(budget)]
        return [*command, "--output-dir", str(self.outputs)]

    def result(self, stdout: str) -> NativeRun:
        """Of the run that has just ended well."""
        measured = json.loads(stdout)
        files = {name: self.outputs / f"{file_stem(name)}.npy" for name in measured["outputs"]}
        return NativeRun(measured, digest({name: np.load(file) for name, file in files.items()}))

    def run(self, model: Model, budget: int | None, repeat: int = 1) -> NativeRun:
        """Raises CaseFailed."""
        return self.result(common.run_process(self.command(model, budget, repeat))[0])


def all_in_one(runner: Runner) -> Runner:
    """The same program with the C library linked in too. Raises CaseFailed where there is none to link."""
    library = runner.program.parents[1]
    tools = common.ROOT / "cpp" / "tools"
    sources = [str(tools / name) for name in ("npy.c", "options.c", "wherry_run.c")]
    program = FOLDER / "wherry_run_static"
    options = ["-O2", "-static", "-s", "-Wl,--gc-sections", f"-I{library / 'include'}", "-o", str(program)]
    common.run_process(["cc", *sources, str(library / "lib" / "libwherry.a"), "-lm", "-lpthread", *options])
    return Runner(program, runner.outputs)


def file_stem(output: str) -> str:
    """As wherry_run names the file of an output."""
    return output.replace("/", "_").replace(":", "_")


def build(models: Sequence[Model]) -> Runner:
    """Compiles what changed since the last time."""
    made = FOLDER / "dist"
    packs = [str(model.pack) for model in models]
    options = ["--target", "host", "-o", str(made), "--build-dir", str(FOLDER / "work")]
    common.run_process([sys.executable, "-m", "wherry", "build", *packs, *options])
    return Runner(made / "host" / "bin" / "wherry_run", FOLDER / "outputs")
