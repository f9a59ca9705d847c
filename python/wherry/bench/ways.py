"""The ways to run a model that the paper's experiments compare.

A run is what one use of an app costs that keeps nothing between uses: the model is opened, runs once, and is closed.
Each run has a process of its own, which begins to count when its imports are done.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wherry.bench.memory import memory_gain
from wherry.bench.process import case_main, run_case
from wherry.runtime.executor import Executor

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Spread:
    """Measurements of the same thing. deviation: of the sample; 0 for a single one."""

    mean: float
    deviation: float
    values: list[float]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), deviation, list(values))


@dataclass(frozen=True)
class Costs:
    """What a way costs. overhead_seconds: the total less loading and inference.

    memory_bytes: what the process gained at its peak, mapped file pages included; None where the system does not say.
    disk_bytes: of the model's files.
    """

    disk_bytes: int
    memory_bytes: Spread | None
    load_seconds: Spread
    inference_seconds: Spread
    overhead_seconds: Spread
    total_seconds: Spread


@dataclass(frozen=True)
class Way:
    """How a model is run. partitions, quantize, memory_budget: None where a way has none.

    case: of this module, with its arguments. files: the model's, a file or a folder.
    """

    name: str
    program: str
    case: str
    files: Path
    arguments: Mapping[str, Any]
    partitions: int | None = None
    quantize: str | None = None
    memory_budget: int | None = None

    def measure(self, runs: int, progress: Progress) -> Costs:
        """Raises RuntimeFailure where a process dies, and what the case raises."""
        found = []
        for number in range(1, runs + 1):
            progress(f"{self.name}, {self.program}: run {number} of {runs}")
            found.append(run_case(self.name, "wherry.bench.ways", self.case, **self.arguments))

        def spread(key: str) -> Spread:
            return Spread.of([run[key] for run in found])

        known = all(run["memory_bytes"] is not None for run in found)
        return Costs(
            size_of(self.files), spread("memory_bytes") if known else None, spread("load_seconds"),
            spread("inference_seconds"), spread("overhead_seconds"), spread("total_seconds"),
        )  # fmt: skip

    def row(self, runs: int, progress: Progress) -> dict[str, Any]:
        """The way and what it costs, as --json prints it."""
        return {
            "name": self.name, "program": self.program, "partitions": self.partitions, "quantize": self.quantize,
            "memory_budget": self.memory_budget, **asdict(self.measure(runs, progress)),
        }  # fmt: skip


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


# ------------------------------------------------------------------------------------------ in the measured process
def _counted(work: Callable[[], tuple[float, float]]) -> dict[str, Any]:
    """work: opens, runs once, closes, and returns the seconds that loading and inference took."""
    gain = memory_gain()
    start = time.perf_counter()
    load, inference = work()
    total = time.perf_counter() - start
    return {
        "memory_bytes": gain.peak_added() if gain is not None else None,
        "load_seconds": load, "inference_seconds": inference, "overhead_seconds": total - load - inference,
        "total_seconds": total,
    }  # fmt: skip


def _read(inputs: str) -> dict[str, np.ndarray]:
    with np.load(inputs) as file:
        return {name: file[name] for name in file.files}


def _start_tensorflow(threads: int) -> None:
    """TensorFlow's imports and its own memory belong to the start of a process, not to the model.

    Neither do its objects belong to what Python's collector looks through each time that a partition is dropped: that
    takes 0.2 s.
    """
    import tensorflow as tf

    from wherry.runtime.tensorflow_runner import session_config

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.list_logical_devices()
    with tf.Graph().as_default():
        tf.compat.v1.Session(config=session_config(threads)).close()
    gc.collect()
    gc.freeze()


def _as_is(path: str, inputs: str, threads: int, outputs: list[str], signature: str | None) -> dict[str, Any]:
    import wherry.frontend  # noqa: F401
    from wherry.bench.as_is import open_as_is

    if Path(path).is_file() and Path(path).suffix not in (".pb", ".pbtxt"):
        import keras  # noqa: F401
    _start_tensorflow(threads)
    arrays = _read(inputs)

    def work() -> tuple[float, float]:
        start = time.perf_counter()
        run = open_as_is(Path(path), signature, outputs, threads)
        loaded = time.perf_counter()
        run(arrays)
        return loaded - start, time.perf_counter() - loaded

    return _counted(work)


def _tensorflow_partitions(folder: str, inputs: str, threads: int) -> dict[str, Any]:
    from wherry.runtime.tensorflow_partitions import TensorFlowPartitions

    _start_tensorflow(threads)
    arrays = _read(inputs)

    def work() -> tuple[float, float]:
        partitions = TensorFlowPartitions(folder, threads)
        partitions.run(arrays)
        return partitions.stats.load_seconds, partitions.stats.inference_seconds

    return _counted(work)


def _wherry_pack(pack: str, inputs: str, threads: int, memory_budget: int) -> dict[str, Any]:
    from wherry import _native  # noqa: F401  (its code is not what a pack adds)

    arrays = _read(inputs)

    def work() -> tuple[float, float]:
        with Executor(pack, threads=threads, memory_budget=memory_budget) as executor:
            executor.run(arrays)
            stats = executor.stats
        return stats.load_seconds, stats.inference_seconds

    return _counted(work)


if __name__ == "__main__":
    cases: Mapping[str, Callable[..., dict[str, Any]]] = {
        "as_is": _as_is, "tensorflow_partitions": _tensorflow_partitions, "wherry_pack": _wherry_pack,
    }
    sys.exit(case_main(cases))
