"""ops_to_register.h and selected_kernels.cmake: the same as the golden files, and what the compiler makes of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from wherry.build.tools import highway_folder
from wherry.cli import main
from wherry.ops.catalog import Catalog, Kernel
from wherry.resources import source_dir
from wherry.selection.header import CMAKE_NAME, HEADER_NAME, render_cmake, render_header, write_selection
from wherry.selection.report import ScannedModel, ScanReport, kernel_use
from wherry.selection.tensorflow_header import TensorFlowSelection, render_tensorflow_header

GOLDEN = Path(__file__).parent / "golden"
REPORT = ScanReport(
    (ScannedModel("net", "net.wherry", 4, 1000), ScannedModel("other", "other model.keras", 1, 24)),
    (kernel_use("Conv2D_f32_wi8", 3, 1000, 9000), kernel_use("Relu_f32", 1, 0, 0), kernel_use("Softmax_f32", 1, 24, 0)),
)
CATALOG = Catalog(
    {key: Kernel(key, (key.split("_")[0],), "", source) for key, source in (
        ("Conv2D_f32_wi8", "nn/conv_2d.cc"), ("Relu_f32", "elementwise/relu.cc"), ("Softmax_f32", "nn/softmax.cc"),
    )}, {},
)
TENSORFLOW = TensorFlowSelection(
    ("net.pb",), ("Add", "NoOp", "Relu", "_Recv", "_Send"),
    ("BinaryOp<CPUDevice, functor::add<float>>", "NoOp", "RecvOp", "ReluOp<CPUDevice, float>", "SendOp"),
)


def _golden(name: str, text: str) -> None:
    """WHERRY_UPDATE_GOLDEN=1 writes the files anew; read the difference before committing it."""
    path = GOLDEN / name
    if os.environ.get("WHERRY_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_header_is_the_golden_one() -> None:
    _golden("ops_to_register.h", render_header(REPORT))


def test_cmake_is_the_golden_one() -> None:
    _golden("selected_kernels.cmake", render_cmake(REPORT, CATALOG))


def test_tensorflow_header_is_the_golden_one() -> None:
    _golden("tensorflow_ops_to_register.h", render_tensorflow_header(TENSORFLOW))


def test_nothing_is_written_again_without_a_change(tmp_path: Path) -> None:
    write_selection(REPORT, tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in (HEADER_NAME, CMAKE_NAME)}
    write_selection(REPORT, tmp_path)
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in before}


def test_model_name_cannot_leave_its_comment() -> None:
    report = ScanReport((ScannedModel("x", "a\n#error b\\", 1, 0),), REPORT.kernels)
    assert "\n#error" not in render_header(report) and "\\\n" not in render_header(report).split("#ifndef")[0]


def test_command_renders_both_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = tmp_path / "scan.json"
    scan.write_text(ScanReport(REPORT.models, REPORT.kernels[1:]).to_json())
    assert main(["header", str(scan), "-o", str(tmp_path / "selection")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "selection" / name) for name in (HEADER_NAME, CMAKE_NAME)]
    assert "elementwise/relu.cc" in (tmp_path / "selection" / CMAKE_NAME).read_text()
    assert main(["header", str(scan)]) == 0
    assert capsys.readouterr().out == (tmp_path / "selection" / HEADER_NAME).read_text()

    graph = tmp_path / "net.pbtxt"
    graph.write_text('node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }')
    assert main(["header", "--format", "tensorflow", str(graph), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["ops"] == ["NoOp", "Placeholder", "_Recv", "_Send"] and "PlaceholderOp" in shown["kernel_classes"]
    assert main(["header", "--format", "tensorflow", str(graph), "-o", str(tmp_path / "tf.h")]) == 0
    assert '"PlaceholderOp",' in (tmp_path / "tf.h").read_text()


def test_options_of_the_other_format_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["header", "net.wherry", "--optimise"]) == 2
    assert main(["header", "net.pb", "--format", "tensorflow", "--quantize", "int8"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def _compiles(source: str, include: Path, tmp_path: Path, *flags: str) -> tuple[bool, str]:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    file = tmp_path / "check.cc"
    file.write_text(source)
    answer = subprocess.run(
        [compiler, "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{include}", *flags, str(file)],
        capture_output=True, text=True, check=False,
    )
    return answer.returncode == 0, answer.stderr


def test_header_compiles_and_selects(tmp_path: Path) -> None:
    (tmp_path / HEADER_NAME).write_text(render_header(REPORT))
    source = """
        #include "kernels/select.h"
        static_assert(WHERRY_SELECTED(Relu_f32) && WHERRY_SELECTED(Conv2D_f32_wi8) && WHERRY_SELECTED(Softmax_f32));
        static_assert(!WHERRY_SELECTED(Tanh_f32) && !WHERRY_SELECTED(Conv2D_f32) && !WHERRY_SELECTED(Conv2D_f32_wf32));
        #if !WHERRY_SELECTED(Relu_f32) || WHERRY_SELECTED(Tanh_f32)
        #error "the macro does not work in #if"
        #endif
        namespace selection = wherry::selection;
        static_assert(selection::kNumSelectedKernels == 3);
        static_assert(selection::IsSelected("Relu_f32") && !selection::IsSelected("Relu_f3"));
        static_assert(!selection::IsSelected(""));
        static_assert(selection::kSelectedKernels[0].count == 3 && selection::kSelectedKernels[0].weight_bytes == 1000);
    """
    highway = highway_folder()
    flags = [f"-I{source_dir() / 'cpp'}", "-std=c++20", *([f"-isystem{highway}"] if highway is not None else [])]
    good, said = _compiles(source, tmp_path, tmp_path, *flags)
    assert good, said


def test_header_refuses_kernels_out_of_order(tmp_path: Path) -> None:
    twice = ScanReport(REPORT.models, (REPORT.kernels[1], REPORT.kernels[1]))
    (tmp_path / HEADER_NAME).write_text(render_header(twice))
    good, said = _compiles(f'#include "{HEADER_NAME}"', tmp_path, tmp_path, "-std=c++20")
    assert not good and "listed twice" in said


def test_tensorflow_header_compiles_and_answers(tmp_path: Path) -> None:
    (tmp_path / HEADER_NAME).write_text(render_tensorflow_header(TENSORFLOW))
    source = """
        #include "ops_to_register.h"
        static_assert(SHOULD_REGISTER_OP("Relu") && SHOULD_REGISTER_OP("_Send") && !SHOULD_REGISTER_OP("Relu6"));
        static_assert(!SHOULD_REGISTER_OP("Rel") && !SHOULD_REGISTER_OP(""));
        static_assert(SHOULD_REGISTER_OP_KERNEL("BinaryOp< CPUDevice, functor::add<float> >"));
        static_assert(SHOULD_REGISTER_OP_KERNEL("ReluOp<CPUDevice,float>"));
        static_assert(!SHOULD_REGISTER_OP_KERNEL("ReluOp<GPUDevice, float>"));
        static_assert(!SHOULD_REGISTER_OP_GRADIENT);
    """
    good, said = _compiles(source, tmp_path, tmp_path, "-std=c++17")
    assert good, said
