"""The build driver without a compiler: exact command lines, given to a process that only pretends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from wherry.build import cmake as cm
from wherry.build import driver, tools
from wherry.build.cmake import BuildFolder, CMake
from wherry.build.targets import load_target
from wherry.cli import main
from wherry.errors import BuildError, UsageError
from wherry.selection.audit import AuditReport
from wherry.selection.report import ScannedModel, ScanReport, kernel_use

CMAKE = CMake(Path("/tools/cmake"), (3, 30, 0), Path("/tools/ninja"))
FOLDER = BuildFolder(Path("/src"), Path("/scratch/cmake"))
REPORT = ScanReport((ScannedModel("net", "net.wherry", 2, 0),), (kernel_use("Relu_f32", 1, 0, 0),))


def test_configure_command() -> None:
    command = cm.configure_command(CMAKE, FOLDER, {"B": True, "A": "x;y", "C": False}, Path("/t.cmake"))
    assert command == [
        "/tools/cmake", "-S", "/src", "-B", "/scratch/cmake", "-G", "Ninja", "-DCMAKE_MAKE_PROGRAM=/tools/ninja",
        "-DCMAKE_TOOLCHAIN_FILE=/t.cmake", "-DA=x;y", "-DB=ON", "-DC=OFF",
    ]


def test_build_and_install_commands() -> None:
    assert cm.build_command(CMAKE, FOLDER, 3) == ["/tools/cmake", "--build", "/scratch/cmake", "--parallel", "3"]
    assert cm.install_command(CMAKE, FOLDER, Path("/out/host")) == [
        "/tools/cmake", "--install", "/scratch/cmake", "--prefix", "/out/host"
    ]


def test_definitions_of_host() -> None:
    assert driver.definitions(load_target("host"), Path("/sel"), Path("/hwy"), None, "/usr/bin/ccache") == {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_COMPILER_LAUNCHER": "/usr/bin/ccache",
        "CMAKE_C_COMPILER_LAUNCHER": "/usr/bin/ccache",
        "WHERRY_BUILD_RUNNER": True,
        "WHERRY_BUILD_SHARED": True,
        "WHERRY_BUILD_SYMBOLS": True,
        "WHERRY_HIGHWAY_DIR": "/hwy",
        "WHERRY_ISAS": "avx2;avx512;vnni;fp16;amx;dotprod;i8mm",
        "WHERRY_SELECTION_DIR": "/sel",
        "WHERRY_STATIC_RUNNER": False,
    }


def test_definitions_of_arm() -> None:
    told = driver.definitions(load_target("linux-arm64"), Path("/sel"), None, Path("/zig"), "/usr/bin/ccache")
    assert told["WHERRY_ZIG"] == "/zig" and told["WHERRY_STATIC_RUNNER"] is True
    assert told["WHERRY_ISAS"] == "dotprod;fp16;i8mm"
    assert "WHERRY_HIGHWAY_DIR" not in told and "CMAKE_C_COMPILER_LAUNCHER" not in told


class Process:
    """Stands for subprocess.Popen: keeps the command lines, answers as it was told."""

    def __init__(self, output: str = "", fails_at: str | None = None) -> None:
        self.commands: list[list[str]] = []
        self.output, self.fails_at = output, fails_at

    def __call__(self, command: Sequence[str], **_: Any) -> Process:
        self.commands.append(list(command))
        self.returncode = int(self.fails_at is not None and self.fails_at in command)
        self.stdout = self.output.splitlines(keepends=True)
        return self

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def scan_file(tmp_path: Path) -> Path:
    path = tmp_path / "scan.json"
    path.write_text(REPORT.to_json())
    return path


def _prepare(monkeypatch: pytest.MonkeyPatch, process: Process) -> None:
    monkeypatch.setattr(CMake, "find", classmethod(lambda cls: CMAKE))
    monkeypatch.setattr(tools, "compiler_cache", lambda: "")
    monkeypatch.setattr(cm.subprocess, "Popen", process)


def test_what_runs_in_which_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scan_file: Path) -> None:
    process = Process(fails_at="--build")
    _prepare(monkeypatch, process)
    with pytest.raises(BuildError):
        driver.build([scan_file], "host", tmp_path / "dist", tmp_path / "work", jobs=2)
    assert [command[1] for command in process.commands] == ["-S", "--build"]
    assert f"-DWHERRY_SELECTION_DIR={tmp_path / 'work' / 'selection'}" in process.commands[0]
    assert process.commands[1] == ["/tools/cmake", "--build", str(tmp_path / "work" / "cmake"), "--parallel", "2"]
    assert "WHERRY_SELECT_Relu_f32 1" in (tmp_path / "work" / "selection" / "ops_to_register.h").read_text()
    assert not (tmp_path / "dist").exists()


def test_progress(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _prepare(monkeypatch, Process("[1/2] Building\nnote [2/2]\n[2/2] Linking\n", fails_at="--install"))
    told: list[str] = []
    monkeypatch.setattr(driver, "audit", lambda *_: AuditReport((), (), ()))
    monkeypatch.setattr(driver, "_shared_name", lambda _: "libwherry.so")
    with pytest.raises(BuildError):
        driver.build([scan_file], "host", tmp_path / "dist", tmp_path / "work", progress=told.append)
    stages = ["configuring 1 kernel for host", "compiling", "auditing the symbol table"]
    assert told == [*stages[:2], "compiling: 1 of 2", "compiling: 2 of 2", stages[2]]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["build", str(scan_file), "-o", str(tmp_path / "dist"), "--build-dir", str(tmp_path / "work")]) == 1
    told_to_user, error = capsys.readouterr().err.rsplit("\r\033[K", 1)
    assert told_to_user.split("\r\033[K")[1:] == told and error.startswith("wherry build: ")


def test_another_compiler_begins_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scan_file: Path) -> None:
    _prepare(monkeypatch, Process(fails_at="--build"))
    cache = tmp_path / "work" / "cmake" / "CMakeCache.txt"
    for compiler, kept in (("g++", False), ("g++", True), ("clang++", False)):
        monkeypatch.setenv("CXX", compiler)
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text("")
        with pytest.raises(BuildError):
            driver.build([scan_file], "host", tmp_path / "dist", tmp_path / "work")
        assert cache.exists() == kept


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("-- x\nCMake Error at a:5 (project):\n  No CMAKE_CXX_COMPILER could be found.\n", r"no C\+\+ compiler: ins"),
        ("CMake Error at a:5 (project):\n  The CMAKE_C_COMPILER:\n\n    /no/cc\n\n  is", "no C compiler /no/cc: ins"),
        ("Could not find compiler set in environment variable CXX:\n\n  /no/c++.\n", r"no C\+\+ compiler /no/c\+\+: "),
        ("CMake Error at a:1 (message):\n  Highway 1.2 or newer was not found\n", "CMake failed: Highway 1.2 or newer"),
        ("[1/2] c++ a.cc\na.cc:3:1: error: no such thing\nmore\n", "the build failed: a.cc:3:1: error: no such thing"),
        ("something else\n", "the build failed: something else"),
        ("", "the build failed: it said nothing"),
    ],
)
def test_failures_are_one_line_that_names_the_log(
    output: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scan_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _prepare(monkeypatch, Process(output, fails_at="-S"))
    work = tmp_path / "work"
    with pytest.raises(BuildError, match=message):
        driver.build([scan_file], "host", tmp_path / "dist", work)
    assert main(["build", str(scan_file), "-o", str(tmp_path / "dist"), "--build-dir", str(work)]) == 1
    said = capsys.readouterr().err
    log = work / "cmake" / "build.log"
    assert said.count("\n") == 1 and str(log) in said
    assert output in log.read_text() and log.read_text().startswith("$ /tools/cmake -S ")


def test_a_compiler_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the real CMake."""
    monkeypatch.setenv("CC", "/no/such/cc")
    monkeypatch.setenv("CXX", "/no/such/c++")
    assert main(["build", str(scan_file), "-o", str(tmp_path), "--build-dir", str(tmp_path / "work")]) == 1
    said = capsys.readouterr().err
    assert "there is no C compiler /no/such/cc: install one, or name it in CC" in said
    assert said.count("\n") == 1 and str(tmp_path / "work" / "cmake" / "build.log") in said


def test_tools_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scan_file: Path) -> None:
    monkeypatch.setattr(tools, "package_folder", lambda name: None)
    with pytest.raises(BuildError, match="pip install ziglang"):
        driver.build([scan_file], "linux-arm64", tmp_path / "dist", tmp_path / "work")
    monkeypatch.setattr(cm.importlib, "import_module", lambda name: object())
    monkeypatch.setattr(cm.shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match="cmake is not installed: pip install cmake"):
        driver.build([scan_file], "host", tmp_path / "dist", tmp_path / "work")


def test_an_old_cmake(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 0, "cmake version 3.16.3\n")
    monkeypatch.setattr(cm.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(BuildError, match=r"version 3\.16\.3, 3\.20 or newer"):
        CMake.find()


def test_nothing_to_build(tmp_path: Path) -> None:
    path = tmp_path / "scan.json"
    path.write_text(ScanReport((ScannedModel("net", "net.wherry", 0, 0),), ()).to_json())
    with pytest.raises(UsageError, match="no kernel at all"):
        driver.build(path, "host", tmp_path)


def test_a_kernel_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "scan.json"
    path.write_text(ScanReport(REPORT.models, (kernel_use("Relu_q4", 1, 0, 0),)).to_json())
    with pytest.raises(UsageError, match="no kernel Relu_q4"):
        driver.build(path, "host", tmp_path / "dist", tmp_path / "work")


def test_default_build_folder_is_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    host, arm = (driver.default_build_dir(load_target(name), Path("/src")) for name in ("host", "linux-arm64"))
    assert host.parent == tmp_path / "wherry" / "build" and host != arm
    assert host != driver.default_build_dir(load_target("host"), Path("/other"))
