"""Keys and values of a benchmark's JSON as people read them: the unit moves from the key's end to the value."""

from __future__ import annotations

import json
import statistics
from typing import Any

from wherry.text import size

_BYTES = ("memory_budget", "memory_needed")  # sizes whose keys do not say so
_UNITS = ("seconds", "bytes")
# What wherry bench calls its figures when it prints them.
_NAMES = {
    "load_seconds": "load", "first_seconds": "first inference", "median_seconds": "inference, median",
    "seconds": "inference", "io_seconds": "waiting for weights", "peak_bytes": "memory held at most",
    "grown_bytes": "process grew by",
}


def words(key: str) -> str:
    """A key's name for people: "file_bytes" -> "file", "io_seconds" -> "waiting for weights"."""
    if key in _NAMES:
        return _NAMES[key]
    parts = key.split("_")
    if len(parts) > 1 and parts[-1] in _UNITS:
        del parts[-1]
    return " ".join(parts)


def shown(key: str, value: Any) -> str:
    """A value with the unit that its key names; a measurement made several times as median and range."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if is_repeated(key, value):
        low, middle, high = (shown(key, x) for x in (min(value), statistics.median(value), max(value)))
        return f"median {middle}, from {low} to {high}, of {len(value)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if key.endswith("seconds"):
            return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"
        if key.endswith("bytes") or key in _BYTES:
            return size(value)
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def is_repeated(key: str, value: Any) -> bool:
    """One measurement, made several times: a list of seconds or of bytes."""
    if not key.endswith(_UNITS) or not isinstance(value, list) or not value:
        return False
    return all(type(x) in (int, float) for x in value)
