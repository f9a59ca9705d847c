"""Reads Mach-O objects and dylibs of 64 bits (macOS, iOS). After Apple's loader.h and nlist.h."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from wherry.errors import BuildError
from wherry.selection.object_file import DEFAULT, GLOBAL, HIDDEN, LOCAL, Symbol

MAGIC = b"\xcf\xfa\xed\xfe"
_LC_SYMTAB, _LC_LOAD_DYLIB, _LC_SEGMENT_64 = 0x2, 0xC, 0x19
_N_STAB, _N_PRIVATE, _N_TYPE, _N_EXTERNAL = 0xE0, 0x10, 0x0E, 0x01
_ZERO_FILL = (0x1, 0xC, 0x12)  # section types that take no bytes of the file


class MachOFile:
    """An ObjectFile, little-endian, of 64 bits."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name = data, name
        try:
            count = struct.unpack_from("<I", data, 16)[0]
            self._commands: list[tuple[int, int]] = []  # (command, where it begins)
            at = 32
            for _ in range(count):
                command, size = struct.unpack_from("<II", data, at)
                self._commands.append((command, at))
                at += size
        except struct.error as error:
            raise BuildError(f"{name}: the Mach-O file is cut short") from error

    def symbols(self, dynamic: bool = False) -> Iterator[Symbol]:
        for command, at in self._commands:
            if command != _LC_SYMTAB:
                continue
            table, count, strings, _ = struct.unpack_from("<4I", self.data, at + 8)
            for i in range(count):
                name, kind, _, _, value = struct.unpack_from("<IBBHQ", self.data, table + 16 * i)
                if kind & _N_STAB or (dynamic and not kind & _N_EXTERNAL):
                    continue
                text = self._string(strings + name)
                binding = GLOBAL if kind & _N_EXTERNAL else LOCAL
                defined = kind & _N_TYPE != 0 or value != 0  # a value without a type is a common symbol's size
                if text:
                    yield Symbol(text.removeprefix("_"), defined, binding, HIDDEN if kind & _N_PRIVATE else DEFAULT)

    def stripped(self) -> bool:
        # Linkers add local symbols of their own (thunks), which no option takes away.
        return not any(symbol.binding == LOCAL and symbol.name.startswith("_Z") for symbol in self.symbols())

    def needed(self) -> list[str]:
        found = []
        for command, at in self._commands:
            if command == _LC_LOAD_DYLIB:
                found.append(self._string(at + struct.unpack_from("<I", self.data, at + 8)[0]))
        return found

    def loaded(self) -> list[tuple[int, bytes]]:
        parts = []
        for command, at in self._commands:
            if command != _LC_SEGMENT_64:
                continue
            sections = struct.unpack_from("<I", self.data, at + 64)[0]
            for i in range(sections):
                address, size, offset, _, _, _, flags = struct.unpack_from("<QQ5I", self.data, at + 72 + 80 * i + 32)
                held = b"" if flags & 0xFF in _ZERO_FILL else self.data[offset : offset + size]
                parts.append((address, held))
        return parts

    def _string(self, at: int) -> str:
        return self.data[at : self.data.index(b"\0", at)].decode("utf-8", "replace")
