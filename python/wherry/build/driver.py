"""From packs to a slim library: scan, render the selection, drive CMake, audit, install. `wherry.build` is this."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.build import cmake as cm
from wherry.build import tools
from wherry.build.cmake import BuildFolder, CMake
from wherry.build.targets import Target, load_target
from wherry.errors import BuildError, UsageError
from wherry.resources import source_dir
from wherry.selection.audit import AuditReport, audit
from wherry.selection.header import HEADER_NAME, write_if_changed, write_selection
from wherry.selection.report import ScanReport
from wherry.selection.scan import scan_all
from wherry.text import counted

SHARED_NAMES = ("libwherry.so", "libwherry.dylib")


@dataclass(frozen=True)
class BuildReport:
    """What `build` made. files: path below `output` -> bytes. seconds: by phase."""

    target: str
    output: str
    kernels: tuple[str, ...]
    files: dict[str, int]
    audit: AuditReport
    seconds: dict[str, float]
    log: str


def definitions(
    target: Target, selection: Path, highway: Path | None, zig: Path | None, cache: str
) -> dict[str, str | bool]:
    """What CMake is told: a pure function, so that a test can say what a target is built with."""
    found: dict[str, str | bool] = {
        "CMAKE_BUILD_TYPE": "Release",
        "WHERRY_BUILD_RUNNER": True,
        "WHERRY_BUILD_SHARED": True,
        "WHERRY_BUILD_SYMBOLS": True,
        "WHERRY_ISAS": ";".join(target.isas),
        "WHERRY_SELECTION_DIR": str(selection),
        "WHERRY_STATIC_RUNNER": target.static_runner,
    }
    if highway is not None:
        found["WHERRY_HIGHWAY_DIR"] = str(highway)
    if zig is not None:
        found["WHERRY_ZIG"] = str(zig)
    elif cache:  # zig keeps a cache of its own
        found["CMAKE_C_COMPILER_LAUNCHER"] = cache
        found["CMAKE_CXX_COMPILER_LAUNCHER"] = cache
    return found


def default_build_dir(target: Target, source: Path) -> Path:
    """One for each target and source tree, in the user's cache, so that the next build only compiles what changed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(str(source).encode()).hexdigest()[:8]
    return cache / "wherry" / "build" / f"{target.name}-{digest}"


def build(
    models: Sequence[Any] | Any,
    target: str = "host",
    output: str | os.PathLike[str] = "dist",
    build_dir: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> BuildReport:
    """Builds the library, headers and runner that hold exactly the kernels that these models need.

    models: packs (or anything that `wherry.scan` takes), one or several
    target: a name of build_configs/targets
    output: the files go to <output>/<target>: lib/, include/, bin/, ops_to_register.h, kernels.json
    build_dir: where CMake works; kept between builds
    progress: is told what is being done, in a few words, whenever that changes

    Raises BuildError when a tool is missing, a compile fails (the message names the log) or the audit finds a kernel
    too many or too few; MissingKernelError, PackError, LoadError and UsageError as `scan`.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs must be 1 or more, not {jobs}")
    chosen = load_target(target)
    if isinstance(models, str | os.PathLike) or not isinstance(models, Sequence):
        models = [models]
    tell = progress or (lambda _: None)
    start = time.perf_counter()
    scan = scan_all(models)
    if not scan.kernels:
        raise UsageError("these models need no kernel at all: there is nothing to build")
    seconds = {"scan": time.perf_counter() - start}
    source = source_dir()
    work = Path(build_dir) if build_dir is not None else default_build_dir(chosen, source)
    folder = BuildFolder(source, work.absolute() / "cmake")
    destination = Path(output).absolute() / chosen.name
    with _locked(work):
        _compile(chosen, scan, folder, jobs or os.cpu_count() or 1, seconds, tell)
        tell("auditing the symbol table")
        start = time.perf_counter()
        shared = _shared_name(folder)
        report = audit(
            scan.keys, folder.build / "libwherry.a", folder.build / "symbols" / shared, folder.build / shared
        )
        report.check()
        seconds["audit"] = time.perf_counter() - start
        _install(scan, folder, destination)
    files = {
        str(path.relative_to(destination)): path.stat().st_size
        for path in sorted(destination.rglob("*")) if path.is_file()
    }
    return BuildReport(chosen.name, str(destination), scan.keys, files, report, seconds, str(folder.log))


def _compile(
    target: Target, scan: ScanReport, folder: BuildFolder, jobs: int, seconds: dict[str, float],
    tell: Callable[[str], None],
) -> None:
    cmake = CMake.find()
    selection = folder.build.parent / "selection"
    write_selection(scan, selection)
    folder.build.mkdir(parents=True, exist_ok=True)
    folder.log.unlink(missing_ok=True)
    zig = tools.zig_program() if target.needs_zig else None
    told = definitions(target, selection, tools.highway_folder(), zig, tools.compiler_cache())
    start = time.perf_counter()
    configure = cm.configure_command(cmake, folder, told, target.toolchain)
    _forget_if_changed(folder, configure)
    tell(f"configuring {counted(len(scan.keys), 'kernel')} for {target.name}")
    cm.run(configure, folder.log)
    seconds["configure"] = time.perf_counter() - start
    start = time.perf_counter()
    tell("compiling")
    cm.run(cm.build_command(cmake, folder, jobs), folder.log, each_line=_counting(tell))
    seconds["compile"] = time.perf_counter() - start


def _counting(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Hears Ninja's "[12/80] Building ..." and tells how far it is."""

    def hear(line: str) -> None:
        if counts := re.match(r"\[(\d+)/(\d+)\] ", line):
            tell(f"compiling: {counts[1]} of {counts[2]}")

    return hear


def _forget_if_changed(folder: BuildFolder, command: Sequence[str]) -> None:
    """CMake keeps a compiler and a toolchain for good: another command line, or another compiler, begins anew."""
    stamp = folder.build / "command.txt"
    compilers = [os.environ.get(name, "") for name in ("CC", "CXX", "CFLAGS", "CXXFLAGS")]
    text = "\n".join([*command, *compilers])
    if not stamp.is_file() or stamp.read_text() != text:
        (folder.build / "CMakeCache.txt").unlink(missing_ok=True)
        shutil.rmtree(folder.build / "CMakeFiles", ignore_errors=True)
    stamp.write_text(text)


def _install(scan: ScanReport, folder: BuildFolder, destination: Path) -> None:
    try:
        destination.mkdir(parents=True, exist_ok=True)
        cm.run(cm.install_command(CMake.find(), folder, destination), folder.log)
        shutil.copyfile(folder.build.parent / "selection" / HEADER_NAME, destination / HEADER_NAME)
        write_if_changed(destination / "kernels.json", scan.to_json())
    except OSError as error:
        raise BuildError(f"{destination}: cannot be written: {error.strerror}") from error
    for name in ("lib/libwherry.a", f"lib/{_shared_name(folder)}", "bin/wherry_run"):
        if not (destination / name).is_file():
            raise BuildError(f"{destination / name} was not installed; see {folder.log}")


def _shared_name(folder: BuildFolder) -> str:
    """The shared library's name, as the target's system has it."""
    for name in SHARED_NAMES:
        if (folder.build / name).is_file():
            return name
    raise BuildError(f"{folder.build} has no shared library; see {folder.log}")


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """One build at a time in a build folder."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        with (work / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise BuildError(f"{work}: cannot be written: {error.strerror}") from error


def summary(report: BuildReport) -> str:
    """For people: the files with their sizes, and what the audit saw."""
    width = max(len(name) for name in report.files)
    lines = [f"{report.output}:"]
    lines += [f"  {name:{width}}  {size:>12,}" for name, size in report.files.items()]
    kernels = counted(len(report.kernels), "kernel")
    lines.append(f"{kernels}: the audit found exactly these, and need of the C library only")
    lines.append(", ".join(f"{phase} {spent:.1f} s" for phase, spent in report.seconds.items()))
    return "\n".join(lines)


def as_json(report: BuildReport) -> Mapping[str, Any]:
    """Plain data for --json."""
    return {
        "version": 1, "target": report.target, "output": report.output, "kernels": list(report.kernels),
        "files": report.files, "seconds": {k: round(v, 3) for k, v in report.seconds.items()}, "log": report.log,
        "undefined_symbols": list(report.audit.undefined),
    }
