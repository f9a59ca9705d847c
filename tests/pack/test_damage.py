"""Packs that were cut short, changed or made by a newer version: an error that says so, never a wrong answer."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import support
import wherry
from fuzz_pack import PackBytes, mutate
from wherry import _native
from wherry.errors import PackError, RuntimeFailure
from wherry.pack import format as fmt
from wherry.pack.format import SectionKind
from wherry.pack.stored import Layout


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return support.pack(tmp_path_factory.mktemp("packs"), quantize="minmax:5", partitions=5).read_bytes()


@pytest.fixture(scope="module")
def answer(pack: bytes) -> dict[str, np.ndarray]:
    return support.run(pack)


def test_truncated_at_any_length(pack: bytes, tmp_path: Path) -> None:
    metadata_end = fmt.HEADER_BYTES + len(PackBytes(pack).metadata)
    rng = random.Random(0)
    lengths = [*range(0, 80), metadata_end - 1, metadata_end, metadata_end + 1, len(pack) - 1, len(pack) - 64]
    lengths += [rng.randrange(len(pack)) for _ in range(200)]
    for length in lengths:
        with pytest.raises(PackError, match="cut short" if length >= 8 else "not a Wherry pack"):
            wherry.Executor(pack[:length])
    path = tmp_path / "short.wherry"
    path.write_bytes(pack[: len(pack) // 2])
    with pytest.raises(PackError, match=r"short\.wherry: the pack is cut short"):
        wherry.Executor(path)


def test_something_appended(pack: bytes) -> None:
    with pytest.raises(PackError, match="cut short or padded"):
        wherry.Executor(pack + b"\0")


def test_a_flipped_bit_is_found_or_does_not_matter(pack: bytes, answer: dict[str, np.ndarray]) -> None:
    parts = PackBytes(pack)
    used = np.zeros(len(pack), bool)
    used[: fmt.HEADER_BYTES + len(parts.metadata)] = True
    for segment in parts.tables[SectionKind.SEGMENTS]:
        used[int(segment["offset"]) : int(segment["offset"]) + int(segment["bytes"])] = True
    rng = random.Random(1)
    places = [*range(fmt.HEADER_BYTES)]
    places += rng.sample(range(fmt.HEADER_BYTES, fmt.HEADER_BYTES + len(parts.metadata)), 300)
    places += rng.sample(np.flatnonzero(used[fmt.FIRST_SEGMENT_ALIGNMENT :]).tolist(), 200)
    places += rng.sample(np.flatnonzero(~used).tolist(), 40)
    for at in places:
        changed = bytearray(pack)
        changed[at] ^= 1 << rng.randrange(8)
        if not used[at]:
            assert support.same_bits(support.run(bytes(changed)), answer), f"padding at {at}"
            continue
        with pytest.raises(PackError) as caught:
            support.run(bytes(changed))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("budget", [None, 1])
def test_a_damaged_segment_is_found_on_every_run(pack: bytes, budget: int | None) -> None:
    """Also when weights stay mapped: what failed its check once is not taken for checked."""
    changed = bytearray(pack)
    changed[-70] ^= 1
    if budget is not None:
        with wherry.Executor(bytes(changed)) as executor:
            budget = executor.stats.memory_needed
    with wherry.Executor(bytes(changed), memory_budget=budget) as executor:
        for _ in range(3):
            with pytest.raises(PackError, match=r"segment \d+ does not match its checksum"):
                executor.run(support.inputs())
        assert executor.stats.runs == 0


@pytest.mark.parametrize(
    "data", [b"", b"\x89", b"PK\x03\x04" + bytes(200), b"\x89WHERRY\r" + bytes(200), b"\x89WHERRY\n" + bytes(200)]
)
def test_not_a_pack(data: bytes) -> None:
    with pytest.raises(PackError, match=r"not a Wherry pack|damaged"):
        wherry.Executor(data)


# ---------------------------------------------------------------------------------------------------- versions
def _rehashed(data: bytearray) -> bytes:
    struct.pack_into("<Q", data, 56, _native.hash64(bytes(data[:56])))
    return bytes(data)


def test_a_newer_major_version_is_refused(pack: bytes) -> None:
    data = bytearray(pack)
    struct.pack_into("<H", data, 8, fmt.MAJOR + 1)
    for version in (_rehashed(data), bytes(data)):  # whose header this reader may not even understand
        with pytest.raises(PackError, match=r"has format 2\.0, this library reads up to 1\.x: update the library"):
            wherry.Executor(version)


def _with_metadata(pack: bytes, metadata: bytes, minor: int) -> bytes:
    """The pack with other metadata, put at the end of the file."""
    data = bytearray(pack + bytes(-len(pack) % 64))
    start = len(data)
    data += metadata
    struct.pack_into("<H", data, 10, minor)
    struct.pack_into("<QQQQ", data, 16, len(data), start, len(metadata), _native.hash64(metadata))
    return _rehashed(data)


@pytest.mark.parametrize("extra", [8, 40])
def test_what_a_newer_minor_version_adds(pack: bytes, answer: dict[str, np.ndarray], extra: int) -> None:
    """Every record is `extra` bytes longer, and there are two more sections than this reader knows."""
    parts = PackBytes(pack)
    sections = [*parts.tables.items()]
    body = bytearray()
    index = []
    base = fmt.align(8 + fmt.SECTION.itemsize * (len(sections) + 2), 8)
    for kind, table in sections:
        longer = 0 if kind in (SectionKind.STRINGS, SectionKind.PROVENANCE) else extra
        stride = table.dtype.itemsize + longer
        index.append((int(kind), stride, base + len(body), len(table)))
        for row in table:
            body += row.tobytes() + b"\xee" * longer
        body += bytes(-len(body) % 8)
    for kind in (99, 4_000_000_000):
        index.append((kind, 24, base + len(body), 2))
        body += b"\xdd" * 48
    head = struct.pack("<II", len(index), 0) + np.array(index, fmt.SECTION).tobytes()
    metadata = head + bytes(base - len(head)) + bytes(body)
    assert support.same_bits(support.run(_with_metadata(pack, metadata, fmt.MINOR + 1)), answer)


# ------------------------------------------------------------------------------------------- adversarial metadata
def _set(pack: bytes, kind: SectionKind, row: int, field: str, value: int) -> bytes:
    parts = PackBytes(pack)
    parts.tables[kind][field][row] = value
    return parts.bytes()


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (SectionKind.TENSORS, "owner", 10_000), (SectionKind.TENSORS, "rank", 200), (SectionKind.TENSORS, "dtype", 7),
        (SectionKind.TENSORS, "dims", 0xFFFFFFF0), (SectionKind.TENSORS, "bytes", 1 << 63),
        (SectionKind.TENSORS, "offset", (1 << 64) - 64), (SectionKind.TENSORS, "place", 9),
        (SectionKind.STEPS, "kernel", 10_000), (SectionKind.STEPS, "inputs", 0xFFFFFFFF),
        (SectionKind.STEPS, "num_outputs", 0xFFFFFFFF), (SectionKind.STEPS, "attributes", 0xFFFFFFFF),
        (SectionKind.PARTITIONS, "first_step", 1), (SectionKind.PARTITIONS, "num_steps", 0xFFFFFFFF),
        (SectionKind.PARTITIONS, "num_segments", 0), (SectionKind.PARTITIONS, "segments", 0xFFFFFFFF),
        (SectionKind.SEGMENTS, "offset", 1 << 62), (SectionKind.SEGMENTS, "bytes", 1 << 62),
        (SectionKind.SEGMENTS, "flags", 0), (SectionKind.INPUTS, "tensor", 0xFFFFFFFF),
        (SectionKind.OUTPUTS, "tensor", 0xFFFFFFFF), (SectionKind.PLAN, "arena_bytes", 0),
        (SectionKind.PLAN, "arena_bytes", 1 << 60), (SectionKind.QUANTS, "channels", 1 << 60),
        (SectionKind.QUANTS, "scale", 1 << 60), (SectionKind.QUANTS, "format", 77), (SectionKind.QUANTS, "bits", 1),
        (SectionKind.QUANTS, "split", 1),
    ],
)
def test_metadata_that_points_outside(pack: bytes, kind: SectionKind, field: str, value: int) -> None:
    with pytest.raises(PackError, match=r"damaged|step '"):
        wherry.Executor(_set(pack, kind, 0, field, value))


def test_sums_of_some_rows_lie_in_the_segment(tmp_path: Path) -> None:
    parts = PackBytes(support.pack(tmp_path, quantize="int8").read_bytes())
    tensors, quants = parts.tables[SectionKind.TENSORS], parts.tables[SectionKind.QUANTS]
    tensor = next(t for t in tensors if t["quant"] != fmt.NONE and t["layout"] == Layout.QUADS)
    quant = quants[int(tensor["quant"]) : int(tensor["quant"]) + 1]
    end = int(parts.tables[SectionKind.SEGMENTS][int(tensor["owner"])]["bytes"])
    quant["offset"] = end - 4 * fmt.align(int(quant["channels"][0]), 16)  # what lies there is no matter
    wherry.Executor(parts.bytes())
    quant["split"] = 1
    with pytest.raises(PackError, match="offsets lie outside"):
        wherry.Executor(parts.bytes())


def test_a_partition_may_not_give_back_what_stays(pack: bytes) -> None:
    """Resident segments are used by all partitions."""
    parts = PackBytes(pack)
    partition = parts.tables[SectionKind.PARTITIONS][0]
    parts.tables[SectionKind.INDEXES][int(partition["segments"])] = 0
    with pytest.raises(PackError, match="damaged"):
        wherry.Executor(parts.bytes())


def test_an_empty_dimension_hides_no_overflow(pack: bytes) -> None:
    parts = PackBytes(pack)
    tensors, ints = parts.tables[SectionKind.TENSORS], parts.tables[SectionKind.INTS]
    four = next(t for t in tensors if t["rank"] == 4)
    ints[int(four["dims"]) : int(four["dims"]) + 4] = (0, 1 << 40, 1 << 40, 1 << 40)
    with pytest.raises(PackError, match=r"shape is impossible|damaged"):
        wherry.Executor(parts.bytes())


_MANY = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3].split(":")
import numpy as np, wherry
from fuzz_pack import mutate
from wherry.errors import BudgetError, PackError, RuntimeFailure
data = Path(sys.argv[1]).read_bytes()
ran = refused = 0
for seed in range(int(sys.argv[2])):
    try:
        with wherry.Executor(mutate(data, seed), threads=2, memory_budget=64 << 20) as executor:
            executor.run({n: np.zeros(t.shape, t.dtype.numpy) for n, t in executor.inputs.items()})
        ran += 1
    except (PackError, BudgetError, RuntimeFailure) as error:
        assert "\\n" not in str(error)
        refused += 1
print(ran, refused)
"""


def test_adversaries_are_refused_or_run_without_harm(tmp_path: Path, pack: bytes) -> None:
    """Random changes with the checksums made right; `make sanitize` does thousands under sanitizers."""
    path = tmp_path / "seed.wherry"
    path.write_bytes(pack)
    here = ":".join(str(p) for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", _MANY, path, "800", here], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    ran, refused = map(int, done.stdout.split())
    assert ran > 50
    assert refused > 300


def test_the_fuzzer_makes_its_packs_again(pack: bytes) -> None:
    assert mutate(pack, 7) == mutate(pack, 7) != pack


def test_errors_are_of_the_pack(pack: bytes) -> None:
    """A kernel that the library lacks is named."""
    parts = PackBytes(pack)
    strings = parts.tables[SectionKind.STRINGS]
    key = parts.tables[SectionKind.KERNELS][0]
    strings[int(key["offset"])] = ord("Z")
    with pytest.raises(PackError, match=r"has no kernel Z\w+, which the pack needs"):
        wherry.Executor(parts.bytes())
    assert not issubclass(RuntimeFailure, PackError)
