"""A pack's metadata many times over, side by side: what a network of parallel branches has. No weights are written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from wherry import _native
from wherry.pack import format as fmt
from wherry.pack.format import Place, SectionKind
from wherry.pack.metadata import Metadata


class Sections:
    """A pack's header and its sections as arrays of records. The pack is one that this version wrote."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.header = np.frombuffer(file.read(fmt.HEADER_BYTES), fmt.HEADER)[0]
            file.seek(int(self.header["metadata_offset"]))
            data = file.read(int(self.header["metadata_bytes"]))
        self.tables = {kind: np.zeros(0, record) for kind, record in fmt.RECORDS.items()}
        for section in np.frombuffer(data, fmt.SECTION, struct.unpack_from("<I", data)[0], 8):
            kind = SectionKind(int(section["kind"]))
            self.tables[kind] = np.frombuffer(data, fmt.RECORDS[kind], int(section["count"]), int(section["offset"]))
        self._strings = self.tables[SectionKind.STRINGS].tobytes()

    def __getitem__(self, kind: SectionKind) -> np.ndarray:
        return self.tables[kind]

    def text(self, offset: int, size: int) -> str:
        return self._strings[offset : offset + size].decode()

    @property
    def metadata_bytes(self) -> int:
        return int(self.header["metadata_bytes"])

    @property
    def steps(self) -> int:
        return len(self.tables[SectionKind.STEPS])

    @property
    def tensors(self) -> int:
        return len(self.tables[SectionKind.TENSORS])


def tile(source: Sections, copies: int, path: Path) -> None:
    """Writes a pack whose metadata is that of `copies` branches, each with names, inputs, outputs and partitions of
    its own. The segments of all branches are those of the source; the file is as long as the source and sparse."""
    meta = Metadata()
    for row in source[SectionKind.KERNELS]:
        meta.add(SectionKind.KERNELS, *meta.string(source.text(*row)))
    for branch in range(copies):
        _branch(source, meta, branch)
    meta.add(SectionKind.PLAN, *(int(value) for value in source[SectionKind.PLAN][0]))
    meta.provenance = source[SectionKind.PROVENANCE].tobytes()
    data = meta.serialise()
    header = np.array([source.header])
    header["file_bytes"] = max(int(source.header["file_bytes"]), fmt.HEADER_BYTES + len(data))
    header["metadata_offset"] = fmt.HEADER_BYTES
    header["metadata_bytes"] = len(data)
    header["metadata_hash"] = _native.hash64(data)
    header["header_hash"] = _native.hash64(header.tobytes()[:56])
    with path.open("wb") as file:
        file.write(header.tobytes() + data)
        file.truncate(int(header["file_bytes"][0]))


def _branch(source: Sections, meta: Metadata, branch: int) -> None:
    def name(at: Any) -> tuple[int, int]:
        return meta.string(f"branch_{branch}/{source.text(*at)}")

    tensors, quants, steps = (branch * len(source[kind]) for kind in
                              (SectionKind.TENSORS, SectionKind.QUANTS, SectionKind.STEPS))
    segments, inputs = branch * len(source[SectionKind.SEGMENTS]), branch * len(source[SectionKind.INPUTS])
    ints, indexes = source[SectionKind.INTS], source[SectionKind.INDEXES]
    owner_shift = {Place.SEGMENT: segments, Place.EXTERNAL: inputs}
    for row in source[SectionKind.QUANTS]:
        fields = ("format", "bits", "axis", "split", "channels", "scale", "offset")
        meta.add(SectionKind.QUANTS, *(int(row[field]) for field in fields))
    for row in source[SectionKind.TENSORS]:
        dims = meta.ints(ints[row["dims"] : row["dims"] + row["rank"]].tolist())
        quant = fmt.NONE if row["quant"] == fmt.NONE else quants + int(row["quant"])
        owner = int(row["owner"]) + owner_shift.get(Place(int(row["place"])), 0)
        meta.add(SectionKind.TENSORS, name(row["name"]), int(row["dtype"]), int(row["rank"]), int(row["place"]),
                 int(row["layout"]), dims, owner, quant, int(row["offset"]), int(row["bytes"]))  # fmt: skip
    for row in source[SectionKind.STEPS]:
        lists = [meta.indexes((indexes[row[of] : row[of] + row[f"num_{of}"]] + tensors).tolist())
                 for of in ("inputs", "outputs")]  # fmt: skip
        first = _attributes(source, meta, int(row["attributes"]), int(row["num_attributes"]))
        meta.add(SectionKind.STEPS, name(row["name"]), int(row["kernel"]), lists[0], int(row["num_inputs"]), lists[1],
                 int(row["num_outputs"]), first, int(row["num_attributes"]))  # fmt: skip
    for row in source[SectionKind.PARTITIONS]:
        members = (indexes[row["segments"] : row["segments"] + row["num_segments"]] + segments).tolist()
        meta.add(SectionKind.PARTITIONS, int(row["first_step"]) + steps, int(row["num_steps"]), meta.indexes(members),
                 len(members))  # fmt: skip
    for row in source[SectionKind.SEGMENTS]:
        meta.add(SectionKind.SEGMENTS, *(int(row[field]) for field in ("offset", "bytes", "hash", "flags")))
    for kind in (SectionKind.INPUTS, SectionKind.OUTPUTS):
        for row in source[kind]:
            meta.add(kind, name(row["name"]), int(row["tensor"]) + tensors)


def _attributes(source: Sections, meta: Metadata, first: int, count: int) -> int:
    """Appends a step's attributes. Returns the first one's number; 0 where there is none."""
    numbers = [0] * (count == 0)
    for row in source[SectionKind.ATTRIBUTES][first : first + count]:
        value, size = int(row["value"]), int(row["size"])
        if row["kind"] == fmt.AttrKind.STRING:
            value, size = meta.string(source.text(value, size))
        elif row["kind"] == fmt.AttrKind.INTS:
            value = meta.ints(source[SectionKind.INTS][value : value + size].tolist())
        name = meta.string(source.text(*row["name"]))
        numbers.append(meta.add(SectionKind.ATTRIBUTES, name, int(row["kind"]), size, value))
    return numbers[0]
