"""What a process gains in resident memory. Only the standard library is imported here: the benchmarks measure other
programs with it."""

from __future__ import annotations

from pathlib import Path


def _status_bytes(*fields: str) -> int:
    values = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(values[field].split()[0]) * 1024 for field in fields)


class MemoryGain:
    """What this process gains in resident memory from here on, mapped file pages included.

    The resident set is RssAnon + RssFile + RssShmem. The kernel keeps its peak (VmHWM), which writing 5 to clear_refs
    resets to the present size; so no sampling can miss a short peak. Make one after the imports, before the work.
    Raises OSError where the system does not say, which is everywhere but on Linux.
    """

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self.start = self._resident()

    @staticmethod
    def _resident() -> int:
        return _status_bytes("RssAnon", "RssFile", "RssShmem")

    def peak_added(self) -> int:
        """Largest resident set since the start, less the one at the start, in bytes."""
        return max(0, _status_bytes("VmHWM") - self.start)

    def to_json(self) -> dict[str, int]:
        """Start, peak added, and what of it is still there now, by kind."""
        now = {key: _status_bytes(key) for key in ("RssAnon", "RssFile", "RssShmem")}
        return {"start_bytes": self.start, "peak_added_bytes": self.peak_added(), **now}


def memory_gain() -> MemoryGain | None:
    """A MemoryGain, or None where the system does not say."""
    try:
        return MemoryGain()
    except OSError:
        return None
