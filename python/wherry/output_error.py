"""What quantization costs at the outputs: the float32 and the quantized pack run on the same inputs."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wherry.errors import UsageError, WherryError
from wherry.graph import TensorType
from wherry.plan.arena import plan_arena
from wherry.plan.partition import by_count
from wherry.plan.program import Program
from wherry.quantize.differences import largest_differences
from wherry.runtime.executor import Executor
from wherry.runtime.trial import PLANNED_THREADS, memory_needed

if TYPE_CHECKING:
    from wherry.pack.writer import PackedWeights

Samples = str | os.PathLike[str] | Mapping[str, np.ndarray] | None

# The float32 pack is run in this many partitions, so that measuring needs little memory.
_PARTITIONS = 16
_BATCHES = 16
_THREADS = min(PLANNED_THREADS, os.cpu_count() or 1)  # no more than budgets are planned for


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Arrays of an .npz by name. Raises UsageError when it is not one, WherryError when there is none."""
    hint = f"{os.fspath(path)}: this is not an .npz file; save it with numpy.savez(path, name=array)"
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise UsageError(hint)
        with file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise WherryError(f"{os.fspath(path)}: there is no such file") from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        if "pickle" in str(error) and zipfile.is_zipfile(path):
            raise UsageError(f"{os.fspath(path)}: it holds Python objects; save arrays of numbers") from error
        raise UsageError(hint) from error


def random_inputs(inputs: Mapping[str, TensorType], seed: int = 0) -> dict[str, np.ndarray]:
    """Values in [0, 1) for floats, 0 for the rest, for every input."""
    generator = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    for name, kind in inputs.items():
        dtype, shape = kind.dtype.numpy, tuple(int(d or 0) for d in kind.shape or ())
        floating = np.issubdtype(dtype, np.floating)
        arrays[name] = generator.random(shape).astype(dtype) if floating else np.zeros(shape, dtype)
    return arrays


def _batches(arrays: Mapping[str, np.ndarray], executor: Executor) -> list[dict[str, np.ndarray]]:
    """The arrays cut into batches as the model takes them; uncut where they do not consist of such."""
    whole = {name: np.asarray(array) for name, array in arrays.items()}
    counts = set()
    for name, array in whole.items():
        shape = tuple(int(d or 0) for d in executor.inputs[name].shape or ()) if name in executor.inputs else ()
        if not shape or array.shape[1:] != shape[1:] or shape[0] == 0 or array.shape[0] % shape[0]:
            return [whole]
        counts.add(array.shape[0] // shape[0])
    if len(counts) != 1:
        return [whole]
    count = min(counts.pop(), _BATCHES)
    sizes = {name: int((executor.inputs[name].shape or (1,))[0] or 1) for name in whole}
    return [{name: a[i * sizes[name] : (i + 1) * sizes[name]] for name, a in whole.items()} for i in range(count)]


def _check_finite(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    for each, array in arrays.items():
        values = np.asarray(array)
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise UsageError(f"{name}: {each!r} holds NaN or infinity, on which nothing can be compared; leave it out")


class FloatReference:
    """Runs a float32 program when made, and keeps its inputs and outputs.

    samples: inputs by name, an .npz of them, or None for random ones. Arrays may hold several batches along their first
    dimension, of which the first _BATCHES count. Raises UsageError when they do not fit, and for NaN and infinity.
    """

    def __init__(self, program: Program, samples: Samples) -> None:
        from wherry.pack.writer import write_pack

        self._packed: PackedWeights = {}
        plan_arena(program)
        with tempfile.TemporaryDirectory(prefix="wherry-") as folder:
            path = Path(folder) / "float32.wherry"
            write_pack(program, by_count(program, min(_PARTITIONS, len(program.steps))), path)
            budget = memory_needed(path, program.name)  # the smallest: weights are mapped a partition at a time
            with Executor(path, threads=_THREADS, memory_budget=budget) as executor:
                if samples is None:
                    self.batches = [random_inputs(executor.inputs)]
                    self.outputs = [executor.run(batch) for batch in self.batches]
                    return
                name = "the samples" if isinstance(samples, Mapping) else os.fspath(samples)
                arrays = dict(samples) if isinstance(samples, Mapping) else read_arrays(samples)
                _check_finite(name, arrays)
                self.batches = _batches(arrays, executor)
                try:
                    self.outputs = [executor.run(batch) for batch in self.batches]
                except UsageError as error:  # which names the pack, that nobody has seen
                    raise UsageError(f"{name}: {str(error).removeprefix(f'{path}: ')}") from None

    def outputs_of(self, program: Program) -> list[dict[str, np.ndarray]]:
        """What a program makes of the inputs. It is packed for that and forgotten, but for its quantized weights."""
        from wherry.pack.writer import write_pack

        plan_arena(program)
        with tempfile.TemporaryDirectory(prefix="wherry-") as folder:
            path = Path(folder) / "trial.wherry"
            write_pack(program, by_count(program, 1), path, trials=self._packed)
            return self._run(path)

    def _run(self, pack: str | os.PathLike[str]) -> list[dict[str, np.ndarray]]:
        with Executor(pack, threads=_THREADS) as executor:
            return [executor.run(batch) for batch in self.batches]

    def compare(self, pack: str | os.PathLike[str]) -> dict[str, float]:
        """Output -> largest difference of the pack's from the float32 one, relative to the largest value."""
        return largest_differences(self.outputs, self._run(pack))
