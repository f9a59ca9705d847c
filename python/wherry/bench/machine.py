"""What figures were measured on."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


def machine() -> dict[str, str | int | None]:
    """System, processor and number of cores."""
    return {"system": f"{platform.system()} {platform.release()}", "processor": _processor(), "cores": os.cpu_count()}


def _processor() -> str:
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
