"""Writes a program and its partitions as a pack: through a temporary file, so that no half-written pack is left."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from wherry.errors import PackError
from wherry.files import whole_file
from wherry.graph import QuantizedValue, Value
from wherry.ops.cost import macs
from wherry.ops.rules import WeightUse
from wherry.pack import format as fmt
from wherry.pack.format import Place, SectionKind
from wherry.pack.metadata import Metadata
from wherry.pack.stored import StoredWeight
from wherry.pack.weights import pack_recurrent, pack_row_major, pack_weight
from wherry.plan.partition import Partition
from wherry.plan.program import Program, ProgramTensor, Step, Weight
from wherry.plan.slices import FIRST_COLUMN, computed_shape
from wherry.plan.weight_size import part_sizes

_PIECE_BYTES = 1 << 21


class _Segments:
    """Gives every weight its segment: one for resident ones, one for each step, one for each weight that steps share.

    Segments are numbered, and lie in the file, in the order in which steps first need them.
    """

    def __init__(self, program: Program, partitions: list[Partition]) -> None:
        users = Counter(key for step in program.steps for key in {id(weight) for weight in step.weights})
        self.members: list[list[Weight]] = [[]]
        segment_of: dict[int, int] = {}
        needed: list[dict[int, None]] = [{} for _ in partitions]  # as ordered sets
        for number, partition in enumerate(partitions):
            for step in program.steps[partition.first : partition.first + partition.count]:
                own: int | None = None
                for weight in (tensor.weight for tensor in step.inputs):
                    if weight is None:
                        continue
                    if id(weight) not in segment_of:
                        shared = users[id(weight)] > 1
                        if weight.resident:
                            segment = 0
                        elif shared or own is None:
                            segment = self._new()
                        else:
                            segment = own
                        if not weight.resident and not shared:
                            own = segment
                        segment_of[id(weight)] = segment
                        self.members[segment].append(weight)
                    if not weight.resident:
                        needed[number][segment_of[id(weight)]] = None
        self.partition_segments = [list(segments) for segments in needed]

    def _new(self) -> int:
        self.members.append([])
        return len(self.members) - 1


@dataclass(frozen=True)
class _Placed:
    """Where a weight went, and what its records say."""

    segment: int
    offset: int
    nbytes: int
    stored: StoredWeight  # without its data
    scale: int
    zero: int


class _Buffer:
    """The bytes of one segment while it is put together."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def append(self, data: bytes) -> int:
        padding = fmt.align(self.size, fmt.TENSOR_ALIGNMENT) - self.size
        if padding:
            self.parts.append(bytes(padding))
        offset = self.size + padding
        self.parts.append(data)
        self.size = offset + len(data)
        return offset


class _Output:
    """Writes what follows one another in pieces that begin and end at multiples of 2 MiB of the file.

    What is written so stays in Linux's page cache in pages of 2 MiB, which the runtime maps at once.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        self.file = file
        self.at = start
        self.waiting = bytearray()

    def write(self, at: int, data: bytes) -> None:
        """`at` is not before the end of what was written last; zeros fill what lies between."""
        self.waiting += bytes(at - self.at - len(self.waiting)) + data
        whole = (self.at + len(self.waiting)) // _PIECE_BYTES * _PIECE_BYTES - self.at
        if whole > 0:
            self._put(whole)

    def flush(self) -> None:
        self._put(len(self.waiting))

    def _put(self, count: int) -> None:
        self.file.seek(self.at)
        self.file.write(memoryview(self.waiting)[:count].tobytes())
        del self.waiting[:count]
        self.at += count


def _padded(values: np.ndarray | None) -> bytes | None:
    if values is None:
        return None
    array = np.ascontiguousarray(values, np.float32).reshape(-1)
    return array.tobytes() + bytes(4 * (-len(array) % 16))


_PANEL_OPS = {
    WeightUse.MATRIX: "MatMul",
    WeightUse.MATRIX_TRANSPOSED: "MatMul",
    WeightUse.FILTER: "Conv2D",
    WeightUse.DEPTHWISE: "DepthwiseConv2dNative",
    WeightUse.TAPS: "QLinearDepthwiseConv2d",
    WeightUse.FILTER_TRANSPOSED: "Conv2DBackpropInput",
}


# Weights in codes of the packs of several trials, so that each is packed once: (id of a value, use) -> both.
PackedWeights = dict[tuple[int, WeightUse], tuple[Value, StoredWeight]]


def _kept(weight: Weight, trials: PackedWeights | None) -> StoredWeight:
    value, key = weight.value, (id(weight.value), weight.use)
    if trials is None or not isinstance(value, QuantizedValue) or value.format == "float16":
        return _stored(weight)
    if key not in trials:
        trials[key] = value, _stored(weight)
    return trials[key][1]


def _stored(weight: Weight) -> StoredWeight:
    if weight.use is WeightUse.PLAIN:
        array = np.ascontiguousarray(weight.value.numpy())
        return StoredWeight(array.tobytes(), array.shape, dtype=weight.value.type.dtype)
    if weight.use is WeightUse.ROWS:
        return pack_row_major(weight.value)
    if weight.use is WeightUse.RECURRENT:
        return pack_recurrent(weight.value)
    transpose = weight.use is WeightUse.MATRIX_TRANSPOSED
    return pack_weight(_PANEL_OPS[weight.use], weight.value, transpose=transpose)


def _place(weight: Weight, segment: int, buffer: _Buffer, trials: PackedWeights | None) -> _Placed:
    stored = _kept(weight, trials)
    scale = zero = fmt.NONE64
    for_scale, for_offset = _padded(stored.scale), _padded(stored.offset)
    if for_scale is not None:
        scale = buffer.append(for_scale)
    if for_offset is not None:
        zero = buffer.append(for_offset)
    offset = buffer.append(stored.data)
    return _Placed(segment, offset, len(stored.data), replace(stored, data=b""), scale, zero)


class _Writer:
    def __init__(
        self, program: Program, partitions: list[Partition], budget: int, provenance: Mapping[str, Any],
        trials: PackedWeights | None,
    ) -> None:
        self.program = program
        self.partitions = partitions
        self.budget = budget
        self.provenance = provenance
        self.trials = trials
        self.metadata = Metadata()
        self.placed: dict[int, _Placed] = {}
        self.tensor_numbers: dict[int, int] = {}
        self.kernel_numbers: dict[str, int] = {}

    def write(self, file: BinaryIO) -> None:
        from wherry import _native

        segments = _Segments(self.program, self.partitions)
        # The metadata goes in front of the segments, but holds their checksums: measure it first with none.
        layout = [self._measure(members) for members in segments.members]
        meta_bytes = len(self._metadata(segments, [(0, size, 0) for size in layout], dry=True))
        at = fmt.align(fmt.HEADER_BYTES + meta_bytes, fmt.FIRST_SEGMENT_ALIGNMENT)
        table: list[tuple[int, int, int]] = []
        out = _Output(file, at)
        for number, members in enumerate(segments.members):
            buffer = _Buffer()
            for weight in members:
                self.placed[id(weight)] = _place(weight, number, buffer, self.trials)
            data = b"".join(buffer.parts)
            del buffer
            assert len(data) == layout[number], "a weight's size was predicted wrong"
            out.write(at, data)
            table.append((at, len(data), _native.hash64(data)))
            at = fmt.align(at + len(data), fmt.SEGMENT_ALIGNMENT)
        out.flush()
        end = max((offset + size for offset, size, _ in table), default=fmt.HEADER_BYTES + meta_bytes)
        end = max(end, fmt.HEADER_BYTES + meta_bytes)
        file.truncate(end)
        meta = self._metadata(segments, table, dry=False)
        assert len(meta) == meta_bytes
        header = np.zeros(1, fmt.HEADER)
        header[0] = (
            fmt.MAGIC, fmt.MAJOR, fmt.MINOR, fmt.HEADER_BYTES, end, fmt.HEADER_BYTES, len(meta),
            _native.hash64(meta), 0, 0,
        )
        header["header_hash"] = _native.hash64(header.tobytes()[:56])
        file.seek(0)
        file.write(header.tobytes())
        file.write(meta)

    def _measure(self, members: list[Weight]) -> int:
        size = 0
        for weight in members:
            for part in part_sizes(weight.value, weight.use):
                size = fmt.align(size, fmt.TENSOR_ALIGNMENT) + part
        return size

    def _metadata(self, segments: _Segments, table: list[tuple[int, int, int]], dry: bool) -> bytes:
        meta = self.metadata = Metadata()
        self.tensor_numbers.clear()
        self.kernel_numbers.clear()
        self.dry = dry
        for step in self.program.steps:
            self._step(step)
        for partition, members in zip(self.partitions, segments.partition_segments, strict=True):
            meta.add(SectionKind.PARTITIONS, partition.first, partition.count, meta.indexes(members), len(members))
        for number, (offset, size, digest) in enumerate(table):
            meta.add(SectionKind.SEGMENTS, offset, size, digest, fmt.RESIDENT if number == 0 else 0)
        for kind, tensors in ((SectionKind.INPUTS, self.program.inputs), (SectionKind.OUTPUTS, self.program.outputs)):
            for name, tensor in tensors.items():
                meta.add(kind, meta.string(name), self._tensor(tensor))
        meta.add(SectionKind.PLAN, self.program.arena_bytes, self.budget)
        meta.provenance = json.dumps(self.provenance, sort_keys=True).encode()
        return meta.serialise()

    def _step(self, step: Step) -> None:
        meta = self.metadata
        if step.kernel not in self.kernel_numbers:
            self.kernel_numbers[step.kernel] = meta.add(SectionKind.KERNELS, *meta.string(step.kernel))
        inputs = [self._tensor(t) for t in step.inputs]
        outputs = [self._tensor(t) for t in step.outputs]
        attributes = meta.attributes(step.attrs)
        meta.add(
            SectionKind.STEPS, meta.string(step.name), self.kernel_numbers[step.kernel], meta.indexes(inputs),
            len(inputs), meta.indexes(outputs), len(outputs), attributes, len(step.attrs), _kilo_macs(step),
        )

    def _tensor(self, tensor: ProgramTensor) -> int:
        number = self.tensor_numbers.get(id(tensor))
        if number is not None:
            return number
        meta = self.metadata
        place, owner, offset, nbytes, layout, quant = Place.NOWHERE, 0, 0, 0, 0, fmt.NONE
        if tensor.weight is not None:
            place = Place.SEGMENT
            if self.dry:
                quant = meta.add(SectionKind.QUANTS, 0, 0, 0, 0, 0, 0, 0) if _is_quantized(tensor.weight) else fmt.NONE
            else:
                placed = self.placed[id(tensor.weight)]
                stored = placed.stored
                owner, offset, nbytes, layout = placed.segment, placed.offset, placed.nbytes, int(stored.layout)
                if stored.format:
                    quant = meta.add(
                        SectionKind.QUANTS, int(stored.format), stored.bits, stored.axis, stored.split, stored.channels,
                        placed.scale, placed.zero,
                    )
        elif tensor.storage is not None:
            nbytes = tensor.span
            if tensor.storage.external is not None:
                place, owner = Place.EXTERNAL, tensor.storage.external
            else:
                place, offset = Place.ARENA, tensor.storage.offset + tensor.offset
                owner = 1 + self._tensor(tensor.base) if tensor.base is not None else 0
        number = meta.add(
            SectionKind.TENSORS, meta.string(tensor.name), int(tensor.dtype), len(tensor.shape), place, layout,
            meta.ints(tensor.shape), owner, quant, offset, nbytes,
        )
        self.tensor_numbers[id(tensor)] = number
        return number


def _kilo_macs(step: Step) -> int:
    outputs = [tensor.shape for tensor in step.outputs]
    if FIRST_COLUMN in step.attrs:
        outputs[0] = computed_shape(outputs[0], step.inputs[1].shape)
    count = macs(step.op, [tensor.shape for tensor in step.inputs], outputs)
    return min(count // 1000, 0xFFFFFFFF)


def _is_quantized(weight: Weight) -> bool:
    coded = isinstance(weight.value, QuantizedValue) and weight.use is not WeightUse.PLAIN
    return coded or weight.use is WeightUse.RECURRENT


def write_pack(
    program: Program,
    partitions: list[Partition],
    path: str | os.PathLike[str],
    memory_budget: int = 0,
    provenance: Mapping[str, Any] | None = None,
    check: Callable[[Path], None] | None = None,
    trials: PackedWeights | None = None,
) -> int:
    """Writes the pack and returns its size in bytes. The arena must have been planned.

    check: is given the whole pack under its temporary name; what it raises keeps the pack from being put in place.
    trials: this is one of several packs that are run and forgotten; what they share.

    Raises PackError when the file cannot be written; what was there before is then untouched.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        raise PackError(f"{target}: this is not a file; name one for the pack")
    with whole_file(target) as temporary, temporary.open("wb") as file:
        _Writer(program, partitions, memory_budget, provenance or {}, trials).write(file)
        file.flush()
        if check is not None:
            check(temporary)
        if trials is None:
            os.fsync(file.fileno())
    return target.stat().st_size

