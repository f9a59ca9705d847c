"""The audit, on libraries made to pass and to fail, and its reader of symbol tables against nm."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from wherry.build.tools import package_folder, zig_program
from wherry.errors import BuildError
from wherry.selection.archive import archive_members, read_archive, read_library
from wherry.selection.audit import audit, kernel_function, kernels_in, undefined_in

COMPILER = os.environ.get("CXX") or shutil.which("c++")
LINKER = os.environ.get("CC") or shutil.which("cc")
NM = shutil.which("nm")
pytestmark = [
    pytest.mark.skipif(COMPILER is None or LINKER is None or shutil.which("ar") is None, reason="there is no compiler"),
    pytest.mark.skipif(os.uname().sysname != "Linux", reason="the machine's own objects are not ELF"),
]

KERNELS = """
    struct Context;
    namespace wherry::kernels {
    %s
    }
    extern "C" __attribute__((visibility("default"))) int wherry_version() { return 1; }
"""


def _kernels(*names: str) -> str:
    body = "\n".join(f"int {name}(Context*) {{ return {number}; }}" for number, name in enumerate(names))
    return KERNELS % body


def _library(folder: Path, source: str, *flags: str) -> tuple[Path, Path, Path]:
    """(libwherry.a, symbols/libwherry.so, libwherry.so) of one C++ file."""
    assert COMPILER is not None and LINKER is not None
    (folder / "symbols").mkdir()
    (folder / "a.cc").write_text(source)
    (folder / "empty.cc").write_text("int unused_with_a_name_that_is_longer_than_sixteen;")
    base = [COMPILER, "-std=c++20", "-O1", "-fPIC", "-fvisibility=hidden"]
    objects = []
    for name in ("a", "empty"):
        objects.append(str(folder / f"{name}_with_a_long_name.o"))
        subprocess.run([*base, "-c", str(folder / f"{name}.cc"), "-o", objects[-1]], check=True)
    archive = folder / "libwherry.a"
    subprocess.run(["ar", "qc", str(archive), *objects], check=True)
    link = [LINKER, "-shared", "-Wl,--build-id=none", *flags, *objects, "-o"]
    subprocess.run([*link, str(folder / "symbols" / "libwherry.so")], check=True)
    subprocess.run([*link, str(folder / "libwherry.so"), "-Wl,-s"], check=True)
    return archive, folder / "symbols" / "libwherry.so", folder / "libwherry.so"


RELU = ("Prepare_Relu_f32", "Run_Relu_f32")
TANH = ("Prepare_Tanh_f32", "Run_Tanh_f32")


def test_passes_when_exactly_the_selected_are_inside(tmp_path: Path) -> None:
    report = audit({"Relu_f32", "Tanh_f32"}, *_library(tmp_path, _kernels(*RELU, *TANH)))
    assert report.problems == () and report.kernels == ("Relu_f32", "Tanh_f32")
    report.check()


@pytest.mark.parametrize(
    ("functions", "problem"),
    [
        ((*RELU, *TANH), "holds kernels that were not selected: Tanh_f32"),
        ((), "lacks kernels that were selected: Relu_f32"),
        (("Run_Relu_f32",), "lacks kernels that were selected: Relu_f32"),
    ],
)
def test_fails_for_a_kernel_too_many_or_too_few(functions: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    report = audit({"Relu_f32"}, *_library(tmp_path, _kernels(*functions)))
    found = [each for each in report.problems if problem in each]
    assert found == [f"libwherry.a {problem}", f"libwherry.so {problem}"]
    with pytest.raises(BuildError, match=problem):
        report.check()


def test_fails_for_the_cxx_runtime_library(tmp_path: Path) -> None:
    source = "#include <new>\n" + _kernels(*RELU) + "extern int* g; int* g = new int[7];"
    report = audit({"Relu_f32"}, *_library(tmp_path, source))
    assert any("libwherry.a needs a C++ runtime library for _Zn" in each for each in report.problems)
    assert any("libwherry.so needs a C++ runtime library for _Zn" in each for each in report.problems)


def test_fails_for_other_libraries_and_exports(tmp_path: Path) -> None:
    source = _kernels(*RELU) + '__attribute__((visibility("default"))) int extra() { return 0; }'
    report = audit({"Relu_f32"}, *_library(tmp_path, source, "-Wl,--no-as-needed", "-lstdc++"))
    assert any("needs libstdc++.so" in each for each in report.problems)
    assert any("exports more than the C API: _Z5extrav" in each for each in report.problems)


def test_fails_when_the_stripped_library_is_another(tmp_path: Path) -> None:
    archive, symbols, stripped = _library(tmp_path, _kernels(*RELU))
    (tmp_path / "other").mkdir()
    other = _library(tmp_path / "other", _kernels(*RELU).replace("return 1", "return 2"))[2]
    assert audit({"Relu_f32"}, archive, symbols, stripped).problems == ()
    assert "not the same code" in audit({"Relu_f32"}, archive, symbols, other).problems[0]
    assert "still has a symbol table" in audit({"Relu_f32"}, archive, symbols, symbols).problems[0]


def test_names_of_kernel_functions() -> None:
    assert kernel_function("_ZN6wherry7kernels12Run_Relu_f32ERNS_10RunContextE") == ("Run", "Relu_f32")
    assert kernel_function("_ZN6wherry7kernels16Prepare_Relu_f32ERNS_14PrepareContextE") == ("Prepare", "Relu_f32")
    assert kernel_function("_ZN6wherry7kernels12Run_Relu_f32E.cold") == ("Run", "Relu_f32")
    for name in ("_ZN6wherry7kernels11Run_Relu_f32E", "_ZN6wherry4math12Run_Relu_f32Ev", "Run_Relu_f32", "main"):
        assert kernel_function(name) is None


@pytest.mark.skipif(package_folder("ziglang") is None, reason="the Python package ziglang is not installed")
@pytest.mark.parametrize(
    ("target", "flags"),
    [
        ("aarch64-macos", []),
        ("arm-linux-musleabihf", ["-nostdlib"]),  # ELF of 32 bits
        ("aarch64-linux-musl", ["-nostdlib"]),
    ],
)
def test_libraries_of_other_systems(target: str, flags: list[str], tmp_path: Path) -> None:
    zig = str(zig_program())
    (tmp_path / "a.cc").write_text(_kernels(*RELU))
    compile_flags = ["-target", target, "-std=c++20", "-O1", "-g0", "-fPIC", "-fvisibility=hidden"]
    subprocess.run([zig, "c++", *compile_flags, "-c", str(tmp_path / "a.cc"), "-o", str(tmp_path / "a.o")], check=True)
    archive, symbols, stripped = (tmp_path / name for name in ("libwherry.a", "symbols.so", "stripped.so"))
    subprocess.run([zig, "ar", "qc", str(archive), str(tmp_path / "a.o")], check=True)
    strip = "-Wl,-x" if "macos" in target else "-Wl,-s"
    for output, extra in ((symbols, []), (stripped, [strip])):
        link = [zig, "cc", "-target", target, "-shared", "-g0", *flags, *extra]
        subprocess.run([*link, str(tmp_path / "a.o"), "-o", str(output)], check=True)
    assert audit({"Relu_f32"}, archive, symbols, stripped).problems == ()
    assert len(audit({"Tanh_f32"}, archive, symbols, stripped).problems) == 4


@pytest.mark.skipif(NM is None, reason="there is no nm")
def test_symbols_are_those_that_nm_lists(tmp_path: Path) -> None:
    source = _kernels(*RELU) + "int outside(); int inside() { return outside(); }"
    archive, symbols, _ = _library(tmp_path, source)
    assert NM is not None
    for file, ours in ((archive, read_archive(archive)), (symbols, [read_library(symbols)])):
        listed = subprocess.run([NM, "--format=posix", str(file)], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines() if line and not line.endswith(":")]
        theirs = {(row[0].split("@")[0], row[1] not in "UwvV" or len(row) > 2) for row in rows}
        found = {(symbol.name.split("@")[0], symbol.defined) for each in ours for symbol in each.symbols()}
        assert theirs <= found
        assert kernels_in(s for each in ours for s in each.symbols()) == {"Relu_f32": {"Prepare", "Run"}}
    assert undefined_in(read_archive(archive)) >= {"_Z7outsidev"}
    assert [name for name, _ in archive_members(archive.read_bytes(), "a")] == [
        "a_with_a_long_name.o", "empty_with_a_long_name.o"
    ]


def test_files_that_are_not_libraries(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "short").write_bytes(b"\x7fELF\2\1" + bytes(60))
    with pytest.raises(BuildError, match="not an archive"):
        read_archive(tmp_path / "text")
    with pytest.raises(BuildError, match="not a little-endian ELF"):
        read_library(tmp_path / "text")
