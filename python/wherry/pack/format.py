"""The .wherry file, byte by byte: the Python twin of cpp/runtime/pack_format.h. docs/pack-format.md explains it."""

from __future__ import annotations

import enum

import numpy as np

MAGIC = b"\x89WHERRY\n"
MAJOR, MINOR = 1, 0
HEADER_BYTES = 64
FIRST_SEGMENT_ALIGNMENT = 16384
SEGMENT_ALIGNMENT = 64
TENSOR_ALIGNMENT = 64
NONE = 0xFFFFFFFF
NONE64 = 0xFFFFFFFFFFFFFFFF
RESIDENT = 1


class SectionKind(enum.IntEnum):
    STRINGS = 1
    INTS = 2
    INDEXES = 3
    TENSORS = 4
    QUANTS = 5
    ATTRIBUTES = 6
    STEPS = 7
    KERNELS = 8
    PARTITIONS = 9
    SEGMENTS = 10
    INPUTS = 11
    OUTPUTS = 12
    PLAN = 13
    PROVENANCE = 14


class Place(enum.IntEnum):
    NOWHERE = 0
    SEGMENT = 1
    ARENA = 2
    EXTERNAL = 3


class AttrKind(enum.IntEnum):
    INT = 0
    FLOAT = 1
    STRING = 2
    INTS = 3


_STRING = [("offset", "<u4"), ("size", "<u4")]

HEADER = np.dtype([
    ("magic", "S8"), ("major", "<u2"), ("minor", "<u2"), ("header_bytes", "<u4"), ("file_bytes", "<u8"),
    ("metadata_offset", "<u8"), ("metadata_bytes", "<u8"), ("metadata_hash", "<u8"), ("reserved", "<u8"),
    ("header_hash", "<u8"),
])
SECTION = np.dtype([("kind", "<u4"), ("stride", "<u4"), ("offset", "<u8"), ("count", "<u8")])
STRING = np.dtype(_STRING)
TENSOR = np.dtype([
    ("name", _STRING), ("dtype", "u1"), ("rank", "u1"), ("place", "u1"), ("layout", "u1"), ("dims", "<u4"),
    ("owner", "<u4"), ("quant", "<u4"), ("offset", "<u8"), ("bytes", "<u8"),
])
QUANT = np.dtype([
    ("format", "u1"), ("bits", "u1"), ("axis", "u1"), ("reserved", "u1"), ("split", "<u4"), ("channels", "<u8"),
    ("scale", "<u8"), ("offset", "<u8"),
])
ATTRIBUTE = np.dtype([
    ("name", _STRING), ("kind", "u1"), ("reserved", "u1", 3), ("size", "<u4"), ("value", "<u8"),
])
STEP = np.dtype([
    ("name", _STRING), ("kernel", "<u4"), ("inputs", "<u4"), ("num_inputs", "<u4"), ("outputs", "<u4"),
    ("num_outputs", "<u4"), ("attributes", "<u4"), ("num_attributes", "<u4"), ("kilo_macs", "<u4"),
])
PARTITION = np.dtype([
    ("first_step", "<u4"), ("num_steps", "<u4"), ("segments", "<u4"), ("num_segments", "<u4"),
])
SEGMENT = np.dtype([
    ("offset", "<u8"), ("bytes", "<u8"), ("hash", "<u8"), ("flags", "<u4"), ("reserved", "<u4"),
])
SIGNATURE = np.dtype([("name", _STRING), ("tensor", "<u4"), ("reserved", "<u4")])
PLAN = np.dtype([("arena_bytes", "<u8"), ("memory_budget", "<u8")])

RECORDS: dict[SectionKind, np.dtype] = {
    SectionKind.STRINGS: np.dtype("u1"),
    SectionKind.INTS: np.dtype("<i8"),
    SectionKind.INDEXES: np.dtype("<u4"),
    SectionKind.TENSORS: TENSOR,
    SectionKind.QUANTS: QUANT,
    SectionKind.ATTRIBUTES: ATTRIBUTE,
    SectionKind.STEPS: STEP,
    SectionKind.KERNELS: STRING,
    SectionKind.PARTITIONS: PARTITION,
    SectionKind.SEGMENTS: SEGMENT,
    SectionKind.INPUTS: SIGNATURE,
    SectionKind.OUTPUTS: SIGNATURE,
    SectionKind.PLAN: PLAN,
    SectionKind.PROVENANCE: np.dtype("u1"),
}


def align(offset: int, to: int) -> int:
    return -(-offset // to) * to
