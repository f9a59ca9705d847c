"""One way of running the model, measured in a process of its own so that nothing else is in the figures.

`demo.py` starts it. The process imports what it measures and nothing more: TensorFlow, or numpy and wherry. It runs
every clip REPEATS times, writes the outputs, and prints one line of JSON. The slim runner is a program of its own
and does the same itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Run = Callable[[Array], Array]

# One thread everywhere: the network is too small to gain from more, and times are then comparable.
THREADS = 1
REPEATS = 5


@dataclass(frozen=True)
class Task:
    """What is run on what. Folders hold one .npy for each clip, of the same name in both.

    model: a SavedModel folder, a GraphDef (.pb) or a pack. input_name, output_name: as the signature calls them, or
    for a GraphDef the names of tensors.
    """

    model: str
    inputs: str
    outputs: str
    input_name: str
    output_name: str

    def clips(self) -> list[Path]:
        return sorted(Path(self.inputs).glob("*.npy"))

    def output_of(self, clip: Path) -> Path:
        return Path(self.outputs) / clip.name


@dataclass(frozen=True)
class Figures:
    """What one way of running costs.

    memory_bytes: what loading and running added to the process, mapped file pages included; None where the system
    does not say. inference_seconds: of one clip, the best of REPEATS runs, the median over the clips.
    """

    file_bytes: int
    library_bytes: int
    memory_bytes: int | None
    load_seconds: float
    inference_seconds: float


# ------------------------------------------------------------------------------------------ in the measured process
class MemoryGain:
    """What this process gains in resident memory from here on: the kernel's own high-water mark, reset (Linux)."""

    def __init__(self) -> None:
        self._start: int | None = None
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._start = self._field("VmRSS")
        except OSError:
            return

    @staticmethod
    def _field(name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
        return int(found.group(1)) * 1024 if found else 0

    def bytes(self) -> int | None:
        return None if self._start is None else max(0, self._field("VmHWM") - self._start)


def measure(task: Task, load: Callable[[], Run], library_bytes: int) -> Figures:
    """Loads, runs every clip, writes the outputs. Call it when all imports are done."""
    spectrograms = {clip: np.load(clip) for clip in task.clips()}
    gain = MemoryGain()
    start = time.perf_counter()
    run = load()
    load_seconds = time.perf_counter() - start
    outputs: dict[Path, Array] = {}
    best: list[float] = []
    for clip, spectrogram in spectrograms.items():
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            outputs[clip] = run(spectrogram)
            seconds.append(time.perf_counter() - start)
        best.append(min(seconds))
    memory = gain.bytes()
    Path(task.outputs).mkdir(parents=True, exist_ok=True)
    for clip, output in outputs.items():
        np.save(task.output_of(clip), output)
    return Figures(size_of(Path(task.model)), library_bytes, memory, load_seconds, median(best))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _tensorflow() -> tuple[Any, int]:
    """TensorFlow, and the bytes of those of its shared libraries that a process has mapped after importing it."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.list_logical_devices()  # what the eager runtime takes for itself belongs to the start
    folder = Path(tf.__file__).resolve().parent
    try:
        mapped = re.findall(r"/\S.*$", Path("/proc/self/maps").read_text(encoding="utf-8"), re.MULTILINE)
        libraries = {path for path in map(Path, mapped) if folder in path.parents and ".so" in path.name}
    except OSError:
        libraries = {path.resolve() for pattern in ("*.so*", "*.dylib") for path in folder.rglob(pattern)}
    return tf, sum(path.stat().st_size for path in libraries)


def saved_model(task: Task) -> Figures:
    """TensorFlow runs the SavedModel."""
    tf, library_bytes = _tensorflow()

    def load() -> Run:
        signature = tf.saved_model.load(task.model).signatures["serving_default"]

        def run(spectrogram: Array) -> Array:
            result: Array = signature(**{task.input_name: tf.constant(spectrogram)})[task.output_name].numpy()
            return result

        return run

    return measure(task, load, library_bytes)


def graphdef(task: Task) -> Figures:
    """TensorFlow runs a frozen graph."""
    tf, library_bytes = _tensorflow()

    def load() -> Run:
        definition = tf.compat.v1.GraphDef()
        definition.ParseFromString(Path(task.model).read_bytes())
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(definition, name="")
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=THREADS, inter_op_parallelism_threads=1)
        session = tf.compat.v1.Session(graph=graph, config=config)

        def run(spectrogram: Array) -> Array:
            result: Array = session.run(task.output_name, {task.input_name: spectrogram})
            return result

        return run

    return measure(task, load, library_bytes)


def executor(task: Task) -> Figures:
    """wherry.Executor runs a pack."""
    import wherry
    from wherry import _native

    def load() -> Run:
        opened = wherry.Executor(task.model, threads=THREADS)

        def run(spectrogram: Array) -> Array:
            result: Array = opened.run({task.input_name: spectrogram})[task.output_name]
            return result

        return run

    figures = measure(task, load, size_of(Path(_native.__file__)))
    if "tensorflow" in sys.modules:
        raise RuntimeError("running a pack must not import TensorFlow")
    return figures


WAYS: dict[str, Callable[[Task], Figures]] = {"saved_model": saved_model, "graphdef": graphdef, "executor": executor}


# ---------------------------------------------------------------------------------------------- in the demo's process
class MeasureError(RuntimeError):
    """A measured process failed. The message is its last words."""


def in_process(way: str, task: Task) -> Figures:
    """Runs one of WAYS in a new process. Raises MeasureError."""
    command = [sys.executable, str(Path(__file__).resolve()), way, json.dumps(asdict(task))]
    return Figures(**json.loads(_output(command).splitlines()[-1]))


def slim_runner(runner: Path, library: Path, task: Task, emulator: list[str]) -> Figures:
    """Runs the native runner on every clip, a process for each; once only where it is emulated. Raises MeasureError."""
    repeats = 1 if emulator else REPEATS
    Path(task.outputs).mkdir(parents=True, exist_ok=True)
    said: list[dict[str, Any]] = []
    for clip in task.clips():
        options = ["--input", f"{task.input_name}={clip}", "--output", f"{task.output_name}={task.output_of(clip)}"]
        options += ["--threads", str(THREADS), "--repeat", str(repeats), "--json"]
        said.append(json.loads(_output([*emulator, str(runner), task.model, *options])))
    return Figures(
        file_bytes=size_of(Path(task.model)),
        library_bytes=size_of(library),
        memory_bytes=max(each["process_gained_bytes"] for each in said) or None,
        load_seconds=median(each["load_seconds"] for each in said),
        inference_seconds=median(each["best_inference_seconds"] for each in said),
    )


def _output(command: list[str]) -> str:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **quiet})
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise MeasureError(f"{Path(command[0]).name} {Path(command[1]).name}: {words[-1]}")
    return done.stdout


if __name__ == "__main__":
    print(json.dumps(asdict(WAYS[sys.argv[1]](Task(**json.loads(sys.argv[2]))))))
