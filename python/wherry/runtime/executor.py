"""Executor: runs a pack through the C++ runtime. Nothing here imports TensorFlow."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from wherry.errors import BudgetError, PackError, RuntimeFailure, UsageError, WherryError
from wherry.graph.types import DType, TensorType

if TYPE_CHECKING:
    from wherry.devices.profile import Device

_MOST = 1024  # threads that are asked for; the runtime starts fewer
NO_LIMIT = (1 << 64) - 1  # as a memory budget: all weights stay in memory, whatever the pack was planned for
_UNREADABLE = {
    os.strerror(errno.ENOENT): "there is no such file",
    os.strerror(errno.EISDIR): "this is a folder; wherry compile makes a pack of a model",
}
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_bytes(size: int | str | None) -> int:
    """Bytes of a size: a number, or text such as "64MB" (10**6) or "64MiB" (2**20). None gives 0, which is no size.

    Raises UsageError for anything else, and for a size below 0.
    """
    if size is None:
        return 0
    if isinstance(size, int) and not isinstance(size, bool):
        if size < 0:
            raise UsageError(f"a size of {size} bytes is below 0")
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(size))
    if match is None or match.group(2).upper() not in _UNITS:
        raise UsageError(f"{size!r} is not a size; write it like 64MB, 64MiB or 67108864")
    nbytes = int(Decimal(match.group(1)) * _UNITS[match.group(2).upper()])
    if nbytes == 0:
        raise UsageError(f"a size of {size} leaves room for nothing; write it like 64MB, or leave it out")
    return nbytes


_PAGE_CACHE = ("auto", "use", "leave")  # numbered as the C API does


@dataclass(frozen=True)
class ExecutorStats:
    """load_seconds: opening the pack. inference_seconds: the last run, and io_seconds of it spent getting weights.

    peak_bytes: the most that was held at one time since the budget was set, weights included. memory_needed: the
    smallest budget that the pack runs in with this number of threads. runs: how many ended well. first_partition: where
    the last run began, behind those that a checkpoint had. streamed_bytes: of weights that every run reads again, as
    the budget does not hold them.
    """

    load_seconds: float
    inference_seconds: float
    io_seconds: float
    peak_bytes: int
    memory_needed: int
    runs: int
    partitions: int
    first_partition: int
    streamed_bytes: int


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of the last run."""

    partitions_done: int
    partitions: int

    @property
    def completed(self) -> bool:
        return self.partitions_done == self.partitions


@dataclass(frozen=True)
class Memory:
    """Bytes of this machine, those that can be taken now, and what a memory budget may be: at most half of all."""

    physical: int
    available: int
    safe_budget: int


def memory() -> Memory:
    """What a memory budget may be on this machine, now: limits of control groups count."""
    from wherry import _native

    return Memory(*_native.memory())


def _translate(code: int, message: str) -> WherryError:
    if code == 301:
        return BudgetError(message)
    if code in (302, 200, 201, 202, 203, 204):
        return PackError(message)
    if 100 <= code < 200:
        return UsageError(message)
    return RuntimeFailure(message)


class Executor:
    """A pack, opened. Use it as a context manager, or call close().

    source: a path, or the bytes of a pack
    threads: how many compute; 0 is one for each processor
    memory_budget: the most bytes that the model may add to the process, as a number or like "64MB"; None or 0 is what
        the pack was planned for, and wherry.NO_LIMIT no limit
    page_cache: whether weights that do not fit into the budget may stay in the system's page cache: "use", "leave"
        (they are read past it), or "auto", where there is memory for them
    device: a profile, or the name or file of one as `wherry plan --device` takes it, that says how fast computing and
        storage are: which weights stay is planned for it until runs have measured that themselves; None is a guess
    checkpoint: a file that runs keep after each partition. A run in a new process, of the same pack on the same inputs,
        goes on from it at the next partition, to the same outputs bit for bit

    Raises PackError for a file that is not a sound pack or needs a kernel that the library lacks, BudgetError for a
    budget that is too small (the message says which one will do).
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        threads: int = 1,
        memory_budget: int | str | None = None,
        page_cache: str = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        device: Device | str | os.PathLike[str] | None = None,
    ) -> None:
        from wherry import _native

        if page_cache not in _PAGE_CACHE:
            raise UsageError(f"page_cache must be one of {', '.join(_PAGE_CACHE)}, not {page_cache!r}")
        if not isinstance(threads, int) or threads < 0:
            raise UsageError(f"threads must be a whole number, 0 or more, not {threads!r}")
        opened = source if isinstance(source, bytes) else os.fspath(source)
        if opened == "":
            raise UsageError("the path of the pack is empty")
        self._error: type[Exception] = _native.NativeError
        try:
            self._path = None if isinstance(opened, bytes) else _shown(opened)
            budget = min(parse_bytes(memory_budget), NO_LIMIT)
            speed = None
            if isinstance(device, str | os.PathLike):
                from wherry.devices.profile import load_device

                device = load_device(os.fspath(device))
            if device is not None and not hasattr(device, "macs"):
                raise UsageError(f"device must be a profile, or the name or file of one, not {device!r}")
            if device is not None:
                speed = (device.cores, device.macs["float32"], device.macs["int8"], device.storage_bytes)
            self._native = _native.Executor(opened, min(threads, _MOST), budget, _PAGE_CACHE.index(page_cache), speed)
        except self._error as error:
            raise self._translated(error) from None
        except ValueError as error:
            raise UsageError(f"{opened!r} is not a path: {error}") from None
        self._checkpoint = None if checkpoint is None else os.fspath(checkpoint)
        try:
            self._native.set_checkpoint(self._checkpoint)
        except self._error as error:
            raise self._translated(error) from None
        except ValueError as error:
            raise UsageError(f"{self._checkpoint!r} is not a path: {error}") from None
        self.inputs = _types(self._native.inputs())
        self.outputs = _types(self._native.outputs())
        self._native.set_types(_arrays_of(self.inputs), _arrays_of(self.outputs))

    def _translated(self, error: Exception) -> WherryError:
        code, message = error.args
        if code == 302 and "cannot be written" not in message:
            for reason, said in _UNREADABLE.items():
                if message.endswith(reason):
                    message = message.removesuffix(reason) + said
        return _translate(code, self._named(message))

    def _named(self, message: str) -> str:
        """The message with the pack's path in front, which the runtime puts there only when it opens one."""
        if self._path is None or message.startswith(f"{self._path}: "):
            return message
        return f"{self._path}: {message}"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model on inputs by their names in the signature; returns outputs by theirs.

        Raises UsageError for a wrong name, shape or type. Arrays are not converted: a float64 array is refused. NaN and
        infinity pass through floats as in TensorFlow; codes of 8 or 16 bits have none, so of them a pack with products
        in whole numbers makes numbers that mean nothing.
        """
        try:
            outputs = self._native.run(inputs)
            return self._native.run_on(self._arrays(inputs)) if outputs is None else outputs
        except UsageError as error:
            raise UsageError(self._named(str(error))) from None
        except self._error as error:
            raise self._translated(error) from None

    def _arrays(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The inputs in the pack's order. Raises UsageError when they do not fit."""
        if not isinstance(inputs, Mapping):
            raise UsageError(f"give the inputs by name: run({{{next(iter(self.inputs), 'x')!r}: array}})")
        for name in inputs:
            if name not in self.inputs:
                raise UsageError(f"there is no input {name!r}; the inputs are {', '.join(map(repr, self.inputs))}")
        return [_checked(name, kind, inputs) for name, kind in self.inputs.items()]

    def on_progress(self, callback: Callable[[int, int], bool | None] | None) -> None:
        """After each partition, calls callback(partitions done, partitions); a true answer cancels the run.

        What the callback raises, run() raises.
        """
        try:
            self._native.set_progress(callback)
        except self._error as error:
            raise self._translated(error) from None

    def cancel(self) -> None:
        """Makes the run in progress, on another thread, fail before its next step. Does nothing when none is."""
        try:
            self._native.cancel()
        except self._error as error:
            raise self._translated(error) from None

    def set_memory_budget(self, memory_budget: int | str | None) -> None:
        """Plans again for another budget, between runs; None is what the pack was planned for, wherry.NO_LIMIT none.

        Raises BudgetError for one that is too small; the old one then stays.
        """
        try:
            self._native.set_memory_budget(min(parse_bytes(memory_budget), NO_LIMIT))
        except self._error as error:
            raise self._translated(error) from None

    def trim_memory(self) -> None:
        """Gives back the memory of all weights, during a run when its step ends; what is needed is read again.

        May come from any thread.
        """
        try:
            self._native.trim_memory()
        except self._error as error:
            raise self._translated(error) from None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """How far the last run came, in whatever process.

        None where the executor has no checkpoint, and where its file is missing, damaged, or of another pack.
        """
        if self._checkpoint is None:
            return None
        try:
            state = self._native.checkpoint_state()
        except self._error as error:
            raise self._translated(error) from None
        return None if state is None else Checkpoint(*state)

    @property
    def stats(self) -> ExecutorStats:
        try:
            return ExecutorStats(**self._native.stats())
        except self._error as error:
            raise self._translated(error) from None

    def close(self) -> None:
        """Gives back all memory. The executor cannot run afterwards. Raises UsageError while a run is in progress."""
        try:
            self._native.close()
        except self._error as error:
            raise self._translated(error) from None

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _shown(path: str) -> str:
    """A path as the runtime's messages have it: bytes that are not UTF-8 and control characters replaced."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(" " if c < " " else c for c in text)


def _types(infos: list[tuple[str, int, list[int]]]) -> dict[str, TensorType]:
    return {name: TensorType(DType(dtype), tuple(shape)) for name, dtype, shape in infos}


def _arrays_of(kinds: Mapping[str, TensorType]) -> list[tuple[str, np.dtype, tuple[int | None, ...]]]:
    """As the native module takes them."""
    return [(name, kind.dtype.numpy, kind.shape or ()) for name, kind in kinds.items()]


def _checked(name: str, kind: TensorType, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    if name not in inputs:
        raise UsageError(f"the input {name!r} ({kind}) is missing")
    array = np.asarray(inputs[name])
    if array.dtype != kind.dtype.numpy:
        wanted = f"{kind.dtype.numpy}: .astype({kind.dtype.numpy.name!r})"
        raise UsageError(f"the input {name!r} is of type {array.dtype}, the model takes {wanted}")
    if array.shape != kind.shape:
        text = f"the input {name!r} has shape {array.shape}, the model takes {kind.shape}"
        if len(array.shape) == len(kind.shape or ()) > 0 and array.shape[1:] == (kind.shape or ())[1:]:
            size = ",".join(map(str, array.shape))
            text += f"; run so many at a time, or compile with --input-shapes {name}={size}"
        raise UsageError(text)
    return np.ascontiguousarray(array)
