"""A real slim library for this machine: only what was selected is compiled and inside, and its answers are the full
library's, byte for byte, in a native runner and in programs in C and C++."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import wherry
import zoo
from wherry.build import BuildReport
from wherry.ops.catalog import catalog
from wherry.resources import source_dir
from wherry.runtime.executor import parse_bytes
from wherry.selection.archive import read_library
from wherry.selection.audit import audit

MODELS = ("autoencoder", "text_classifier")
CC = os.environ.get("CC") or shutil.which("cc")
pytestmark = pytest.mark.skipif(CC is None, reason="there is no C compiler")


@dataclass
class Slim:
    report: BuildReport
    packs: dict[str, Path]
    work: Path

    @property
    def folder(self) -> Path:
        return Path(self.report.output)


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Slim:
    folder = tmp_path_factory.mktemp("slim")
    packs = {}
    for name in MODELS:
        packs[name] = folder / f"{name}.wherry"
        wherry.compile(zoo.build(name), packs[name], quantize="int8", partitions=4, measure_outputs=False)
    report = wherry.build(list(packs.values()), output=folder / "dist", build_dir=folder / "work", jobs=2)
    return Slim(report, packs, folder / "work")


def _answer(slim: Slim, name: str) -> tuple[np.ndarray, str, np.ndarray]:
    """A model's input, its output's name, and what the full library answers."""
    x = zoo.sample_inputs(name)["x"]
    with wherry.Executor(slim.packs[name]) as executor:
        ((output, array),) = executor.run({"x": x}).items()
    return x, output, array


def _run(slim: Slim, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(slim.folder / "bin" / "wherry_run"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_installed(slim: Slim) -> None:
    assert {
        "bin/wherry_run", "include/wherry/wherry.h", "include/wherry/wherry.hpp", "kernels.json", "lib/libwherry.a",
        "lib/libwherry.so", "ops_to_register.h",
    } <= set(slim.report.files)
    scan = wherry.scan(slim.folder / "kernels.json")
    assert scan.keys == slim.report.kernels and len(scan.models) == len(MODELS)


def test_only_selected_files_are_compiled(slim: Slim) -> None:
    commands = json.loads((slim.work / "cmake" / "compile_commands.json").read_text())
    kernels = source_dir() / "cpp" / "kernels"
    compiled = {
        str(Path(each["file"]).relative_to(kernels)) for each in commands if Path(each["file"]).is_relative_to(kernels)
    }
    wanted = {catalog().kernels[key].source for key in slim.report.kernels}
    shared = {"panels.cc", "registry.cc"} | {f"{path.parent.name}/table.cc" for path in kernels.glob("*/table.cc")}
    assert wanted <= compiled <= wanted | shared
    assert len(wanted) < len({kernel.source for kernel in catalog().kernels.values()}) / 2


def test_audit_holds_and_notices(slim: Slim) -> None:
    built = slim.work / "cmake"
    files = (built / "libwherry.a", built / "symbols" / "libwherry.so", built / "libwherry.so")
    assert audit(slim.report.kernels, *files).problems == ()
    assert len(audit(slim.report.kernels[1:], *files).problems) == 2
    assert len(audit([*slim.report.kernels, "Tanh_f32"], *files).problems) == 2
    assert read_library(slim.folder / "lib" / "libwherry.so").stripped()


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="asks the GNU C library")
def test_the_c_library_has_all_that_is_needed(slim: Slim) -> None:
    libraries = [ctypes.CDLL(name) for name in ("libc.so.6", "libm.so.6")]
    weak = {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__gmon_start__", "_GLOBAL_OFFSET_TABLE_"}
    missing = {
        symbol for symbol in set(slim.report.audit.undefined) - weak
        if not any(hasattr(library, symbol) for library in libraries)
    }
    assert missing == set()


@pytest.mark.parametrize("name", MODELS)
def test_same_bytes_as_the_full_library(slim: Slim, name: str, tmp_path: Path) -> None:
    x, output, expected = _answer(slim, name)
    np.save(tmp_path / "x.npy", x)
    for threads in (1, 2, 3):
        file = tmp_path / f"{threads}.npy"
        ran = _run(
            slim, slim.packs[name], "--input", f"x={tmp_path / 'x.npy'}", "--output", f"{output}={file}",
            "--threads", threads, "--repeat", 2, "--json",
        )
        assert ran.returncode == 0, ran.stderr
        measured = json.loads(ran.stdout)
        assert measured["runs"] == 2 and measured["partitions"] == 4 and measured["peak_bytes"] > 0
        assert measured["outputs"][output] == {"dtype": "float32", "shape": list(expected.shape)}
        array = np.load(file)
        assert array.dtype == expected.dtype and array.tobytes() == expected.tobytes()


def test_runner_writes_a_folder_and_text(slim: Slim, tmp_path: Path) -> None:
    x, output, expected = _answer(slim, "autoencoder")
    np.save(tmp_path / "x.npy", x)
    budget = ("--memory-budget", "64MB")
    ran = _run(slim, slim.packs["autoencoder"], "--input", tmp_path / "x.npy", "--output-dir", tmp_path, *budget)
    assert ran.returncode == 0 and "inference" in ran.stdout
    assert np.load(tmp_path / f"{output}.npy").tobytes() == expected.tobytes()


# Sizes that are too small for any pack, by how they are written.
BUDGETS = {
    "1KB": 1000, "1kB": 1000, "2 kb": 2000, "1KiB": 1024, "0.5 kib": 512, "0.001MB": 1000, "0.000001gb": 1000,
    "900": 900, " 900 B ": 900,
}


def test_runner_reads_sizes_as_python_does() -> None:
    assert {size: parse_bytes(size) for size in BUDGETS} == BUDGETS


def test_runner_makes_the_output_folder(slim: Slim, tmp_path: Path) -> None:
    x, output, expected = _answer(slim, "autoencoder")
    np.save(tmp_path / "x.npy", x)
    folder = tmp_path / "new" / "folder"
    for _ in range(2):
        _run(slim, slim.packs["autoencoder"], "--input", tmp_path / "x.npy", "--output-dir", f"{folder}/")
        np.testing.assert_array_equal(np.load(folder / f"{output}.npy"), expected)


def test_runner_refuses_in_one_line(slim: Slim, tmp_path: Path) -> None:
    x = zoo.sample_inputs("autoencoder")["x"]
    pack = slim.packs["autoencoder"]
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "double.npy", x.astype(np.float64))
    np.save(tmp_path / "shape.npy", x[..., :2])
    np.save(tmp_path / "fortran.npy", np.asfortranarray(x))
    (tmp_path / "short.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-4])
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "cut.wherry").write_bytes(pack.read_bytes()[:3000])
    good = ("--input", f"x={tmp_path / 'x.npy'}")
    for status, said, *arguments in (
        (2, "name a pack", ),
        (2, "no option --frobnicate", pack, "--frobnicate"),
        (2, "--threads cannot be many", pack, "--threads", "many"),
        (2, "--memory-budget cannot be 5 pounds; write a number of bytes or", pack, "--memory-budget", "5 pounds"),
        (2, "--memory-budget cannot be 0MB", pack, "--memory-budget", "0MB"),
        (2, "the input x is missing", pack),
        (2, "there is no input y", pack, "--input", f"y={tmp_path / 'x.npy'}"),
        (2, "there is no output z", pack, *good, "--output", "z=z.npy"),
        (2, "the input x is float32 [1x32x32x3], the file has <f8", pack, "--input", f"x={tmp_path / 'double.npy'}"),
        (2, "the file has <f4 [1x32x32x2]", pack, "--input", f"x={tmp_path / 'shape.npy'}"),
        (1, "row-major", pack, "--input", f"x={tmp_path / 'fortran.npy'}"),
        (1, "cut short", pack, "--input", f"x={tmp_path / 'short.npy'}"),
        (1, "not a .npy file", pack, "--input", f"x={tmp_path / 'text.npy'}"),
        (1, "No such file", pack, "--input", f"x={tmp_path / 'absent.npy'}"),
        (1, "No such file", pack, *good, "--output", tmp_path / "no" / "folder" / "y.npy"),
        *((1, f"run: {pack}: a memory budget of {bytes} bytes is too small", pack, *good, "--memory-budget", size)
          for size, bytes in BUDGETS.items()),
        (1, "text.npy: the folder cannot be made", pack, *good, "--output-dir", tmp_path / "text.npy"),
        (1, f"run: {tmp_path / 'cut.wherry'}: the pack is cut short", tmp_path / "cut.wherry", *good),
        (1, f"run: {tmp_path / 'x.npy'}: this is not a Wherry pack", tmp_path / "x.npy", *good),
        (1, f"run: {tmp_path / 'absent.wherry'}: No such file", tmp_path / "absent.wherry", *good),
    ):
        ran = _run(slim, *arguments)
        assert (ran.returncode, ran.stdout) == (status, ""), ran.stderr
        assert said in ran.stderr and ran.stderr.count("\n") == 1, ran.stderr


def test_a_pack_that_needs_another_kernel(slim: Slim, tmp_path: Path) -> None:
    wherry.compile(zoo.build("stacked_lstm"), tmp_path / "lstm.wherry", measure_outputs=False)
    ran = _run(slim, tmp_path / "lstm.wherry")
    assert ran.returncode == 1 and "BlockLSTMV2_f32_wf32" in ran.stderr and ran.stderr.count("\n") == 1


def test_shared_library_has_the_c_api(slim: Slim) -> None:
    library = ctypes.CDLL(str(slim.folder / "lib" / "libwherry.so"))
    library.wherry_version.restype = ctypes.c_char_p
    assert library.wherry_version().decode() == wherry.__version__
    handle = ctypes.c_void_p()
    assert library.wherry_open_path(str(slim.packs["autoencoder"]).encode(), None, ctypes.byref(handle)) == 0
    assert library.wherry_input_count(handle) == 1
    library.wherry_close(handle)


def test_runner_goes_on_from_a_checkpoint(slim: Slim, tmp_path: Path) -> None:
    x, name, expected = _answer(slim, "autoencoder")
    np.save(tmp_path / "x.npy", x)
    with wherry.Executor(slim.packs["autoencoder"], checkpoint=tmp_path / "run.checkpoint") as executor:
        executor.on_progress(lambda done, _: done == 3)
        with pytest.raises(wherry.RuntimeFailure):
            executor.run({"x": x})
    files = ["--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--checkpoint", tmp_path / "run.checkpoint"]
    for first in (3, 4):
        done = _run(slim, slim.packs["autoencoder"], *files, "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["first_partition"], said["partitions_run"], said["partitions"]) == (first, 4 - first, 4)
        assert np.load(tmp_path / "y.npy").tobytes() == expected.tobytes(), name
    done = _run(slim, slim.packs["autoencoder"], *files[:-1], "/nonexistent/run.checkpoint")
    assert done.returncode == 1 and "/nonexistent/run.checkpoint cannot be written: " in done.stderr


@pytest.mark.parametrize("program", ["c_api_test.c", "wherry_hpp_test.cc"])
def test_programs_in_c_and_cxx(slim: Slim, program: str, tmp_path: Path) -> None:
    """Linked by the C compiler: no C++ runtime library is there to help."""
    assert CC is not None
    x, _, expected = _answer(slim, "autoencoder")
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    (tmp_path / "y.bin").write_bytes(expected.tobytes())
    source = source_dir() / "tests" / "cpp" / program
    language = ["-std=c11"] if program.endswith(".c") else ["-std=c++17", "-fno-exceptions", "-fno-rtti"]
    subprocess.run(
        [CC, *language, "-Wall", "-Wextra", "-Werror", f"-I{slim.folder / 'include'}", str(source), "-o",
         str(tmp_path / "program"), str(slim.folder / "lib" / "libwherry.a"), "-lm", "-lpthread"],
        check=True,
    )
    arguments = [str(slim.packs["autoencoder"]), str(tmp_path / "x.bin"), str(tmp_path / "y.bin")]
    if program.endswith(".c"):
        arguments.append(str(tmp_path / "scratch"))
    ran = subprocess.run([str(tmp_path / "program"), *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_building_again_compiles_nothing(slim: Slim) -> None:
    before = (slim.work / "cmake" / "libwherry.a").stat().st_mtime_ns
    again = wherry.build(list(slim.packs.values()), output=slim.folder.parent, build_dir=slim.work, jobs=2)
    assert again.files == slim.report.files
    assert (slim.work / "cmake" / "libwherry.a").stat().st_mtime_ns == before
