"""Which kernels the runtime has: read from the kernels.def files that the C++ tables are made of."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.errors import MissingKernelError
from wherry.graph.types import DType
from wherry.ops.suffixes import RUNTIME_TYPES, width_suffix
from wherry.resources import source_dir

_LINE = re.compile(r'^WHERRY_KERNEL\((\w+),\s*"([^"]*)",\s*"([^"]*)",\s*"([^"]*)"\)\s*$')


# How keys end whose kernels multiply 8-bit weights in whole numbers or float16 weights in halves, and those in float32.
_REDUCED = re.compile("_(?:di8|hf16)$")
_HALF_WEIGHTS = "_wf16"

_CONSTRAINT = re.compile(r"(\w+)=([\w|]+)")


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

    def accepts(self, attrs: Mapping[str, Any]) -> bool:
        """Whether a node's type attributes (T, SrcT, ...) meet the constraints. Others than types are not looked at."""
        for name, wanted in _CONSTRAINT.findall(self.types):
            dtype = attrs.get(name)
            if not isinstance(dtype, DType):
                continue
            if dtype not in RUNTIME_TYPES or not {dtype.short, width_suffix(dtype)} & set(wanted.split("|")):
                return False
        return True


@dataclass(frozen=True)
class Catalog:
    kernels: dict[str, Kernel]
    by_op: dict[str, tuple[Kernel, ...]]

    def by_key(self, key: str) -> Kernel:
        """Raises MissingKernelError when there is none."""
        if key not in self.kernels:
            raise MissingKernelError(f"the runtime has no kernel {key}; install the package again")
        return self.kernels[key]

    def find(self, op: str, suffix: str, attrs: Mapping[str, Any] | None = None) -> Kernel | None:
        """The kernel that serves `op` for the types in `suffix` and the type attributes, or None.

        One that is called like the op goes before one that merely serves it too.
        """
        found = [k for k in self.by_op.get(op, ()) if k.suffix == suffix and k.accepts(attrs or {})]
        return min(found, key=lambda kernel: kernel.key != f"{op}_{suffix}", default=None)

    def in_floats(self, key: str) -> str | None:
        """The kernel of the same op that serves a layer of `key` whose products reduced arithmetic would move too far
        (see wherry.quantize.arithmetic): float arithmetic, float16 weights. None when that is not what `key` does."""
        if _REDUCED.search(key) is None:
            return None
        return self.by_key(_REDUCED.sub(_HALF_WEIGHTS, key)).key


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
