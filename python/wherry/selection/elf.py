"""Reads the symbol tables of ELF objects, shared libraries and ar archives, of any target, with no tool but Python.

Just what the audit asks: which symbols a file defines, which it wants, which libraries it names. After the System V
ABI, chapters 4 and 5 (ELF), and the format of GNU ar.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import BuildError

_SHT_SYMTAB, _SHT_DYNAMIC, _SHT_DYNSYM = 2, 6, 11
_DT_NEEDED = 1
_PT_LOAD = 1
_SHN_UNDEF = 0
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2


@dataclass(frozen=True)
class Symbol:
    """binding: 0 local, 1 global, 2 weak. visibility: 0 default, 2 hidden."""

    name: str
    defined: bool
    binding: int
    visibility: int

    @property
    def exported(self) -> bool:
        return self.defined and self.binding in (_GLOBAL, _WEAK) and self.visibility in (0, 3)


@dataclass(frozen=True)
class _Section:
    type: int
    offset: int
    size: int
    link: int
    entry_size: int


class ElfFile:
    """One object file or shared library, little-endian, of 32 or 64 bits."""

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
        """The static symbol table, or the dynamic one. Nothing when the file has none (it was stripped)."""
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

    def needed(self) -> list[str]:
        """Libraries that the dynamic linker is told to load."""
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
        """(address, bytes) of everything that is loaded into a process, less the ELF header itself."""
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


def archive_members(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """The members of an ar archive. Raises BuildError when it is not one, or a thin one."""
    if data[:8] != b"!<arch>\n":
        raise BuildError(f"{name}: this is not an archive; the audit cannot read it")
    at, long_names = 8, b""
    while at + 60 <= len(data):
        title, size = data[at : at + 16].rstrip(), int(data[at + 48 : at + 58])
        body = data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
        if title in (b"/", b"/SYM64/") or title.startswith(b"__.SYMDEF"):
            continue
        if title == b"//":
            long_names = body
        elif title.startswith(b"#1/"):  # BSD: the name stands before the body
            length = int(title[3:])
            yield body[:length].rstrip(b"\0").decode(), body[length:]
        elif title.startswith(b"/"):
            start = int(title[1:])
            yield long_names[start : long_names.index(b"\n", start)].rstrip(b"/").decode(), body
        else:
            yield title.rstrip(b"/").decode(), body


def read_archive(path: Path) -> list[ElfFile]:
    """The object files of a static library."""
    return [ElfFile(body, f"{path}({member})") for member, body in archive_members(path.read_bytes(), str(path))]


def read_elf(path: Path) -> ElfFile:
    return ElfFile(path.read_bytes(), str(path))
