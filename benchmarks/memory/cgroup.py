"""Runs a command under a limit on its memory, and tells whether it survived. Linux, root only.

A control group counts what its processes hold and what they bring into the page cache, so the limit is that of a
small machine of their own. Version 1 (a hierarchy for memory alone) and version 2 of the kernel's interface are
served; swap counts too, or is denied. Each run has a group of its own, which is removed with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import common

SYSTEM = Path("/sys/fs/cgroup")
_ENTER = 'echo $$ > "$0" && exec "$@"'  # what the shell held before is counted where it came from
_REMOVALS = 50  # attempts at removing a group, as the kernel takes a moment to see that it is empty


class NoGroups(RuntimeError):
    """Groups with a limit on memory cannot be made here; the message says why."""


@dataclass(frozen=True)
class Interface:
    """Where groups are made, and what their files are called. Limits are written in this order."""

    root: Path
    limits: tuple[str, ...]  # files that take the limit in bytes
    denied: tuple[str, ...]  # files that take 0
    events: str  # has a line "oom_kill N"
    peak: str


def find_interface(system: Path = SYSTEM, swaps: Path = Path("/proc/swaps")) -> Interface:
    """Version 1 where it has the memory controller, else version 2. Raises NoGroups."""
    one = system / "memory"
    if (one / "memory.limit_in_bytes").exists():
        limits = ["memory.limit_in_bytes"]
        if (one / "memory.memsw.limit_in_bytes").exists():
            limits.append("memory.memsw.limit_in_bytes")
        elif len(swaps.read_text().splitlines()) > 1:
            raise NoGroups("this kernel does not count swap in control groups: switch swap off (swapoff -a)")
        return Interface(one, tuple(limits), (), "memory.oom_control", "memory.max_usage_in_bytes")
    handed_down = system / "cgroup.subtree_control"
    if handed_down.exists() and "memory" in handed_down.read_text().split():
        return Interface(system, ("memory.max",), ("memory.swap.max",), "memory.events", "memory.peak")
    raise NoGroups(f"{system} has no controller for memory, neither of version 1 nor of version 2")


@dataclass(frozen=True)
class Outcome:
    """How a command fared. status: as of subprocess, below 0 for a signal; peak_bytes: of all that was counted."""

    limit: int
    status: int
    oom_kills: int
    timed_out: bool
    seconds: float
    peak_bytes: int | None
    stdout: str
    stderr: str

    @property
    def survived(self) -> bool:
        return self.status == 0 and self.oom_kills == 0 and not self.timed_out

    @property
    def killed(self) -> bool:
        """By the kernel, for want of memory."""
        return self.oom_kills > 0 or (self.status == -signal.SIGKILL and not self.timed_out)

    def reason(self) -> str:
        """In a few words."""
        if self.survived:
            return "survived"
        if self.timed_out:
            return f"not done after {self.seconds:.0f} s"
        if self.killed:
            return "killed for want of memory"
        last = (self.stderr.strip().splitlines() or ["no message"])[-1]
        return f"exit status {self.status}: {last[-200:]}"


def counter(text: str, name: str) -> int:
    """The number behind a name in lines of "name number"; 0 where there is none."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name:
            return int(words[1])
    return 0


@contextmanager
def _group(interface: Interface, limit: int) -> Iterator[Path]:
    folder = interface.root / f"wherry-bench-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise NoGroups(f"{folder}: no control group can be made: {error.strerror}; run this as root") from error
    try:
        for name in interface.limits:
            (folder / name).write_text(str(limit))
        for name in interface.denied:
            if (folder / name).exists():  # absent where the kernel has no swap
                (folder / name).write_text("0")
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    for attempt in range(_REMOVALS):
        try:
            folder.rmdir()
            return
        except OSError:
            if attempt == _REMOVALS - 1:
                raise
            time.sleep(0.1)


def run(interface: Interface, command: Sequence[str], limit: int, seconds: float) -> Outcome:
    """Runs the command from the repository's root under a limit of bytes; one that takes longer is killed."""
    with _group(interface, limit) as group, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        entered = ["/bin/sh", "-c", _ENTER, str(group / "cgroup.procs"), *command]
        started = time.perf_counter()
        process = subprocess.Popen(entered, cwd=common.ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        timed_out = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            process.kill()
            process.wait()
        spent = time.perf_counter() - started
        peak = group / interface.peak
        out.seek(0)
        err.seek(0)
        return Outcome(
            limit=limit,
            status=process.returncode,
            oom_kills=counter((group / interface.events).read_text(), "oom_kill"),
            timed_out=timed_out,
            seconds=spent,
            peak_bytes=int(peak.read_text()) if peak.exists() else None,
            stdout=out.read().decode(errors="replace"),
            stderr=err.read().decode(errors="replace"),
        )
