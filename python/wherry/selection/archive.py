"""Opens static and shared libraries for the audit: ar archives with GNU's or BSD's long names, ELF and Mach-O files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wherry.errors import BuildError
from wherry.selection.elf import ElfFile
from wherry.selection.macho import MAGIC as MACHO_MAGIC
from wherry.selection.macho import MachOFile
from wherry.selection.object_file import ObjectFile


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
            name_of = body[:length].rstrip(b"\0").decode()
            if not name_of.startswith("__.SYMDEF"):
                yield name_of, body[length:]
        elif title.startswith(b"/"):
            start = int(title[1:])
            yield long_names[start : long_names.index(b"\n", start)].rstrip(b"/").decode(), body
        else:
            yield title.rstrip(b"/").decode(), body


def object_file(data: bytes, name: str) -> ObjectFile:
    """Raises BuildError for what is neither ELF nor Mach-O."""
    return MachOFile(data, name) if data[:4] == MACHO_MAGIC else ElfFile(data, name)


def read_archive(path: Path) -> list[ObjectFile]:
    """The object files of a static library."""
    return [object_file(body, f"{path}({member})") for member, body in archive_members(path.read_bytes(), str(path))]


def read_library(path: Path) -> ObjectFile:
    """A shared library."""
    return object_file(path.read_bytes(), str(path))
