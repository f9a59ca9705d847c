"""Which kernels the runtime has: read from the kernels.def files that the C++ tables are made of."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from wherry.resources import source_dir

_LINE = re.compile(r'^WHERRY_KERNEL\((\w+),\s*"([^"]*)",\s*"([^"]*)",\s*"([^"]*)"\)\s*$')


@dataclass(frozen=True)
class Kernel:
    """One line of a kernels.def.

    key: what a pack names and a slim build selects, e.g. Conv2D_f32_wi8
    ops: the ops that it serves, TensorFlow's names or a composite's
    types: its type constraints, as text
    source: its file below cpp/kernels
    """

    key: str
    ops: tuple[str, ...]
    types: str
    source: str

    @property
    def suffix(self) -> str:
        """What follows the runtime op's name in the key: f32_wi8."""
        return self.key.split("_", 1)[1] if "_" in self.key else ""


@dataclass(frozen=True)
class Catalog:
    kernels: dict[str, Kernel]
    by_op: dict[str, tuple[Kernel, ...]]

    def find(self, op: str, suffix: str) -> Kernel | None:
        """The kernel that serves `op` for the types in `suffix`, or None."""
        for kernel in self.by_op.get(op, ()):
            if kernel.suffix == suffix:
                return kernel
        return None


def read_catalog(kernels_dir: Path) -> Catalog:
    """Reads every */kernels.def below a folder. Raises ValueError for a line that is not of the agreed form."""
    kernels: dict[str, Kernel] = {}
    by_op: dict[str, list[Kernel]] = {}
    for table in sorted(kernels_dir.glob("*/kernels.def")):
        for number, line in enumerate(table.read_text().splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("//"):
                continue
            match = _LINE.match(line)
            if match is None:
                raise ValueError(f"{table}:{number}: not a kernel line: {line}")
            key, ops, types, source = match.groups()
            kernel = Kernel(key, tuple(ops.split(",")), types, f"{table.parent.name}/{source}")
            if key in kernels:
                raise ValueError(f"{table}:{number}: {key} is listed twice")
            kernels[key] = kernel
            for op in kernel.ops:
                by_op.setdefault(op, []).append(kernel)
    return Catalog(kernels, {op: tuple(found) for op, found in by_op.items()})


@functools.cache
def catalog() -> Catalog:
    """The catalog of the runtime that this package carries."""
    return read_catalog(source_dir() / "cpp" / "kernels")
