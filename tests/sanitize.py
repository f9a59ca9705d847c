"""Builds the runtime under sanitizers and runs packs through it, whole and changed on purpose, without Python inside.

    python tests/sanitize.py [--count N] [--only address|thread]

AddressSanitizer and UndefinedBehaviorSanitizer see every pack with 1, 2 and 3 threads, and the fuzzer; ThreadSanitizer
sees every pack with 3 threads, and handles that run at once. Both see every pack with budgets that change and memory
that is taken away as it runs, and cut off and resumed from checkpoints. Everything is kept in build/sanitize.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PLACE = ROOT / "build" / "sanitize"
_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
SCHEMES = (None, "int8", "int8-weights", "float16", "float16-arithmetic", "minmax:8", "minmax:5:channel")


@dataclass(frozen=True)
class Build:
    """One way to build: name, and what -fsanitize= takes."""

    name: str
    sanitizers: str

    @property
    def folder(self) -> Path:
        return PLACE / self.name

    @property
    def harness(self) -> Path:
        return self.folder / "harness"


BUILDS = (Build("address", "address,undefined"), Build("thread", "thread"))


def _environment() -> dict[str, str]:
    here = str(Path(sys.executable).parent)
    return {**os.environ, **_OPTIONS, "PATH": here + os.pathsep + os.environ.get("PATH", "")}


def _call(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, env=_environment())


def build(one: Build) -> None:
    """The static library and the harness, from every kernel."""
    print(f"== building with -fsanitize={one.sanitizers}", flush=True)
    options = [
        "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", f"-DWHERRY_SANITIZE={one.sanitizers}",
        "-DWHERRY_BUILD_SHARED=OFF", "-DWHERRY_BUILD_RUNNER=OFF", "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O1 -g",
        "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g",
    ]
    if shutil.which("ccache"):
        options.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
    _call("cmake", "-S", ROOT, "-B", one.folder, "-Wno-dev", "--log-level=WARNING", *options)
    _call("cmake", "--build", one.folder, "--target", "wherry_static", "--parallel", os.cpu_count() or 1)
    _call(
        os.environ.get("CC", "cc"), "-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer",
        f"-fsanitize={one.sanitizers}", "-I", ROOT / "cpp" / "include", HERE / "cpp" / "harness.c",
        one.folder / "libwherry.a", "-lpthread", "-lm", "-o", one.harness,
    )


def packs() -> tuple[list[Path], list[Path]]:
    """Packs to run, and the small ones among them, which are fuzzed."""
    sys.path.insert(0, str(HERE))
    import copy

    import many_ops
    import streamed
    import support
    import wherry
    import zoo
    from quantize import test_static

    print("== compiling packs", flush=True)
    folder = PLACE / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {
        "ops": (many_ops.many_ops(), 7),
        "small": (support.graph(), 7),
        "recurrent": (wherry.load(many_ops.recurrent()), 3),
        "winograd": (wherry.load(many_ops.winograd()), 3),
        "images": (wherry.load(many_ops.images()), 2),
    }
    small = []

    def add(graph: wherry.Graph, name: str, scheme: str | None, partitions: int) -> None:
        small.append(folder / f"{name}.wherry".replace(":", "_"))
        wherry.compile(graph, small[-1], quantize=scheme, partitions=partitions, measure_outputs=False)

    for name, (graph, partitions) in graphs.items():
        for scheme in SCHEMES:
            add(copy.deepcopy(graph), f"{name}_{scheme or 'float32'}", scheme, partitions)
        for wide, weights in (("int8-wide", False), ("int8-widest", True)):  # codes of 16 bits; for weights too
            codes = copy.deepcopy(graph)
            add(codes, f"{name}_{wide}", "int8", partitions)
            support.widen(codes, weights)
            del small[-1]
            add(codes, f"{name}_{wide}", None, partitions)
    for threads in (1, 3):
        path = folder / f"static_{threads}.wherry"
        samples = {"x": test_static.images(4)}
        wherry.compile(
            test_static.concrete(test_static.small_net), path, quantize="int8-static", calibrate=samples, tolerance=1,
            partitions=threads,
        )  # fmt: skip
        small.append(path)
    add(wherry.load(many_ops.large_lstm()), "float28", None, 2)
    large = [folder / "streamed.wherry"]
    wherry.compile(streamed.deep(), large[0], partitions=3, measure_outputs=False)
    for name in zoo.FAST:
        path = folder / f"zoo_{name}.wherry"
        wherry.compile(zoo.build(name), path, quantize="int8", partitions=3, measure_outputs=False)
        large.append(path)
    return small + large, small


def run(one: Build, paths: list[Path], threads: tuple[int, ...]) -> None:
    """Every pack; the digests of its outputs must not depend on the number of threads."""
    digests: dict[int, str] = {}
    for count in threads:
        print(f"== {one.name}: {len(paths)} packs, {count} threads", flush=True)
        done = subprocess.run(
            [one.harness, "run", str(count), *paths], env=_environment(), stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{one.name}: packs do harm, or fail, with {count} threads")
        digests[count] = done.stdout
    if len(set(digests.values())) != 1:
        raise SystemExit(f"{one.name}: outputs depend on the number of threads")


def press(one: Build, paths: list[Path]) -> None:
    print(f"== {one.name}: {len(paths)} packs short of memory, and resumed", flush=True)
    _call(one.harness, "memory", 2, PLACE / f"{one.name}.checkpoint", *paths)


def fuzz(one: Build, paths: list[Path], count: int) -> None:
    print(f"== {one.name}: {count} changed packs of each of {len(paths)}", flush=True)
    _call(
        sys.executable, HERE / "fuzz_pack.py", "--harness", one.harness, "--count", count, "--threads", 2, "--keep",
        PLACE / "harmful", *paths,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="changed packs of each pack (default: 1000)")
    parser.add_argument("--only", choices=[b.name for b in BUILDS])
    args = parser.parse_args()
    chosen = [b for b in BUILDS if args.only in (None, b.name)]
    try:
        for one in chosen:
            build(one)
        every, small = packs()
        for one in chosen:
            press(one, every)
            if one.name == "address":
                run(one, every, (1, 2, 3))
                fuzz(one, small, args.count)
            else:
                run(one, every, (1, 3))
                for path in small[:3]:
                    _call(one.harness, "apart", path)
    except subprocess.CalledProcessError as error:
        print(f"failed: {' '.join(map(str, error.cmd))[:300]}", file=sys.stderr)
        return 1
    print("== no sanitizer has anything to say")
    return 0


if __name__ == "__main__":
    sys.exit(main())
