"""Reads a pack's metadata: for the scan, for `wherry inspect`, for tests. Running a pack is the runtime's work.

The header and the metadata are checked against their checksums; the segments only when asked (`check_segments`),
because that reads the whole file.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from wherry.errors import PackError
from wherry.graph.types import DType, TensorType
from wherry.pack import format as fmt
from wherry.pack.format import AttrKind, Place, SectionKind
from wherry.pack.stored import Layout, WeightFormat


@dataclass(frozen=True)
class PackQuant:
    """How a weight's codes are turned back; `channels` scales lie beside it in its segment."""

    format: WeightFormat
    bits: int
    axis: int
    split: int
    channels: int


@dataclass(frozen=True)
class PackTensor:
    """owner: the segment, or the number of the signature's input, that holds it; offset and nbytes within that. In the
    arena: 1 + the number of the tensor of whose rows it is some columns, or 0.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    place: Place
    layout: Layout
    owner: int
    offset: int
    nbytes: int
    quant: PackQuant | None

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def whole(self, number: int) -> int:
        """The number of the tensor whose rows it is a part of; its own, `number`, where it is none."""
        return self.owner - 1 if self.place is Place.ARENA and self.owner else number

    @property
    def stored_bytes(self) -> int:
        """Bytes that it takes in its segment: scales and offsets included, each part aligned."""
        arrays = 0
        if self.quant is not None:
            arrays = {WeightFormat.INT8: 1, WeightFormat.MINMAX: 2}.get(self.quant.format, 0)
            if self.layout.has_sums:
                arrays = 3 if self.quant.format is WeightFormat.INT16 or self.quant.split else 2
        channels = self.quant.channels if self.quant is not None else 0
        return fmt.align(self.nbytes, fmt.TENSOR_ALIGNMENT) + 4 * arrays * fmt.align(channels, 16)


@dataclass(frozen=True)
class PackStep:
    """inputs and outputs are numbers of tensors; an input that is absent is None. kilo_macs: what it costs."""

    name: str
    kernel: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    attributes: dict[str, int | float | str | list[int]]
    kilo_macs: int


@dataclass(frozen=True)
class PackPartition:
    first_step: int
    num_steps: int
    segments: tuple[int, ...]


@dataclass(frozen=True)
class PackSegment:
    offset: int
    nbytes: int
    hash: int
    resident: bool


@dataclass(frozen=True)
class Pack:
    """What a pack says of itself. Sizes and offsets in bytes."""

    path: Path
    version: tuple[int, int]
    file_bytes: int
    metadata_bytes: int
    kernels: tuple[str, ...]
    tensors: tuple[PackTensor, ...]
    steps: tuple[PackStep, ...]
    partitions: tuple[PackPartition, ...]
    segments: tuple[PackSegment, ...]
    inputs: dict[str, PackTensor]
    outputs: dict[str, PackTensor]
    arena_bytes: int
    memory_budget: int
    provenance: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.provenance.get("name") or self.path.stem)

    @property
    def weight_bytes(self) -> int:
        return sum(segment.nbytes for segment in self.segments)

    @property
    def largest_step_bytes(self) -> int:
        """Of streamed weights, for the step that reads the most: they have to be in memory together."""
        most = 0
        for step in self.steps:
            tensors = [self.tensors[number] for number in step.inputs if number is not None]
            needed = {tensor.owner for tensor in tensors if tensor.place is fmt.Place.SEGMENT}
            streamed = (self.segments[number] for number in needed if not self.segments[number].resident)
            most = max(most, sum(segment.nbytes for segment in streamed))
        return most


def is_pack(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins with the pack's mark."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(fmt.MAGIC)) == fmt.MAGIC
    except OSError:
        return False


def read_pack(path: str | os.PathLike[str], check_segments: bool = False) -> Pack:
    """Reads and checks a pack's metadata; with `check_segments` the weights' checksums too.

    Raises PackError for a file that is not a pack, is cut short or changed, or has a newer format.
    """
    where = Path(path)
    try:
        with where.open("rb") as file:
            header = _read_header(file, where)
            file.seek(int(header["metadata_offset"]))
            metadata = file.read(int(header["metadata_bytes"]))
            if _hash64(metadata) != int(header["metadata_hash"]):
                raise _damaged(where, "its metadata does not match its checksum")
            try:
                pack = _Metadata(metadata).pack(where, header)
            except (IndexError, KeyError, OverflowError, ValueError, struct.error) as error:
                raise _damaged(where, "its metadata makes no sense") from error
            if check_segments:
                _check_segments(file, pack)
            return pack
    except FileNotFoundError as error:
        raise PackError(f"{where}: there is no such file") from error
    except OSError as error:
        raise PackError(f"{where}: the pack cannot be read: {error.strerror}") from error


def _hash64(data: bytes) -> int:
    from wherry import _native

    return int(_native.hash64(data))


def _damaged(path: Path, what: str) -> PackError:
    return PackError(f"{path}: the pack is damaged: {what}; compile it again or copy it again")


def _read_header(file: BinaryIO, path: Path) -> np.void:
    data = file.read(fmt.HEADER_BYTES)
    if data[: len(fmt.MAGIC)] != fmt.MAGIC:
        raise PackError(
            f"{path}: this is not a Wherry pack: it does not begin with the pack's mark; wherry compile makes one of a "
            "model"
        )
    if len(data) < fmt.HEADER_BYTES:
        raise PackError(f"{path}: the pack is cut short: {len(data)} bytes are not even a header")
    header = np.frombuffer(data, fmt.HEADER)[0]
    if int(header["major"]) > fmt.MAJOR:
        raise PackError(
            f"{path}: the pack has format {header['major']}.{header['minor']}, this version reads up to "
            f"{fmt.MAJOR}.x: update Wherry"
        )
    if _hash64(data[:56]) != int(header["header_hash"]) or int(header["header_bytes"]) != fmt.HEADER_BYTES:
        raise _damaged(path, "its header does not match its checksum")
    size = os.fstat(file.fileno()).st_size
    if int(header["file_bytes"]) != size:
        raise PackError(
            f"{path}: the pack is cut short or padded: {size} bytes, its header says {header['file_bytes']}; "
            "copy it again"
        )
    if int(header["metadata_offset"]) + int(header["metadata_bytes"]) > size:
        raise _damaged(path, "its metadata lies outside the file")
    return header


def _check_segments(file: BinaryIO, pack: Pack) -> None:
    for number, segment in enumerate(pack.segments):
        if segment.offset + segment.nbytes > pack.file_bytes:
            raise _damaged(pack.path, f"segment {number} lies outside the file")
        file.seek(segment.offset)
        if _hash64(file.read(segment.nbytes)) != segment.hash:
            raise _damaged(pack.path, f"segment {number} does not match its checksum")


class _Metadata:
    """The sections of a pack's metadata as arrays of records."""

    def __init__(self, data: bytes) -> None:
        count = struct.unpack_from("<I", data)[0]
        index = np.frombuffer(data, fmt.SECTION, count, 8)
        self._tables = {kind: np.zeros(0, record) for kind, record in fmt.RECORDS.items()}
        for section in index:
            try:
                kind = SectionKind(int(section["kind"]))
            except ValueError:
                continue  # of a newer minor version
            record = fmt.RECORDS[kind]
            stride, rows, offset = int(section["stride"]), int(section["count"]), int(section["offset"])
            if stride < record.itemsize or offset + stride * rows > len(data):
                raise ValueError("a section is out of place")
            raw = np.frombuffer(data, np.uint8, stride * rows, offset).reshape(rows, stride)
            self._tables[kind] = np.ascontiguousarray(raw[:, : record.itemsize]).view(record).reshape(rows)
        self._strings = self._tables[SectionKind.STRINGS].tobytes()
        self._ints = self._tables[SectionKind.INTS].tolist()
        self._indexes = self._tables[SectionKind.INDEXES].tolist()

    def pack(self, path: Path, header: np.void) -> Pack:
        kernels = tuple(self._string(row) for row in self._tables[SectionKind.KERNELS].tolist())
        quants = [self._quant(row) for row in self._tables[SectionKind.QUANTS]]
        tensors = tuple(self._tensor(row, quants) for row in self._tables[SectionKind.TENSORS])
        attributes = [self._attribute(row) for row in self._tables[SectionKind.ATTRIBUTES]]
        steps = tuple(self._step(row, kernels, attributes) for row in self._tables[SectionKind.STEPS])
        for step in steps:
            if any(t is not None and t >= len(tensors) for t in (*step.inputs, *step.outputs)):
                raise IndexError("a step's tensor is missing")
        plan = self._tables[SectionKind.PLAN][0]
        provenance = self._tables[SectionKind.PROVENANCE].tobytes()
        return Pack(
            path=path,
            version=(int(header["major"]), int(header["minor"])),
            file_bytes=int(header["file_bytes"]),
            metadata_bytes=int(header["metadata_bytes"]),
            kernels=kernels,
            tensors=tensors,
            steps=steps,
            partitions=tuple(
                PackPartition(first, count, self._run(segments, number))
                for first, count, segments, number in self._tables[SectionKind.PARTITIONS].tolist()
            ),
            segments=tuple(
                PackSegment(offset, size, digest, bool(flags & fmt.RESIDENT))
                for offset, size, digest, flags, _ in self._tables[SectionKind.SEGMENTS].tolist()
            ),
            inputs={self._string(n): tensors[t] for n, t, _ in self._tables[SectionKind.INPUTS].tolist()},
            outputs={self._string(n): tensors[t] for n, t, _ in self._tables[SectionKind.OUTPUTS].tolist()},
            arena_bytes=int(plan["arena_bytes"]),
            memory_budget=int(plan["memory_budget"]),
            provenance=json.loads(provenance) if provenance else {},
        )

    def _string(self, at: tuple[int, int]) -> str:
        offset, size = int(at[0]), int(at[1])
        if offset + size > len(self._strings):
            raise IndexError("a string is missing")
        return self._strings[offset : offset + size].decode()

    def _run(self, first: int, count: int) -> tuple[int, ...]:
        if first + count > len(self._indexes):
            raise IndexError("an index is missing")
        return tuple(self._indexes[first : first + count])

    def _dims(self, first: int, rank: int) -> tuple[int, ...]:
        if first + rank > len(self._ints):
            raise IndexError("a dimension is missing")
        return tuple(self._ints[first : first + rank])

    @staticmethod
    def _quant(row: np.void) -> PackQuant:
        numbers = (int(row[field]) for field in ("bits", "axis", "split", "channels"))
        return PackQuant(WeightFormat(int(row["format"])), *numbers)

    def _tensor(self, row: np.void, quants: list[PackQuant]) -> PackTensor:
        quant = int(row["quant"])
        return PackTensor(
            name=self._string(row["name"]),
            dtype=DType(int(row["dtype"])),
            shape=self._dims(int(row["dims"]), int(row["rank"])),
            place=Place(int(row["place"])),
            layout=Layout(int(row["layout"])),
            owner=int(row["owner"]),
            offset=int(row["offset"]),
            nbytes=int(row["bytes"]),
            quant=None if quant == fmt.NONE else quants[quant],
        )

    def _attribute(self, row: np.void) -> tuple[str, int | float | str | list[int]]:
        name, kind = self._string(row["name"]), AttrKind(int(row["kind"]))
        value, size = int(row["value"]), int(row["size"])
        if kind is AttrKind.INT:
            return name, value - (1 << 64) if value >> 63 else value
        if kind is AttrKind.FLOAT:
            return name, float(struct.unpack("<d", struct.pack("<Q", value))[0])
        if kind is AttrKind.STRING:
            return name, self._string((value, size))
        return name, list(self._dims(value, size))

    def _step(self, row: np.void, kernels: tuple[str, ...], attributes: list[Any]) -> PackStep:
        first, count = int(row["attributes"]), int(row["num_attributes"])
        if first + count > len(attributes):
            raise IndexError("an attribute is missing")
        inputs = self._run(int(row["inputs"]), int(row["num_inputs"]))
        return PackStep(
            name=self._string(row["name"]),
            kernel=kernels[int(row["kernel"])],
            inputs=tuple(None if t == fmt.NONE else t for t in inputs),
            outputs=self._run(int(row["outputs"]), int(row["num_outputs"])),
            attributes=dict(attributes[first : first + count]),
            kilo_macs=int(row["kilo_macs"]),
        )
