"""What the audit asks of an object file or a shared library, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

LOCAL, GLOBAL, WEAK = 0, 1, 2
DEFAULT, HIDDEN = 0, 2


@dataclass(frozen=True)
class Symbol:
    """binding: LOCAL, GLOBAL or WEAK. visibility: DEFAULT or HIDDEN, as ELF numbers them."""

    name: str
    defined: bool
    binding: int
    visibility: int

    @property
    def exported(self) -> bool:
        return self.defined and self.binding in (GLOBAL, WEAK) and self.visibility in (DEFAULT, 3)


class ObjectFile(Protocol):
    name: str

    def symbols(self, dynamic: bool = False) -> Iterator[Symbol]:
        """The whole symbol table, or what the dynamic linker sees of it. Names as the compiler mangles them."""

    def needed(self) -> list[str]:
        """Libraries that the dynamic linker is told to load."""

    def loaded(self) -> list[tuple[int, bytes]]:
        """(address, bytes) of the code and data that are loaded into a process, less what linkers say of the file."""

    def stripped(self) -> bool:
        """Whether the names of functions that are not exported are gone."""
