"""The slim library for ARM Linux, run under the emulator on CPUs with and without what is above the baseline: this
machine's own answers, byte for byte on 64 bits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import support
import wherry
import zoo
from wherry.build import driver, load_target
from wherry.build.tools import package_folder, zig_program
from wherry.resources import source_dir

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(package_folder("ziglang") is None, reason="the Python package ziglang is not installed"),
]

MODELS = ("autoencoder", "stacked_lstm", "mobilenetv2")
WEIGHTS = ("none", "int8", "int8-wide", "int8-widest")  # codes of 16 bits for activations; for weights too


@dataclass(frozen=True)
class Machine:
    """elf: class and machine of its programs. cpus: as the emulator names them, with the instruction sets that they
    have. limit: the largest difference relative to the largest output."""

    target: str
    elf: tuple[int, int]
    cpus: dict[str, tuple[str, ...]]
    limit: float


MACHINES = (
    Machine(
        "linux-arm64", (2, 183),
        {
            "cortex-a53": ("portable",), "cortex-a76": ("portable", "dot product", "FP16"),
            "max": ("portable", "dot product", "FP16", "I8MM"),
        },
        0.0,
    ),
    # NEON of 32 bits has no division: quotients are made of reciprocals.
    Machine("linux-arm", (1, 40), {"cortex-a7": ("portable",), "max": ("portable",)}, 1e-6),
)


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packs")
    made = {}
    for name in MODELS:
        for weights in WEIGHTS:
            made[f"{name}-{weights}"] = pack = folder / f"{name}-{weights}.wherry"
            graph = wherry.load(zoo.build(name))
            scheme = None if weights == "none" else "int8"
            wherry.compile(graph, pack, quantize=scheme, partitions=3, measure_outputs=False)
            if weights.startswith("int8-"):
                support.widen(graph, weights=weights == "int8-widest")
                wherry.compile(graph, pack, partitions=3, measure_outputs=False)
    return made


def _run(command: Sequence[str], pack: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, str(pack), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.target)
def test_arm_library_runs_and_agrees(machine: Machine, packs: dict[str, Path], tmp_path: Path) -> None:
    emulator = load_target(machine.target).emulator
    if shutil.which(emulator[0]) is None:
        pytest.skip(f"{emulator[0]} is not installed")
    report = wherry.build(list(packs.values()), machine.target, tmp_path / "dist", jobs=2)
    runner = Path(report.output) / "bin" / "wherry_run"
    header = runner.read_bytes()[:20]
    assert header[:4] == b"\x7fELF" and (header[4], header[18]) == machine.elf
    for name, pack in packs.items():
        x = zoo.sample_inputs(name.split("-")[0])["x"]
        with wherry.Executor(pack) as executor:
            ((output, expected),) = executor.run({"x": x}).items()
        np.save(tmp_path / "x.npy", x)
        for cpu in machine.cpus:
            ran = _run(
                [*emulator, "-cpu", cpu, str(runner)], pack, "--input", str(tmp_path / "x.npy"), "--output-dir",
                str(tmp_path), "--threads", "2", "--json",
            )
            assert ran.returncode == 0, ran.stderr
            assert json.loads(ran.stdout)["partitions"] == 3
            array = np.load(tmp_path / f"{output}.npy")
            assert array.dtype == expected.dtype
            if machine.limit == 0.0:
                assert array.tobytes() == expected.tobytes(), (name, cpu)
            difference = np.abs(array - expected).max()
            assert difference <= machine.limit * np.abs(expected).max(), (name, cpu, difference)
    _check_products(machine, Path(report.output) / "lib" / "libwherry.a", tmp_path / "products_test")
    if machine.target == "linux-arm":
        _check_large_pack([*emulator, str(runner)], tmp_path)


GCC = "aarch64-linux-gnu-g++"


@pytest.mark.skipif(shutil.which(GCC) is None, reason=f"{GCC} is not installed")
def test_gcc_on_arm(packs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `wherry build` does on an ARM machine, whose compiler is gcc."""
    settings = {"SYSTEM_NAME": "Linux", "SYSTEM_PROCESSOR": "aarch64"}
    settings |= {"CXX_COMPILER": GCC, "C_COMPILER": GCC.replace("g++", "gcc")}
    (tmp_path / "gcc.cmake").write_text("".join(f"set(CMAKE_{name} {value})\n" for name, value in settings.items()))
    arm64 = load_target("linux-arm64")
    monkeypatch.setattr(
        driver, "load_target", lambda name: replace(arm64, name=name, toolchain=tmp_path / "gcc.cmake")
    )
    chosen = {name: pack for name, pack in packs.items() if name.startswith("mobilenetv2")}
    report = wherry.build(list(chosen.values()), "gcc", tmp_path / "dist", jobs=2)
    x = zoo.sample_inputs("mobilenetv2")["x"]
    np.save(tmp_path / "x.npy", x)
    for name, pack in chosen.items():
        with wherry.Executor(pack) as executor:
            ((output, expected),) = executor.run({"x": x}).items()
        ran = _run(
            [*arm64.emulator, "-cpu", "max", str(Path(report.output) / "bin" / "wherry_run")], pack, "--input",
            str(tmp_path / "x.npy"), "--output-dir", str(tmp_path),
        )
        assert ran.returncode == 0, ran.stderr
        assert np.load(tmp_path / f"{output}.npy").tobytes() == expected.tobytes(), name


def _check_products(machine: Machine, library: Path, program: Path) -> None:
    """Every instruction set of every CPU gives the products that plain loops give."""
    target = load_target(machine.target)
    assert target.toolchain is not None
    settings = dict(re.findall(r"set\(WHERRY_ZIG_(\w+) (\S+)\)", target.toolchain.read_text()))
    source = source_dir()
    command = [
        str(zig_program()), "c++", "-target", settings["TARGET"], f"-mcpu={settings.get('CPU', 'baseline')}",
        "-static", "-std=c++20", "-O2", "-g0", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti", "-Wall", "-Werror",
        f"-I{source / 'cpp'}", str(source / "tests" / "cpp" / "products_test.cc"), str(library), "-o", str(program),
    ]
    subprocess.run(command, check=True)
    for cpu, isas in machine.cpus.items():
        ran = subprocess.run([*target.emulator, "-cpu", cpu, str(program)], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert tuple(line.split(":")[0] for line in ran.stdout.splitlines()) == isas


def _check_large_pack(command: list[str], folder: Path) -> None:
    """What 32 bits cannot address is refused, not cut off."""
    import tensorflow as tf

    function = tf.function(lambda x: tf.nn.relu(x)).get_concrete_function(tf.TensorSpec([1 << 26], name="x"))
    wherry.compile(function, folder / "large.wherry", measure_outputs=False)
    ran = _run(command, folder / "large.wherry")
    assert ran.returncode == 1 and "a tensor of more than 128 MiB" in ran.stderr and ran.stderr.count("\n") == 1
