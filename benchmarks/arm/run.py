"""make bench-arm: cycles per multiply-add of the inner loops on ARM cores by llvm-mca, and whether anything spills.

The loops are cut out of the assembly of the library's own files, compiled as the target linux-arm64 compiles them. Ends
with status 1 when a loop that has to reach 90 % of its core's peak does not, or when any touches the stack.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from wherry.build import cmake as cm
from wherry.build import load_target
from wherry.build.driver import definitions
from wherry.build.tools import highway_folder, zig_program
from wherry.resources import source_dir

from benchmarks.arm.cores import CORES, I8MM_CORES, Core
from benchmarks.arm.loops import Loop, multiply_loop
from benchmarks.common import OUTPUT, table, write_json

ASKED = 0.90
ITERATIONS = 200


@dataclass(frozen=True)
class Kernel:
    """file: below cpp/math. function: part of its mangled name. macs: multiply-adds for each `mnemonic` instruction.
    probe: that instruction, and those without which it does nothing, with a register to be numbered, free of
    dependencies. asked: whether it has to reach ASKED."""

    name: str
    file: str
    function: str
    mnemonic: str
    macs: int
    probe: str
    cores: tuple[Core, ...] = CORES
    asked: bool = True


KERNELS = (
    Kernel("float32", "gemm.cc", "4TileILi6ELi1EE", "fmla", 4, "fmla v{}.4s, v30.4s, v31.s[1]"),
    Kernel("float16", "hgemm_neon.cc", "4TileILi8EE", "fmla", 8, "fmla v{}.8h, v30.8h, v15.h[1]"),
    Kernel("int8, SDOT", "qgemm_dot.cc", "10SignedTileILi6EE", "sdot", 16, "sdot v{}.4s, v30.16b, v31.4b[1]"),
    Kernel(
        "int8, USMMLA", "qgemm_dot.cc", "8PairTileILi3EE", "usmmla", 32, "usmmla v{}.4s, v30.16b, v31.16b",
        I8MM_CORES, asked=False,
    ),
    Kernel(
        "int8, SMULL", "qgemm_neon.cc", "8WideTileILi3EE", "sadalp", 16,
        "smull v{0}.8h, v30.8b, v31.8b\nsmlal v{0}.8h, v30.8b, v31.8b\nsadalp v{0}.4s, v30.8h", asked=False,
    ),
)


@dataclass(frozen=True)
class Figure:
    """A loop on a core. cycles: of one turn. peak: multiply-adds a cycle of the machine, or of the model if lower."""

    kernel: str
    core: str
    macs: int
    cycles: float
    machine_peak: float
    peak: float
    stack_accesses: int
    asked: bool

    @property
    def share(self) -> float:
        return min(1.0, self.macs / self.cycles / self.peak)

    @property
    def holds(self) -> bool:
        return (self.share >= ASKED or not self.asked) and self.stack_accesses == 0


def find_llvm_mca() -> str:
    """The newest on PATH: newer ones model more cores."""
    names = ["llvm-mca", *(f"llvm-mca-{version}" for version in range(40, 13, -1))]
    found = {path: _version(path) for path in map(shutil.which, names) if path is not None}
    if not found:
        sys.exit("llvm-mca was not found: install Debian's package llvm")
    return max(found, key=lambda path: found[path])


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"version (\d+)", said)
    return int(match[1]) if match else 0


def compile_to_assembly(files: set[str]) -> dict[str, str]:
    """Each file's assembly, with the command that the target's build would compile it by."""
    target = load_target("linux-arm64")
    folder = cm.BuildFolder(source_dir(), OUTPUT / "arm" / "cmake")
    folder.build.mkdir(parents=True, exist_ok=True)
    told = {**definitions(target, Path(), highway_folder(), zig_program(), ""), "WHERRY_SELECTION_DIR": ""}
    cm.run(cm.configure_command(cm.CMake.find(), folder, told, target.toolchain), folder.log)
    commands = json.loads((folder.build / "compile_commands.json").read_text())
    assembly = {}
    for entry in commands:
        name = Path(entry["file"]).name
        if name not in files or Path(entry["file"]).parent.name != "math":
            continue
        command = shlex.split(entry["command"])
        output = folder.build.parent / f"{name}.s"
        command[command.index("-o") + 1] = str(output)
        command[command.index("-c")] = "-S"
        command.append("-Wno-unused-command-line-argument")  # zig adds a -c of its own
        cm.run(command, folder.log)
        assembly[name] = output.read_text()
    return assembly


def cycles_of(program: str, core: Core, instructions: str) -> float:
    """Of one turn of a loop of these instructions, when it has run for a while."""
    command = [
        program, "-mtriple=aarch64", "-mattr=+dotprod,+i8mm,+fullfp16", f"-mcpu={core.name}",
        f"-iterations={ITERATIONS}", "-",
    ]
    said = subprocess.run(command, input=core.timed_as(instructions), capture_output=True, text=True, check=False)
    match = re.search(r"^Total Cycles:\s+(\d+)", said.stdout, re.MULTILINE)
    if said.returncode != 0 or match is None or "error" in said.stderr:
        sys.exit(f"{' '.join(command)}: {said.stderr.strip() or 'it named no cycles'}")
    return int(match[1]) / ITERATIONS


def model_rate(program: str, core: Core, kernel: Kernel) -> float:
    """The most of the kernel's multiplies a cycle that the model can do: 24 of each instruction fill every pipe, and
    there are many in a row, so that how a loop turns does not count."""
    block = "".join(f"{line.format(i)}\n" for line in kernel.probe.splitlines() for i in range(24))
    return 240 / cycles_of(program, core, block * 10)


def judge(program: str, core: Core, kernel: Kernel, loop: Loop) -> Figure:
    count = loop.count(kernel.mnemonic)
    machine_rate = core.per_cycle / (kernel.probe.count("\n") + 1)
    rate = min(model_rate(program, core, kernel), machine_rate)
    return Figure(
        kernel.name, core.name, count * kernel.macs, cycles_of(program, core, loop.text), machine_rate * kernel.macs,
        rate * kernel.macs, loop.stack_accesses, kernel.asked,
    )


def measure() -> tuple[str, list[Figure]]:
    """llvm-mca's version, and a figure for each kernel on each core."""
    program = find_llvm_mca()
    assembly = compile_to_assembly({kernel.file for kernel in KERNELS})
    figures = []
    for kernel in KERNELS:
        loop = multiply_loop(assembly[kernel.file], kernel.function, kernel.mnemonic)
        figures += [judge(program, core, kernel, loop) for core in kernel.cores]
    return f"llvm-mca {_version(program)}", figures


def main() -> int:
    version, figures = measure()
    rows = [
        [
            f"{figure.kernel} on {figure.core}", str(figure.macs), f"{figure.cycles:.1f}",
            f"{figure.cycles / figure.macs:.4f}", f"{1 / figure.machine_peak:.4f}", f"{1 / figure.peak:.4f}",
            f"{figure.share:.1%}", str(figure.stack_accesses),
            "SHORT" if not figure.holds else "ok" if figure.asked else "-",
        ]
        for figure in figures
    ]
    header = [
        version, "multiply-adds", "cycles", "cycles each", "machine's best", "model's best", "of peak", "spills",
        f">= {ASKED:.0%}",
    ]
    print(table(header, rows))
    print("\n".join(["the machines' best:", *(f"  {core.name}: {core.source}" for core in (*CORES, *I8MM_CORES))]))
    write_json("arm", {"version": version, "figures": [asdict(figure) for figure in figures]})
    short = [f"{figure.kernel} on {figure.core}" for figure in figures if not figure.holds]
    print(f"short of: {', '.join(short)}" if short else "all figures reached")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
