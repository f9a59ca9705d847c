"""Every kernel can be selected alone: its file compiles, without a warning, when all its neighbours are left out."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from wherry.build.tools import highway_folder
from wherry.ops.catalog import Kernel, catalog
from wherry.resources import source_dir
from wherry.selection.header import write_selection
from wherry.selection.report import ScannedModel, ScanReport, kernel_use

COMPILER = os.environ.get("CXX") or shutil.which("c++")


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None or highway_folder() is None, reason="there is no compiler, or no Highway")
def test_every_kernel_alone(tmp_path: Path) -> None:
    cpp = source_dir() / "cpp"
    flags = "-std=c++20 -fsyntax-only -Wall -Wextra -Wconversion -Werror -Wno-unused-function -fno-exceptions -fno-rtti"
    targets = "HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL|HWY_AVX3_ZEN4|HWY_AVX3_SPR|HWY_AVX10_2"
    command = [
        str(COMPILER), *flags.split(), f"-I{cpp}", f"-I{cpp / 'include'}", "-isystem", str(highway_folder()),
        "-DWHERRY_ISA_AVX2=1", "-DWHERRY_ISA_AVX512=1", f"-DHWY_DISABLED_TARGETS=({targets})",
    ]

    def compile_alone(kernel: Kernel) -> str:
        folder = tmp_path / kernel.key
        write_selection(ScanReport((ScannedModel("m", "m", 1, 0),), (kernel_use(kernel.key, 1, 0, 0),)), folder)
        source = str(cpp / "kernels" / kernel.source)
        answer = subprocess.run([*command, f"-I{folder}", source], capture_output=True, text=True, check=False)
        return "" if answer.returncode == 0 else f"{kernel.key}: {answer.stderr}"

    with ThreadPoolExecutor(2) as pool:
        failures = [said for said in pool.map(compile_alone, catalog().kernels.values()) if said]
    assert not failures, "\n".join(failures)
