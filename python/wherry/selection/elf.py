"""Reads ELF objects and shared libraries, of any target and without other tools. After the System V ABI, part 4."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from wherry.errors import BuildError
from wherry.selection.object_file import Symbol

_SHT_SYMTAB, _SHT_DYNAMIC, _SHT_DYNSYM = 2, 6, 11
_DT_NEEDED = 1
_PT_LOAD = 1
_SHN_UNDEF = 0


@dataclass(frozen=True)
class _Section:
    type: int
    offset: int
    size: int
    link: int
    entry_size: int


class ElfFile:
    """An ObjectFile, little-endian, of 32 or 64 bits."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name = data, name
        if data[:4] != b"\x7fELF" or len(data) < 52 or data[5] != 1:
            raise BuildError(f"{name}: this is not a little-endian ELF file; the audit cannot read it")
        self._wide = data[4] == 2
        try:
            self._read_header()
        except struct.error as error:
            raise BuildError(f"{name}: the ELF file is cut short") from error

    def _read_header(self) -> None:
        if self._wide:
            self._programs_at, self._sections_at = struct.unpack_from("<QQ", self.data, 32)
            _, self._program_size, programs, section_size, count, _ = struct.unpack_from("<6H", self.data, 52)
        else:
            self._programs_at, self._sections_at = struct.unpack_from("<II", self.data, 28)
            _, self._program_size, programs, section_size, count, _ = struct.unpack_from("<6H", self.data, 40)
        self._programs = programs
        if count == 0 and self._sections_at:  # more than 65279: the first section says how many
            at = self._sections_at + (32 if self._wide else 20)
            count = struct.unpack_from("<Q" if self._wide else "<I", self.data, at)[0]
        self._sections = [self._section(self._sections_at + i * section_size) for i in range(count)]

    def _section(self, at: int) -> _Section:
        if self._wide:
            _, kind, _, _, offset, size, link, _, _, entry = struct.unpack_from("<IIQQQQIIQQ", self.data, at)
        else:
            _, kind, _, _, offset, size, link, _, _, entry = struct.unpack_from("<10I", self.data, at)
        return _Section(kind, offset, size, link, entry)

    def symbols(self, dynamic: bool = False) -> Iterator[Symbol]:
        for section in self._sections:
            if section.type == (_SHT_DYNSYM if dynamic else _SHT_SYMTAB):
                yield from self._table(section)

    def _table(self, section: _Section) -> Iterator[Symbol]:
        strings = self._sections[section.link].offset
        form = struct.Struct("<IBBHQQ" if self._wide else "<IIIBBH")
        for at in range(section.offset + form.size, section.offset + section.size, form.size):
            fields = form.unpack_from(self.data, at)
            name, info, other, index = fields[:4] if self._wide else (fields[0], *fields[3:6])
            text = self._string(strings + name)
            if text:
                yield Symbol(text, index != _SHN_UNDEF, info >> 4, other & 3)

    def _string(self, at: int) -> str:
        return self.data[at : self.data.index(b"\0", at)].decode("utf-8", "replace")

    def stripped(self) -> bool:
        return next(self.symbols(), None) is None

    def needed(self) -> list[str]:
        form = struct.Struct("<QQ" if self._wide else "<II")
        found = []
        for section in self._sections:
            if section.type != _SHT_DYNAMIC:
                continue
            strings = self._sections[section.link].offset
            for at in range(section.offset, section.offset + section.size, form.size):
                tag, value = form.unpack_from(self.data, at)
                if tag == _DT_NEEDED:
                    found.append(self._string(strings + value))
        return found

    def loaded(self) -> list[tuple[int, bytes]]:
        header = 64 if self._wide else 52
        parts = []
        for i in range(self._programs):
            at = self._programs_at + i * self._program_size
            if self._wide:
                kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", self.data, at)
            else:
                kind, offset, address, _, size = struct.unpack_from("<IIIII", self.data, at)
            if kind != _PT_LOAD:
                continue
            skip = max(0, min(size, header - offset))  # it says where section tables are, which stripping moves
            parts.append((address + skip, self.data[offset + skip : offset + size]))
        return parts
