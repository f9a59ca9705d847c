"""What a pack's metadata costs as own records and as FlatBuffers: code in the library, bytes in the file, time to open.

    python -m benchmarks.metadata.run [--pack model.wherry] [--branches 22]

Without --pack, ResNet-50 with random weights is compiled with int8 weights. The readers are built for this machine
with g++ and for 64-bit ARM with zig, linked as shared libraries by the C compiler, and weighed; the native ones then
open the pack's metadata and that of many branches of it, as FlatBuffers and as records. All must read the same.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import OUTPUT, ROOT, machine, table, write_json

HERE = Path(__file__).resolve().parent
WORK = OUTPUT / "metadata"
READERS = {"none": "no reader", "records": "own records", "structs": "FlatBuffers, structs",
           "tables": "FlatBuffers, tables"}  # fmt: skip
OPTIMISATIONS = ("-O3", "-O2", "-Os")
CORE = [*(f"runtime/{name}.cc" for name in ("pack", "hash", "status", "tensor")), "platform/file.cc"]
# As cpp/cmake/flags.cmake and CMake's Release have them; generated and FlatBuffers headers are system headers, which
# spares them -Wconversion.
FLAGS = ["-std=c++20", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-DNDEBUG", "-Wall", "-Wextra",
         "-Wconversion", "-Werror", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-math-errno",
         "-ffunction-sections", "-fdata-sections", "-fstack-protector-strong", "-ffp-contract=off"]  # fmt: skip
REPEATS = 200


@dataclass(frozen=True)
class Target:
    name: str
    compiler: list[str]  # compiles C++
    linker: list[str]  # the C compiler: it brings no C++ runtime library along


@dataclass
class Weight:
    """Bytes of a library's code and constants, of all that is loaded, and the C++ runtime symbols it asks for."""

    code: int
    loaded: int
    symbols: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metadata.run", description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, help="a pack that this version wrote; default: ResNet-50, compiled here")
    parser.add_argument("--branches", type=int, default=22, help="how many times its metadata for the large case")
    options = parser.parse_args(arguments)
    missing = _missing()
    if missing:
        print(missing, file=sys.stderr)
        return 1
    _generate()
    targets = _targets()
    weights = {
        (target.name, level): {reader: _weigh(_library(target, level, reader)) for reader in READERS}
        for target in targets for level in OPTIMISATIONS
    }  # fmt: skip
    packs = _packs(options.pack, options.branches)
    results = {name: _measure(path) for name, path in packs.items()}
    print(_code_table(weights))
    print()
    print(_pack_table(results))
    symbols = sorted({s for group in weights.values() for weight in group.values() for s in weight.symbols})
    print(f"\nC++ runtime library symbols wanted by any of them: {', '.join(symbols) or 'none'}")
    android = {reader: _android(reader) for reader in ("records", "tables")} if len(targets) > 1 else {}
    for reader, outcome in android.items():
        print(f"{READERS[reader]} for aarch64-linux-android with zig: {outcome}")
    print(f"FlatBuffers {_flatbuffers_version()}; added: .text and .rodata, less those of the library with no reader")
    content = {
        "machine": machine(["ziglang"]),
        "flatbuffers": _flatbuffers_version(),
        "code": {f"{target} {level}": {reader: vars(weight) for reader, weight in group.items()}
                 for (target, level), group in weights.items()},
        "packs": results,
        "android": android,
    }  # fmt: skip
    print(f"written: {write_json('metadata', content).relative_to(ROOT)}")
    return 0


# --------------------------------------------------------------------------------------------- building
def _missing() -> str | None:
    if shutil.which("flatc") is None:
        return "flatc was not found: apt-get install flatbuffers-compiler libflatbuffers-dev"
    if _headers() is None:
        return "flatbuffers/flatbuffers.h was not found: apt-get install libflatbuffers-dev"
    if shutil.which("g++") is None:
        return "g++ was not found: apt-get install g++"
    return None


def _headers() -> Path | None:
    for folder in (Path("/usr/include"), Path("/usr/local/include")):
        if (folder / "flatbuffers" / "flatbuffers.h").is_file():
            return folder / "flatbuffers"
    return None


def _flatbuffers_version() -> str:
    return subprocess.run(["flatc", "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]


def _generate() -> None:
    include = WORK / "include"
    include.mkdir(parents=True, exist_ok=True)
    link = include / "flatbuffers"  # alone, so that a cross compiler sees no other header of this system
    link.unlink(missing_ok=True)
    headers = _headers()
    assert headers is not None
    link.symlink_to(headers)
    _run(["flatc", "--cpp", "-o", str(include), str(HERE / "tables.fbs"), str(HERE / "structs.fbs")])


def _targets() -> list[Target]:
    targets = [Target("x86-64, g++" if machine()["architecture"] == "x86_64" else "host, g++", ["g++"], ["gcc"])]
    if subprocess.run([sys.executable, "-m", "ziglang", "version"], capture_output=True).returncode == 0:
        zig = [sys.executable, "-m", "ziglang"]
        cross = ["-target", "aarch64-linux-musl"]
        targets.append(Target("aarch64, zig", [*zig, "c++", *cross], [*zig, "cc", *cross]))
    else:
        print("the Python package ziglang is not installed: 64-bit ARM is left out", file=sys.stderr)
    return targets


def _library(target: Target, level: str, reader: str) -> Path:
    """The runtime's file access and hash, and one reader, as a stripped shared library."""
    folder = WORK / f"{target.name.replace(', ', '-')}{level}"
    folder.mkdir(exist_ok=True)
    objects = []
    for source in [HERE / "library.cc", *(ROOT / "cpp" / name for name in CORE)]:
        own = source.parent == HERE
        objects.append(folder / f"{source.stem}{'-' + reader if own else ''}.o")
        if own or reader == next(iter(READERS)):
            define = [f'-DREADER="reader_{reader}.h"'] if own else []
            _run([*target.compiler, level, *FLAGS, *_includes(), *define, "-c", str(source), "-o", str(objects[-1])])
    library = folder / f"{reader}.so"
    _run([*target.linker, "-shared", *map(str, objects), "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-s",
          "-o", str(library)])  # fmt: skip
    return library


def _includes() -> list[str]:
    return [f"-I{ROOT / 'cpp'}", f"-I{ROOT / 'cpp' / 'include'}", f"-I{HERE}", "-isystem", str(WORK / "include")]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


def _weigh(library: Path) -> Weight:
    """Sums of the sections of a 64-bit little-endian ELF file (System V ABI, chapter 4)."""
    data = library.read_bytes()
    at, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<3H", data, 58)
    sections = [struct.unpack_from("<IIQQQQ", data, at + i * size) for i in range(count)]
    weight = Weight(0, 0)
    for name, kind, flags, _, _, length in sections:
        start = sections[names][4] + name
        text = data[start : data.index(b"\0", start)].decode()
        if flags & 2 and kind != 8:  # SHF_ALLOC, but not SHT_NOBITS
            weight.loaded += length
        if text.startswith((".text", ".rodata")):
            weight.code += length
    from wherry.selection.elf import read_elf

    wanted = (symbol.name for symbol in read_elf(library).symbols(dynamic=True) if not symbol.defined)
    weight.symbols = [name for name in wanted if name.startswith(("_Z", "__cxa_", "__gxx_", "_Unwind_"))
                      and name != "__cxa_finalize"]  # fmt: skip
    return weight


def _android(reader: str) -> str:
    """Whether the reader compiles for Android with zig, which has no C library headers of Android and takes musl's."""
    import ziglang

    headers = Path(ziglang.__file__).parent / "lib" / "libc" / "include"
    system = [flag for name in ("aarch64-linux-musl", "generic-musl", "aarch64-linux-any", "any-linux-any")
              for flag in ("-isystem", str(headers / name))]  # fmt: skip
    command = [sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-android", "-O2", *FLAGS, *_includes(),
               *system, f'-DREADER="reader_{reader}.h"', "-c", str(HERE / "library.cc"), "-o", str(WORK / "android.o")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    errors = [line.rsplit("error: ", 1)[1] for line in done.stderr.splitlines() if "error: " in line]
    return "compiles" if done.returncode == 0 else f"does not compile: {errors[0] if errors else done.stderr}"


# --------------------------------------------------------------------------------------------- packs
def _packs(pack: Path | None, branches: int) -> dict[str, Path]:
    from benchmarks.metadata.tile import Sections, tile

    if pack is None:
        import keras
        import wherry

        pack = WORK / "resnet50.wherry"
        model = keras.applications.ResNet50(weights=None, input_shape=(224, 224, 3))
        wherry.compile(model, pack, quantize="int8", partitions=4, measure_outputs=False)
    large = WORK / f"{pack.stem}_x{branches}.wherry"
    tile(Sections(pack), branches, large)
    return {pack.stem: pack, f"{branches} x {pack.stem}": large}


def _measure(pack: Path) -> dict[str, Any]:
    """Metadata bytes, and the shortest open and walk of each reader, in seconds."""
    from benchmarks.metadata.tile import Sections

    convert = WORK / "convert"
    sources = [HERE / "convert.cc", *(ROOT / "cpp" / name for name in CORE)]
    _run(["g++", "-O1", "-std=c++20", *_includes(), *map(str, sources), "-o", str(convert)])
    paths = {reader: WORK / f"{pack.stem}_{reader}.bin" for reader in ("tables", "structs")}
    _run([str(convert), str(pack), str(paths["tables"]), str(paths["structs"])])
    sections = Sections(pack)
    result: dict[str, Any] = {"steps": sections.steps, "tensors": sections.tensors, "readers": {}}
    sums = set()
    for reader, path in {"records": pack, **paths}.items():
        figures, total = _time(reader, path)
        figures["bytes"] = _metadata_bytes(path)
        result["readers"][reader] = figures
        sums.add(total)
    if len(sums) != 1 or 0 in sums:
        sys.exit(f"{pack}: the readers do not read the same")
    return result


def _metadata_bytes(path: Path) -> int:
    with path.open("rb") as file:
        return int(struct.unpack_from("<Q", file.read(64), 32)[0])


def _time(reader: str, path: Path) -> tuple[dict[str, Any], int]:
    folder = next(WORK.glob(f"*g++{OPTIMISATIONS[0]}"))
    measure = ctypes.CDLL(str(folder / f"{reader}.so")).metadata_measure
    seconds, total, message = (ctypes.c_double * 2)(), ctypes.c_uint64(), ctypes.create_string_buffer(512)
    status = measure(str(path).encode(), REPEATS, seconds, ctypes.byref(total), message, ctypes.c_size_t(len(message)))
    if status != 0:
        sys.exit(f"{path}: the reader for {reader} returned {status}: {message.value.decode()}")
    return {"open_seconds": seconds[0], "walk_seconds": seconds[1]}, total.value


# --------------------------------------------------------------------------------------------- tables
def _code_table(weights: dict[tuple[str, str], dict[str, Weight]]) -> str:
    rows = []
    for (target, level), group in weights.items():
        base = group["none"]
        for reader in ("records", "structs", "tables"):
            weight = group[reader]
            rows.append([f"{target} {level}, {READERS[reader]}", f"{weight.code - base.code:,}",
                         f"{weight.code - group['records'].code:+,}", f"{weight.loaded - base.loaded:,}"])  # fmt: skip
    return table(["bytes that the library gains", "code, constants", "over records", "all that is loaded"], rows)


def _pack_table(results: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, result in results.items():
        for reader, figures in result["readers"].items():
            rows.append([
                f"{name} ({result['steps']} steps), {READERS[reader]}", f"{figures['bytes']:,}",
                f"{figures['open_seconds'] * 1e6:.0f}", f"{figures['walk_seconds'] * 1e6:.0f}",
            ])  # fmt: skip
    return table(["metadata", "bytes", "open, verify, check [us]", "read all [us]"], rows)


if __name__ == "__main__":
    sys.exit(main())
