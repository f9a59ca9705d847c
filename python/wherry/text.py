"""Counts and sizes as people read them, for messages, tables and pages."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """"1 step", "2 steps"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def percent(part: float) -> str:
    """To three digits: 0.05%, 2%."""
    return f"{100 * part:.3g}%"


def size(nbytes: float) -> str:
    """Bytes in units of 1000."""
    for unit in ("B", "kB", "MB"):
        if abs(nbytes) < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.2f} GB"
