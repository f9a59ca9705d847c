"""Samples of a model's inputs: arrays by name whose first axis counts samples. Read a batch at a time from an .npz."""

from __future__ import annotations

import copy
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from wherry.errors import UsageError, WherryError
from wherry.graph import TensorType

_HELD_OUT = 4

SampleSource = str | os.PathLike[str] | Mapping[str, np.ndarray]


class Samples:
    """All inputs of a model, checked, in batches of the size that the model was compiled for.

    inputs: of the model, by name. The first dimension of each is its batch; where samples are left over at the end, the
    last batch is filled up from the first ones. An input of no dimensions takes one number a sample.

    Raises UsageError for a name, shape or type that does not fit, for NaN or infinity, and where there is no sample.
    """

    def __init__(self, source: SampleSource, inputs: Mapping[str, TensorType]) -> None:
        self._source = source if isinstance(source, Mapping) else os.fspath(source)
        self._name = "the samples" if isinstance(source, Mapping) else self._source
        self._inputs = {
            name: (kind.dtype.numpy, tuple(int(d or 0) for d in kind.shape or ())) for name, kind in inputs.items()
        }
        shapes = self._shapes()
        for name in shapes:
            if name not in self._inputs:
                known = ", ".join(map(repr, inputs))
                raise UsageError(f"{self._name}: there is no input {name!r}; the inputs are {known}")
        counts = {name: self._count(name, shapes) for name in self._inputs}
        self.count = min(counts.values(), default=0)
        if len(set(counts.values())) > 1:
            raise UsageError(f"{self._name}: the inputs have different numbers of samples: {counts}")
        if self.count == 0:
            raise UsageError(f"{self._name}: there is no sample in it; save at least one of every input")
        self._held_out = 0  # one batch in so many is left out
        for batch in self.batches():
            self._check(batch)

    def _count(self, name: str, shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> int:
        dtype, shape = self._inputs[name]
        if name not in shapes:
            raise UsageError(f"{self._name}: the input {name!r} is missing")
        found, found_dtype = shapes[name]
        if len(found) != max(len(shape), 1) or found[1:] != shape[1:]:
            wanted = ", ".join(["samples", *map(str, shape[1:])])
            raise UsageError(f"{self._name}: {name!r} has shape {found}, samples of this model have ({wanted})")
        if found_dtype != dtype:
            wanted = f"{dtype}: .astype({dtype.name!r})"
            raise UsageError(f"{self._name}: {name!r} is of type {found_dtype}, the model takes {wanted}")
        return found[0]

    def _check(self, batch: Mapping[str, np.ndarray]) -> None:
        for name, array in batch.items():
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise UsageError(f"{self._name}: {name!r} holds NaN or infinity; leave such samples out")

    @property
    def batch_size(self) -> int:
        return max((shape[0] for _, shape in self._inputs.values() if shape), default=1)

    def without_held_out(self) -> Samples:
        """The same but for one batch in four, where there are at least eight."""
        rest = copy.copy(self)
        rest._held_out = _HELD_OUT if -(-self.count // max(self.batch_size, 1)) >= 2 * _HELD_OUT else 0
        return rest

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """Every batch by input name. Only one is in memory at a time."""
        size = max(self.batch_size, 1)
        readers = {name: self._rows(name, size) for name in self._inputs}
        first: dict[str, np.ndarray] = {}
        for number in range(-(-self.count // size)):
            batch = {name: next(reader) for name, reader in readers.items()}
            first = first or batch
            for name, (_, shape) in self._inputs.items():
                held = batch[name]
                lacking = size - len(held)
                if lacking:
                    again = np.resize(first[name] if len(first[name]) else held, (lacking, *held.shape[1:]))
                    held = np.concatenate([held, again])
                batch[name] = np.ascontiguousarray(held if shape else held.reshape(()))
            if not self._held_out or number % self._held_out:
                yield batch

    # Where they come from: arrays, or members of an .npz that are read row by row.

    def _shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        if isinstance(self._source, Mapping):
            arrays = {name: np.asarray(array) for name, array in self._source.items()}
            return {name: (array.shape, array.dtype) for name, array in arrays.items()}
        found = {}
        for member in self._members():
            with self._open(member) as stream:
                shape, fortran, dtype = self._header(stream)
                if fortran:
                    raise UsageError(
                        f"{self._name}: {member!r} lies column by column; save numpy.ascontiguousarray of it"
                    )
                found[member.removesuffix(".npy")] = (shape, dtype)
        return found

    def _rows(self, name: str, size: int) -> Iterator[np.ndarray]:
        if isinstance(self._source, Mapping):
            array = np.asarray(self._source[name])
            for at in range(0, len(array), size):
                yield array[at : at + size]
            return
        with self._open(f"{name}.npy") as stream:
            shape, _, dtype = self._header(stream)
            row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
            for at in range(0, shape[0], size):
                rows = min(size, shape[0] - at)
                data = stream.read(rows * row)
                if len(data) != rows * row:
                    raise UsageError(f"{self._name}: {name!r} is cut short")
                yield np.frombuffer(data, dtype).reshape(rows, *shape[1:])

    def _members(self) -> list[str]:
        try:
            with zipfile.ZipFile(str(self._source)) as file:
                return file.namelist()
        except FileNotFoundError as error:
            raise WherryError(f"{self._name}: there is no such file") from error
        except (zipfile.BadZipFile, OSError) as error:
            raise self._not_npz() from error

    def _open(self, member: str) -> Any:
        return zipfile.ZipFile(str(self._source)).open(member)

    def _header(self, stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream)
        except (ValueError, EOFError) as error:
            raise self._not_npz() from error
        if dtype.hasobject or not shape:
            raise UsageError(f"{self._name}: samples are arrays of numbers whose first axis counts them")
        return shape, fortran and len(shape) > 1, dtype

    def _not_npz(self) -> UsageError:
        return UsageError(f"{self._name}: this is not an .npz file; save it with numpy.savez(path, name=array)")
