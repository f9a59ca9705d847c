"""What a scan found: the kernels that models need. Merges, prints, and is kept as sorted, versioned JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wherry.errors import UsageError
from wherry.ops.catalog import Catalog, catalog

VERSION = 1


@dataclass(frozen=True)
class KernelUse:
    """One required kernel.

    key: what the header selects, e.g. Conv2D_f32_wi8; op and types are its two parts
    count: steps that call it. weight_bytes: of the constants that they read, each counted once. macs: of their products
    instead_of: for a kernel that steps may need, the one whose place it takes in layers that compiling leaves in float
        arithmetic; only the pack says whether there are such layers
    """

    key: str
    op: str
    types: str
    count: int
    weight_bytes: int
    macs: int
    instead_of: str = ""

    def plus(self, other: KernelUse) -> KernelUse:
        return KernelUse(
            self.key, self.op, self.types, self.count + other.count, self.weight_bytes + other.weight_bytes,
            self.macs + other.macs, self.instead_of if other.instead_of else "",
        )


@dataclass(frozen=True)
class ScannedModel:
    """One model of a scan. source: the base name of its file, or the kind of object it was."""

    name: str
    source: str
    steps: int
    weight_bytes: int


@dataclass(frozen=True)
class ScanReport:
    """Models, and the kernels that all of them need together, sorted by key."""

    models: tuple[ScannedModel, ...]
    kernels: tuple[KernelUse, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(use.key for use in self.kernels)

    def to_json(self) -> str:
        """Sorted and indented, so that two scans of one model are the same bytes."""
        data = {
            "version": VERSION,
            "models": [asdict(model) for model in self.models],
            "kernels": [asdict(use) for use in self.kernels],
        }
        return json.dumps(data, indent=2, sort_keys=True) + "\n"

    def table(self) -> str:
        """For people: a line for each kernel, and the sums."""
        rows = [("kernel", "op", "types", "count", "weight bytes", "MMACs")]
        rows += [
            (use.key, use.op, use.types, f"{use.count:,}", f"{use.weight_bytes:,}", f"{use.macs / 1e6:,.1f}")
            for use in self.kernels
        ]
        rows.append((
            f"{len(self.kernels)} kernels", "", "", f"{sum(use.count for use in self.kernels):,}",
            f"{sum(use.weight_bytes for use in self.kernels):,}", f"{sum(use.macs for use in self.kernels) / 1e6:,.1f}",
        ))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = [
            "  ".join(cell.ljust(width) if column < 3 else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in rows
        ]
        rule = "  ".join("-" * width for width in widths)
        models = ", ".join(f"{model.name} ({model.source})" for model in self.models)
        return "\n".join([f"models: {models}", "", lines[0], rule, *lines[1:-1], rule, lines[-1], *self._notes()])

    def _notes(self) -> list[str]:
        notes = [f"  {use.key} instead of {use.instead_of}" for use in self.kernels if use.instead_of]
        if not notes:
            return []
        why = "Layers that would move the outputs too far are compiled in float arithmetic, and need"
        return ["", why, *notes, "Which, the pack says: scan it, or build from it, for its kernels alone."]


def kernel_use(key: str, count: int, weight_bytes: int, macs: int, instead_of: str = "") -> KernelUse:
    op, _, types = key.partition("_")
    return KernelUse(key, op, types, count, weight_bytes, macs, instead_of)


def merge(reports: Iterable[ScanReport]) -> ScanReport:
    """The scan of all models together."""
    models: list[ScannedModel] = []
    uses: dict[str, KernelUse] = {}
    for report in reports:
        models.extend(report.models)
        for use in report.kernels:
            uses[use.key] = uses[use.key].plus(use) if use.key in uses else use
    return ScanReport(tuple(models), tuple(uses[key] for key in sorted(uses)))


def from_json(text: str, where: str = "scan") -> ScanReport:
    """Reads what `to_json` wrote. Raises UsageError for anything else, and for a newer version."""
    try:
        data: Mapping[str, Any] = json.loads(text)
        version = data["version"]
        if version != VERSION:
            raise UsageError(f"{where}: the scan has version {version}, this program reads {VERSION}: update Wherry")
        models = tuple(ScannedModel(**model) for model in data["models"])
        kernels = tuple(sorted((KernelUse(**use) for use in data["kernels"]), key=lambda use: use.key))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"{where}: this is not a scan; make one with wherry scan --json") from error
    return ScanReport(models, kernels)


def read_json(path: Path) -> ScanReport:
    try:
        return from_json(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a scan; make one with wherry scan --json") from error


def sources(report: ScanReport, kernels: Catalog | None = None) -> tuple[str, ...]:
    """The files below cpp/kernels that hold the kernels of a scan, sorted. Raises UsageError for an unknown key."""
    known = (kernels if kernels is not None else catalog()).kernels
    for key in report.keys:
        if key not in known:
            raise UsageError(f"this version of Wherry has no kernel {key}: scan the model again")
    return tuple(sorted({known[key].source for key in report.keys}))
