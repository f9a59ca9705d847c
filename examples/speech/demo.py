"""The whole way on a small network: from a SavedModel to a slim library that runs it, here and on ARM.

`make demo` runs this. Everything is made in build/demo/ and nothing is taken from an earlier run. Ends with one table,
and with status 1 when a syllable is heard differently, or a difference exceeds its limit.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import wherry
from compare import LIMIT, Result, problems, read_outputs, recognised, table
from features import load_spectrogram
from measure import REPEATS, Figures, MeasureError, Task, in_process, size_of, slim_runner
from wherry.graph import Graph
from wherry.graph.convert import to_graphdef
from wherry.ops.catalog import catalog
from wherry.passes import PASSES, optimise
from wherry.selection.header import render_header

HERE = Path(__file__).resolve().parent
SAVED_MODEL = HERE / "saved_model"
OUT = HERE.parents[1] / "build" / "demo"

# 8-bit weights with a scale for each channel, in float arithmetic: TensorFlow with the same weights must agree to
# rounding. The paper's own 8 bits, a minimum and a maximum for each tensor, are "minmax:8".
QUANTIZE = "int8-weights"
# As many as the paper cuts its network into.
PARTITIONS = 11
TENSORFLOW, TENSORFLOW_QUANTIZED = ("TensorFlow", "float32"), ("TensorFlow", QUANTIZE)


@dataclass
class Demo:
    """What the steps hand on. The graph is optimised, later quantized, in place."""

    labels: list[str]
    clips: list[str] = field(default_factory=list)
    graph: Graph = field(default_factory=Graph)
    input_name: str = ""
    output_name: str = ""
    float_pack: Path = OUT / "speech_float32.wherry"
    pack: Path = OUT / f"speech_{QUANTIZE}.wherry"
    quantized_graph: Path = OUT / f"speech_{QUANTIZE}.pb"
    results: list[Result] = field(default_factory=list)

    def task(self, model: Path, way: str) -> Task:
        return Task(str(model), str(OUT / "inputs"), str(OUT / "outputs" / way), self.input_name, self.output_name)


@contextmanager
def step(says: str) -> Iterator[None]:
    """Says what is being done, and afterwards how long it took."""
    print(f"== {says}", flush=True)
    start = time.perf_counter()
    yield
    print(f"   {time.perf_counter() - start:.1f} s", flush=True)


def shown(path: Path) -> str:
    """A path as the user would type it."""
    return os.path.relpath(path)


def say(text: str) -> None:
    print(f"   {text}", flush=True)


# ---------------------------------------------------------------------------------------------- the compiler's part
def read_clips(demo: Demo) -> None:
    """WAV files to spectrograms, as every way of running takes them: [1, frames, bands, 1]."""
    (OUT / "inputs").mkdir()
    for wav in sorted((HERE / "wavs").glob("*.wav")):
        demo.clips.append(wav.stem)
        np.save(OUT / "inputs" / f"{wav.stem}.npy", load_spectrogram(wav)[None])
    say(f"{len(demo.clips)} clips: {', '.join(demo.clips)}")


def load_model(demo: Demo) -> None:
    demo.graph = wherry.load(SAVED_MODEL)
    (demo.input_name,), (demo.output_name,) = demo.graph.inputs, demo.graph.outputs
    say(f"{len(demo.graph.nodes)} nodes, {size_of(SAVED_MODEL) / 1e6:.2f} MB; variables have become constants")


def optimise_graph(demo: Demo) -> None:
    summaries = {each.name: each.summary for each in PASSES}
    for record in optimise(demo.graph).records:
        if record.changes and record.nodes_after != record.nodes_before:
            nodes = f"{record.nodes_before} -> {record.nodes_after} nodes"
            say(f"{record.name:18} {nodes:17}  {summaries[record.name]}")
    report = wherry.compile(demo.graph, demo.float_pack)
    say(f"{len(demo.graph.nodes)} nodes, {report.steps} steps; as a float32 pack {report.file_bytes / 1e6:.2f} MB")


def quantize_and_partition(demo: Demo) -> None:
    samples = {demo.input_name: np.load(OUT / "inputs" / f"{demo.clips[0]}.npy")}
    report = wherry.compile(demo.graph, demo.pack, quantize=QUANTIZE, partitions=PARTITIONS, samples=samples)
    demo.quantized_graph.write_bytes(to_graphdef(demo.graph).SerializeToString())
    assert report.quantize is not None
    before, after = report.quantize.weight_bytes_before, report.quantize.weight_bytes_after
    worst = max(report.quantize.tensors, key=lambda tensor: tensor.relative_rms)
    say(f"weights {before / 1e6:.2f} -> {after / 1e6:.2f} MB; largest error of a tensor {worst.relative_rms:.2%} rms")
    say(
        f"{report.partitions} partitions, the largest of {report.largest_partition_bytes / 1e3:.0f} kB; tensors "
        f"{report.arena_bytes / 1e3:.0f} kB; pack {report.file_bytes / 1e6:.2f} MB"
    )


def scan_and_render(demo: Demo) -> None:
    report = wherry.scan(demo.pack)
    (OUT / "scan.json").write_text(report.to_json())
    header = OUT / "ops_to_register.h"
    header.write_text(render_header(report))
    for line in textwrap.wrap(f"{len(report.keys)} kernels: {', '.join(report.keys)}", 110):
        say(line)
    say(f"{shown(header)}, scan.json beside it")


# ------------------------------------------------------------------------------------------------ the devices' part
def build(demo: Demo, target: str) -> None:
    report = wherry.build([demo.pack], target=target, output=OUT / "dist", build_dir=OUT / "cmake" / target)
    sizes = (f"{name} {report.files[name] / 1e3:.0f} kB" for name in ("lib/libwherry.so", "bin/wherry_run"))
    say(", ".join(sizes))
    say(f"the symbol table holds these {len(report.kernels)} of Wherry's {len(catalog().kernels)} kernels and no other")


def arm_emulator() -> list[str] | str:
    """The words before an ARM program that make it run here, or why the ARM part is skipped."""
    if sys.platform != "linux":
        return f"{platform.system()} has no user-mode ARM emulator"
    if importlib.util.find_spec("ziglang") is None:
        return "the cross compiler is missing: pip install ziglang"
    if platform.machine() == "aarch64":
        return []
    for name in ("qemu-aarch64-static", "qemu-aarch64"):
        if shutil.which(name):
            return [name]
    return "the ARM emulator is missing: apt install qemu-user-static"


def run_slim(demo: Demo, target: str, title: tuple[str, str], emulator: list[str]) -> None:
    task = demo.task(demo.pack, target)
    built = OUT / "dist" / target
    figures = slim_runner(built / "bin" / "wherry_run", built / "lib" / "libwherry.so", task, emulator)
    add(demo, title, task, figures, TENSORFLOW_QUANTIZED)


def add(
    demo: Demo, title: tuple[str, str], task: Task, figures: Figures, same_weights: tuple[str, str] | None = None
) -> None:
    """Keeps what a way of running answered, and says how many clips it got right: their names tell the truth."""
    result = Result(title, read_outputs(Path(task.outputs), demo.clips), figures, same_weights)
    demo.results.append(result)
    heard = recognised(result.probabilities, demo.labels)
    right = sum(clip.split("_")[0] == label for clip, label in zip(demo.clips, heard, strict=True))
    say(f"{right} of {len(demo.clips)} clips recognised")


def run_tensorflow(demo: Demo) -> None:
    task = demo.task(SAVED_MODEL, "tensorflow_float32")
    add(demo, TENSORFLOW, task, in_process("saved_model", task))


def run_tensorflow_quantized(demo: Demo) -> None:
    of_signature = demo.task(demo.quantized_graph, f"tensorflow_{QUANTIZE}")
    output = demo.graph.outputs[demo.output_name]
    names = (f"{demo.graph.inputs[demo.input_name]}:0", f"{output.node}:{output.index}")
    task = Task(of_signature.model, of_signature.inputs, of_signature.outputs, *names)
    add(demo, TENSORFLOW_QUANTIZED, task, in_process("graphdef", task))


def run_executor(demo: Demo, pack: Path, kind: str, same_weights: tuple[str, str]) -> None:
    task = demo.task(pack, f"executor_{kind}")
    add(demo, ("Executor", kind), task, in_process("executor", task), same_weights)


# ---------------------------------------------------------------------------------------------------------- the way
def compile_all(demo: Demo) -> None:
    with step("reading the WAV files"):
        read_clips(demo)
    with step(f"loading and freezing {shown(SAVED_MODEL)}"):
        load_model(demo)
    with step("stripping, folding, fusing"):
        optimise_graph(demo)
    with step(f"quantizing to 8 bits ({QUANTIZE}, a scale per channel), cutting into {PARTITIONS} partitions"):
        quantize_and_partition(demo)
    with step("scanning the pack for kernels, rendering ops_to_register.h"):
        scan_and_render(demo)


def build_and_run(demo: Demo) -> None:
    machine, emulator = platform.machine(), arm_emulator()
    with step(f"building the slim library and runner for this machine ({machine})"):
        build(demo, "host")
    if isinstance(emulator, list):
        with step("building the slim library and runner for 64-bit ARM Linux"):
            build(demo, "linux-arm64")
    with step("TensorFlow runs the SavedModel"):
        run_tensorflow(demo)
    with step("TensorFlow runs the optimised and quantized graph"):
        run_tensorflow_quantized(demo)
    with step("wherry.Executor runs the float32 pack"):
        run_executor(demo, demo.float_pack, "float32", TENSORFLOW)
    with step(f"wherry.Executor runs the {QUANTIZE} pack"):
        run_executor(demo, demo.pack, QUANTIZE, TENSORFLOW_QUANTIZED)
    with step(f"the slim runner for {machine} runs the {QUANTIZE} pack"):
        run_slim(demo, "host", ("slim runner", machine), [])
    if isinstance(emulator, list):
        with step(f"the slim runner for ARM runs the {QUANTIZE} pack{' under ' + emulator[0] if emulator else ''}"):
            run_slim(demo, "linux-arm64", ("slim runner", "ARM, qemu" if emulator else "ARM"), emulator)
    else:
        print(f"== skipped: building and running for ARM ({emulator})")


def conclude(demo: Demo) -> int:
    """Prints the table. Returns the exit status."""
    print()
    print(table(demo.results, demo.clips, demo.labels))
    print()
    print(
        "difference: of a probability; then of the values before the softmax, relative to the largest of them; then\n"
        "  from TensorFlow running the graph with the same weights, so that quantization has no part in it\n"
        "library: of TensorFlow, its shared libraries that the process has mapped\n"
        "peak memory: what loading and running added to the process, mapped files included, when program and library\n"
        "  were in memory; under qemu its translation of the program counts too\n"
        f"inference: one clip, one thread, best of {REPEATS} runs (one under qemu), median over the clips\n"
    )
    found = problems(demo.results, demo.clips, demo.labels)
    for line in found:
        print(f"WRONG: {line}")
    if not found:
        ways = len(demo.results)
        print(f"All {ways} ways hear the same, and stay within {LIMIT:g} of TensorFlow with the same weights.")
    return 1 if found else 0


@contextmanager
def stderr_in(path: Path) -> Iterator[None]:
    """TensorFlow's greetings go to a file, from this process and those that it starts."""
    kept = os.dup(2)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def main() -> int:
    start = time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # read when TensorFlow is imported
    demo = Demo(json.loads((HERE / "labels.json").read_text(encoding="utf-8")))
    try:
        with stderr_in(OUT / "stderr.txt"):
            compile_all(demo)
            build_and_run(demo)
    except (wherry.WherryError, MeasureError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    status = conclude(demo)
    print(f"{time.perf_counter() - start:.0f} s; what was made is in {shown(OUT)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
