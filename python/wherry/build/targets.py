"""The targets that a slim library can be built for: one TOML file each in build_configs/targets."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.errors import BuildError, UsageError
from wherry.resources import source_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Target:
    """description: one line for people
    toolchain: CMake toolchain file, or None for the machine's own compiler
    isas: instruction sets above the baseline to compile
    static_runner: wherry_run is linked statically
    emulator: the command that runs the target's programs here; empty where they run as they are
    """

    name: str
    description: str
    toolchain: Path | None
    isas: tuple[str, ...]
    static_runner: bool
    emulator: tuple[str, ...]

    @property
    def needs_zig(self) -> bool:
        return self.toolchain is not None and self.toolchain.name.startswith("zig-")


def _folder() -> Path:
    return source_dir() / "build_configs"


def target_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_folder() / "targets").glob("*.toml")))


def targets() -> tuple[Target, ...]:
    return tuple(load_target(name) for name in target_names())


def load_target(name: str) -> Target:
    """Raises UsageError for a name that has no file, BuildError for a file that is not of the agreed form."""
    if name not in target_names():
        raise UsageError(f"there is no target {name!r}; the targets are {', '.join(target_names())}")
    path = _folder() / "targets" / f"{name}.toml"
    try:
        return parse_target(name, tomllib.loads(path.read_text()), _folder() / "toolchains")
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise BuildError(f"{path}: the target's file is damaged: {error}") from error


def parse_target(name: str, data: dict[str, Any], toolchains: Path) -> Target:
    """A target from its file's data. Raises KeyError where an entry is missing, TypeError where one is too many."""
    return Target(
        **{
            **data,
            "name": name,
            "description": str(data["description"]),
            "toolchain": toolchains / data["toolchain"] if data["toolchain"] else None,
            "isas": tuple(data["isas"]),
            "emulator": tuple(data["emulator"]),
        }
    )
