"""Proves from symbol tables that a slim library holds exactly the kernels that were selected, and needs only libc.

Every kernel is two functions, wherry::kernels::Prepare_<key> and Run_<key>. They are looked for in the static library
and in the shared one before it was stripped; the stripped one must then be the same code byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wherry.errors import BuildError
from wherry.selection.archive import read_archive, read_library
from wherry.selection.object_file import LOCAL, ObjectFile, Symbol

# Itanium C++ ABI: _ZN <length> wherry <length> kernels <length> <name> E <arguments>
_KERNEL = re.compile(r"^_ZN6wherry7kernels(\d+)((?:Prepare|Run)_\w+)")
# What only a C++ runtime library defines. __cxa_atexit and __cxa_finalize are the C library's.
_CXX_RUNTIME = re.compile(r"^(_Z|__gxx_|_Unwind_|__cxa_(?!atexit$|finalize$|thread_atexit_impl$))")
_LINKERS_OWN = ("_init", "_fini", "__dso_handle", "_mh_dylib_header")
_C_LIBRARIES = re.compile(
    r"^(lib(c|m|pthread|dl|rt)\.so(\.\d+)?|libc\.musl-\w+\.so\.1|ld-(linux|musl)[\w.-]*\.so(\.\d+)?"
    r"|libSystem\.B\.dylib)$"
)


@dataclass(frozen=True)
class AuditReport:
    """What was looked at and found. `problems` is empty when the proof holds."""

    kernels: tuple[str, ...]  # found in every file
    files: tuple[str, ...]
    undefined: tuple[str, ...]  # symbols that the libraries take from the C library
    problems: tuple[str, ...] = field(default=())

    def check(self) -> None:
        """Raises BuildError, one line, when the proof does not hold."""
        if self.problems:
            raise BuildError("the audit of the slim library failed: " + "; ".join(self.problems))


def kernel_function(symbol: str) -> tuple[str, str] | None:
    """("Run" or "Prepare", key) of a mangled symbol that is a kernel's function, else None."""
    match = _KERNEL.match(symbol)
    if match is None:
        return None
    name = match.group(2)[: int(match.group(1))]
    if match.group(2)[len(name) : len(name) + 1] != "E":
        return None
    phase, _, key = name.partition("_")
    return phase, key


def kernels_in(symbols: Iterable[Symbol]) -> dict[str, set[str]]:
    """key -> the functions of it that are defined."""
    found: dict[str, set[str]] = {}
    for symbol in symbols:
        function = kernel_function(symbol.name) if symbol.defined else None
        if function is not None:
            found.setdefault(function[1], set()).add(function[0])
    return found


def undefined_in(files: Iterable[ObjectFile]) -> set[str]:
    """Symbols that the files want and none of them defines."""
    wanted: set[str] = set()
    defined: set[str] = set()
    for file in files:
        for symbol in file.symbols():
            if not symbol.defined:
                wanted.add(symbol.name)
            elif symbol.binding != LOCAL:
                defined.add(symbol.name)
    return wanted - defined


def audit(
    selected: Collection[str], archive: Path, shared: Path | None = None, stripped: Path | None = None
) -> AuditReport:
    """Audits a static library, and the shared one before (`shared`) and after (`stripped`) it lost its symbol table."""
    objects = read_archive(archive)
    problems = _compare(archive.name, kernels_in(s for file in objects for s in file.symbols()), selected)
    undefined = undefined_in(objects)
    problems += _cxx_problems(archive.name, undefined)
    files = [archive.name]
    if shared is not None:
        library = read_library(shared)
        problems += _compare(shared.name, kernels_in(library.symbols()), selected)
        wanted = {symbol.name for symbol in library.symbols(dynamic=True) if not symbol.defined}
        undefined |= wanted
        problems += _cxx_problems(shared.name, wanted)
        problems += _shared_problems(library, shared.name)
        files.append(shared.name)
        if stripped is not None:
            problems += _stripped_problems(library, read_library(stripped), stripped.name)
    return AuditReport(tuple(sorted(selected)), tuple(files), tuple(sorted(undefined)), tuple(problems))


def _compare(name: str, found: dict[str, set[str]], selected: Collection[str]) -> list[str]:
    problems = []
    unselected = sorted(set(found) - set(selected))
    if unselected:
        problems.append(f"{name} holds kernels that were not selected: {', '.join(unselected)}")
    missing = sorted(key for key in selected if found.get(key) != {"Prepare", "Run"})
    if missing:
        problems.append(f"{name} lacks kernels that were selected: {', '.join(missing)}")
    return problems


def _cxx_problems(name: str, undefined: Iterable[str]) -> list[str]:
    found = sorted(symbol for symbol in undefined if _CXX_RUNTIME.match(symbol))
    return [f"{name} needs a C++ runtime library for {', '.join(found)}"] if found else []


def _shared_problems(library: ObjectFile, name: str) -> list[str]:
    problems = []
    strange = sorted(each for each in library.needed() if not _C_LIBRARIES.match(Path(each).name))
    if strange:
        problems.append(f"{name} needs {', '.join(strange)}")
    exported = sorted(
        symbol.name for symbol in library.symbols(dynamic=True)
        if symbol.exported and not symbol.name.startswith("wherry_") and symbol.name not in _LINKERS_OWN
    )
    if exported:
        problems.append(f"{name} exports more than the C API: {', '.join(exported)}")
    return problems


def _stripped_problems(library: ObjectFile, stripped: ObjectFile, name: str) -> list[str]:
    problems = []
    if not stripped.stripped():
        problems.append(f"{name} still has a symbol table")
    if library.loaded() != stripped.loaded():
        problems.append(f"{name} is not the same code as the library that was audited")
    return problems
