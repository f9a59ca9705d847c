"""What the benchmarks share: cases in processes of their own, what a process gained in memory, tables, JSON.

A benchmark is a set of *cases*. A case is a function in a module of its own, run as `python -m module case
arguments`, so that no measurement sees the imports, the heap or the threads of another. The case returns a
dict; it travels to the benchmark as one JSON line on stdout. Wall clock and peak memory of the whole process
come along with it.

Only the standard library is imported here, and of Wherry what counts memory: a case that measures a small
runtime starts with little else in memory.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from wherry.bench.memory import MemoryGain as MemoryGain

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "build" / "bench"
MB = 1_000_000  # every size printed is in units of 10^6 bytes

_RESULT = "benchmark-case-result "
_FLAGS = (
    *("avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16"),  # x86
    *("amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),  # ARM
)


class CaseFailed(RuntimeError):
    """A case's process ended without a result. The message names it and carries the end of its stderr."""


@dataclass(frozen=True)
class CaseRun:
    """What a case returned, and what its whole process cost."""

    result: dict[str, Any]
    seconds: float  # wall clock, from start of the process to its end
    peak_bytes: int  # the process's largest resident set, or that of its largest child

    def to_json(self) -> dict[str, Any]:
        return {"process_seconds": self.seconds, "process_peak_bytes": self.peak_bytes, **self.result}


def run_process(command: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[str, float, int]:
    """Runs a command from the repository's root. Returns its stdout, wall clock seconds and peak resident
    bytes.

    The peak is ru_maxrss as the kernel hands it over at the process's end: the largest of the process and of
    the children it waited for, not their sum.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        stdout = out.read().decode(errors="replace")
        if process.returncode != 0:
            tail = "\n".join(err.read().decode(errors="replace").splitlines()[-25:])
            raise CaseFailed(f"{' '.join(command)}: exit status {process.returncode}\n{tail}")
    return stdout, seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_case(module: str, case: str, env: Mapping[str, str] | None = None, **arguments: Any) -> CaseRun:
    """Runs one case of `module` in a process of its own; the arguments must survive JSON."""
    command = [sys.executable, "-m", module, case, json.dumps(arguments, default=str)]
    stdout, seconds, peak = run_process(command, env)
    for line in reversed(stdout.splitlines()):
        if line.startswith(_RESULT):
            return CaseRun(json.loads(line.removeprefix(_RESULT)), seconds, peak)
    raise CaseFailed(f"{module} {case}: the process ended well but printed no result")


def case_main(cases: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """The `__main__` of a case module: runs the case that the command line names and prints its result."""
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in cases:
        sys.exit(f"usage: {Path(sys.argv[0]).name} {{{'|'.join(cases)}}} [JSON arguments]")
    arguments = json.loads(sys.argv[2]) if len(sys.argv) == 3 else {}
    result = cases[sys.argv[1]](**arguments)
    print(f"\n{_RESULT}{json.dumps(result)}", flush=True)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The work's value and its wall clock seconds."""
    started = time.perf_counter()
    value = work()
    return value, time.perf_counter() - started


def median_seconds(work: Callable[[], object], runs: int, warmup: int = 1) -> tuple[float, list[float]]:
    """Median over `runs` calls after `warmup` unmeasured ones, and the single measurements."""
    for _ in range(warmup):
        work()
    seconds = [timed(work)[1] for _ in range(runs)]
    return statistics.median(seconds), seconds


def machine(packages: Iterable[str] = ()) -> dict[str, Any]:
    """What the figures were measured on: processor, memory, kernel, load, and the versions of the named
    packages."""
    cpu: dict[str, str] = {}
    memory = 0
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            cpu.setdefault(key.strip(), value.strip())
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    flags = set(cpu.get("flags", cpu.get("Features", "")).split())
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "architecture": platform.machine(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": memory,
        "kernel": f"{platform.system()} {platform.release()}",
        "load_average_at_start": list(os.getloadavg()),
        "versions": versions,
    }


@dataclass(frozen=True)
class Figure:
    """One figure: measured (None: it could not be) must not exceed wanted (None: only shown)."""

    name: str
    measured: float | None
    wanted: float | None
    unit: str = ""
    others: Mapping[str, float | None] | None = None  # the same figure of other programs, by their names

    @property
    def reached(self) -> bool:
        return self.wanted is None or (self.measured is not None and self.measured <= self.wanted)


def number(value: float | None) -> str:
    """Four significant digits; a dash for what was not measured."""
    return "-" if value is None else f"{value:.4g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain text, the first column to the left, the others to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def figures_table(figures: Sequence[Figure], subject: str = "measured") -> str:
    """Others' columns in order of appearance, then the subject's own figure, what was asked, and whether it
    holds."""
    others: list[str] = []
    for figure in figures:
        others += [name for name in figure.others or {} if name not in others]
    rows = []
    for figure in figures:
        peers = [number((figure.others or {}).get(name)) for name in others]
        label = f"{figure.name} [{figure.unit}]" if figure.unit else figure.name
        asked = "-" if figure.wanted is None else f"<= {number(figure.wanted)}"
        mark = "" if figure.wanted is None else "ok" if figure.reached else "SHORT"
        rows.append([label, *peers, number(figure.measured), asked, mark])
    return table(["", *others, subject, "asked", ""], rows)


def verdict(figures: Iterable[Figure]) -> str:
    """The last line of every benchmark."""
    short = [figure.name for figure in figures if not figure.reached]
    return f"short of: {', '.join(short)}" if short else "all figures reached"


def write_json(name: str, content: Mapping[str, Any]) -> Path:
    """Writes build/bench/<name>.json and returns its path."""
    path = OUTPUT / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    partial.replace(path)
    return path
