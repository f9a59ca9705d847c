"""Profiles of devices: one TOML file each in build_configs/devices, or anywhere, as `wherry calibrate` writes it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.errors import UsageError
from wherry.resources import source_dir
from wherry.runtime.executor import parse_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ARITHMETICS = ("float32", "float16", "int8")
_RATES = ("memory_gbps", "storage_gbps")


@dataclass(frozen=True)
class Device:
    """What a prediction takes of a device. Rates are in units a second.

    cores: that compute fast; memory: bytes, all there are; memory_bytes: of memory that are read
    storage_bytes: read past the page cache, one large request after another
    macs: multiply-accumulates of one core, by arithmetic (ARITHMETICS)
    """

    name: str
    description: str
    cores: int
    memory: int
    memory_bytes: float
    storage_bytes: float
    macs: dict[str, float]

    @property
    def safe_budget(self) -> int:
        """Half of physical memory, as the paper recommends."""
        return self.memory // 2


def device_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (source_dir() / "build_configs" / "devices").glob("*.toml")))


def load_device(name: str) -> Device:
    """A device of build_configs/devices by its name, or any profile by its path.

    Raises UsageError for what is neither, and for a file that is not a profile.
    """
    path = Path(name)
    if name in device_names():
        path = source_dir() / "build_configs" / "devices" / f"{name}.toml"
    elif not path.is_file():
        known = ", ".join(device_names())
        raise UsageError(f"there is no device {name!r}; there are {known}, and files that wherry calibrate writes")
    try:
        return parse_device(path.stem, tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{path}: this is no profile of a device: {error}") from error


def parse_device(name: str, data: dict[str, Any]) -> Device:
    """A device from its file's data. Raises ValueError, naming an entry that is missing, unknown or impossible."""
    known = {"description", "cores", "memory", *_RATES, "gmacs"}
    if wrong := sorted(known ^ set(data)):
        raise ValueError(f"entry {wrong[0]!r} is {'unknown' if wrong[0] in data else 'missing'}")
    gmacs = data["gmacs"]
    if not isinstance(gmacs, dict) or set(gmacs) != set(ARITHMETICS):
        raise ValueError(f"gmacs must have {', '.join(ARITHMETICS)}")
    rates = {name: data[name] for name in _RATES} | {f"gmacs.{name}": rate for name, rate in gmacs.items()}
    for entry, rate in rates.items():
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e6:
            raise ValueError(f"{entry} must be a number above 0, not {rate!r}")
    cores = data["cores"]
    if isinstance(cores, bool) or not isinstance(cores, int) or not 0 < cores <= 1024:
        raise ValueError(f"cores must be a number from 1 to 1024, not {cores!r}")
    try:
        memory = parse_bytes(data["memory"])
    except UsageError as error:
        raise ValueError(f"memory: {error}") from error
    if not memory:
        raise ValueError("memory must be a size like 4GB")
    return Device(
        name=name,
        description=str(data["description"]),
        cores=cores,
        memory=memory,
        memory_bytes=data["memory_gbps"] * 1e9,
        storage_bytes=data["storage_gbps"] * 1e9,
        macs={arithmetic: rate * 1e9 for arithmetic, rate in gmacs.items()},
    )


def to_toml(device: Device) -> str:
    """The text of a profile. Rates keep three digits."""
    rates = (device.memory_bytes, device.storage_bytes)
    lines = [
        f'description = "{device.description}"',
        f"cores = {device.cores}",
        f"memory = {device.memory}",
        *(f"{entry} = {rate / 1e9:.3g}" for entry, rate in zip(_RATES, rates, strict=True)),
        "[gmacs]",
        *(f"{arithmetic} = {device.macs[arithmetic] / 1e9:.3g}" for arithmetic in ARITHMETICS),
    ]
    return "\n".join(lines) + "\n"
