"""Collects a pack's metadata: records in growing tables, strings and lists stored once."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from wherry.pack import format as fmt
from wherry.pack.format import AttrKind, SectionKind


class Metadata:
    def __init__(self) -> None:
        self._strings = bytearray()
        self._string_at: dict[str, tuple[int, int]] = {}
        self._ints: list[int] = []
        self._ints_at: dict[tuple[int, ...], int] = {}
        self._indexes: list[int] = []
        self._rows: dict[SectionKind, list[tuple[Any, ...]]] = {}
        self._attributes_at: dict[tuple[Any, ...], int] = {}
        self.provenance = b""

    def string(self, text: str) -> tuple[int, int]:
        if text not in self._string_at:
            data = text.encode()
            self._string_at[text] = (len(self._strings), len(data))
            self._strings += data
        return self._string_at[text]

    def ints(self, values: Iterable[int]) -> int:
        """The first index of a run of values; equal runs share one."""
        key = tuple(values)
        if key not in self._ints_at:
            self._ints_at[key] = len(self._ints)
            self._ints.extend(key)
        return self._ints_at[key]

    def indexes(self, values: Iterable[int]) -> int:
        first = len(self._indexes)
        self._indexes.extend(values)
        return first

    def add(self, kind: SectionKind, *fields: Any) -> int:
        """Appends a record, in the order of its fields less the reserved ones. Returns its number."""
        rows = self._rows.setdefault(kind, [])
        rows.append(fields)
        return len(rows) - 1

    def attributes(self, attrs: Mapping[str, int | float | str | list[int]]) -> int:
        """The number of the first of attributes that follow one another; equal lists share theirs."""
        rows = tuple((self.string(name), *self._attribute(value)) for name, value in sorted(attrs.items()))
        table = self._rows.setdefault(SectionKind.ATTRIBUTES, [])
        if rows not in self._attributes_at:
            self._attributes_at[rows] = len(table)
            table.extend(rows)
        return self._attributes_at[rows]

    def _attribute(self, value: int | float | str | list[int]) -> tuple[AttrKind, int, int]:
        """Kind, size and value of a record."""
        if isinstance(value, int):
            return AttrKind.INT, 0, value & fmt.NONE64
        if isinstance(value, float):
            return AttrKind.FLOAT, 0, int(struct.unpack("<Q", struct.pack("<d", value))[0])
        if isinstance(value, str):
            offset, size = self.string(value)
            return AttrKind.STRING, size, offset
        return AttrKind.INTS, len(value), self.ints(value)

    def serialise(self) -> bytes:
        sections: dict[SectionKind, np.ndarray] = {
            SectionKind.STRINGS: np.frombuffer(bytes(self._strings), np.uint8),
            SectionKind.INTS: np.array(self._ints, "<i8"),
            SectionKind.INDEXES: np.array(self._indexes, "<u4"),
            SectionKind.PROVENANCE: np.frombuffer(self.provenance, np.uint8),
        }
        for kind, rows in self._rows.items():
            dtype = fmt.RECORDS[kind]
            names = [name for name in dtype.names or () if name != "reserved"]
            table = np.zeros(len(rows), dtype)
            for column, name in enumerate(names):
                table[name] = [row[column] for row in rows]
            sections[kind] = table
        ordered = sorted((kind, table) for kind, table in sections.items() if len(table))
        offset = fmt.align(8 + fmt.SECTION.itemsize * len(ordered), 8)
        index = np.zeros(len(ordered), fmt.SECTION)
        body = bytearray()
        base = offset
        for row, (kind, table) in enumerate(ordered):
            index[row] = (kind, table.dtype.itemsize, base + len(body), len(table))
            body += table.tobytes()
            body += bytes(fmt.align(len(body), 8) - len(body))
        head = struct.pack("<II", len(ordered), 0) + index.tobytes()
        return head + bytes(offset - len(head)) + bytes(body)
