"""The slim library for 64-bit ARM Linux, run under the emulator: the machine's own answers, byte for byte."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import wherry
import zoo
from wherry.build import load_target
from wherry.build.tools import package_folder

EMULATOR = load_target("linux-arm64").emulator
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(package_folder("ziglang") is None, reason="the Python package ziglang is not installed"),
    pytest.mark.skipif(shutil.which(EMULATOR[0]) is None, reason=f"{EMULATOR[0]} is not installed"),
]


def test_arm_library_runs_and_agrees(tmp_path: Path) -> None:
    packs = {}
    for name in ("autoencoder", "stacked_lstm", "mobilenetv2"):
        packs[name] = tmp_path / f"{name}.wherry"
        wherry.compile(zoo.build(name), packs[name], quantize="int8", partitions=3, measure_outputs=False)
    report = wherry.build(list(packs.values()), "linux-arm64", tmp_path / "dist", jobs=2)
    runner = Path(report.output) / "bin" / "wherry_run"
    assert runner.read_bytes()[:5] == b"\x7fELF\2" and runner.read_bytes()[18] == 183  # EM_AARCH64
    for name, pack in packs.items():
        x = zoo.sample_inputs(name)["x"]
        with wherry.Executor(pack) as executor:
            ((output, expected),) = executor.run({"x": x}).items()
        np.save(tmp_path / "x.npy", x)
        ran = subprocess.run(
            [*EMULATOR, str(runner), str(pack), "--input", str(tmp_path / "x.npy"), "--output-dir", str(tmp_path),
             "--threads", "2", "--json"],
            capture_output=True, text=True, check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["partitions"] == 3
        array = np.load(tmp_path / f"{output}.npy")
        assert array.dtype == expected.dtype and array.tobytes() == expected.tobytes()
