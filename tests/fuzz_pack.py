"""Changes packs on purpose, with checksums made right again, and runs them: they may be refused and must do no harm.

    python tests/fuzz_pack.py --harness build/sanitize/address/harness --count 5000 PACK...

The harness (tests/cpp/harness.c) runs the packs in a process of its own. One that ends it is written to --keep and
named with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from wherry import _native
from wherry.pack import format as fmt
from wherry.pack.format import SectionKind

_EDGES = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 63, 64, 127, 255, 256, 65535, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40,
)
_WIDE_EDGES = (*_EDGES, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 64)


class PackBytes:
    """A pack taken apart: header and metadata tables can be changed, `bytes()` makes all checksums right."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.header = np.frombuffer(self.data, fmt.HEADER, 1)
        start = int(self.header["metadata_offset"][0])
        self.metadata = memoryview(self.data)[start : start + int(self.header["metadata_bytes"][0])]
        count = struct.unpack_from("<I", self.metadata)[0]
        self.sections = np.frombuffer(self.metadata, fmt.SECTION, count, 8)
        self.tables: dict[SectionKind, np.ndarray] = {}
        for row in self.sections:
            kind = SectionKind(int(row["kind"]))
            self.tables[kind] = np.frombuffer(self.metadata, fmt.RECORDS[kind], int(row["count"]), int(row["offset"]))

    def rehash_segments(self) -> None:
        for segment in self.tables[SectionKind.SEGMENTS]:
            offset, size = int(segment["offset"]), int(segment["bytes"])
            segment["hash"] = _native.hash64(bytes(self.data[offset : offset + size]))

    def bytes(self) -> bytes:
        self.header["metadata_hash"] = _native.hash64(bytes(self.metadata))
        self.header["header_hash"] = _native.hash64(bytes(self.data[:56]))
        return bytes(self.data)


def _fields(dtype: np.dtype, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if dtype.names is None:
        return [prefix]
    return [path for name in dtype.names for path in _fields(dtype[name], (*prefix, name))]


def _column(table: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
    for name in path:
        table = table[name]
    return table


def _new_number(rng: random.Random, old: int, bits: int) -> int:
    choice = rng.randrange(6)
    if choice == 0:
        new = rng.choice(_WIDE_EDGES)
    elif choice == 1:
        new = old ^ (1 << rng.randrange(bits))
    elif choice == 2:
        new = old + rng.choice((-64, -16, -4, -2, -1, 1, 2, 4, 16, 64))
    elif choice == 3:
        new = old * rng.choice((2, 3, 16)) if rng.random() < 0.5 else old // 2
    elif choice == 4:
        new = rng.randrange(16)
    else:
        new = rng.getrandbits(bits)
    return new & ((1 << bits) - 1)


def _change_record(rng: random.Random, pack: PackBytes) -> None:
    kind = rng.choice([k for k in pack.tables if k not in (SectionKind.STRINGS, SectionKind.PROVENANCE)])
    table = pack.tables[kind]
    path = rng.choice(_fields(table.dtype))
    column = _column(table, path)
    row = rng.randrange(len(table))
    if rng.random() < 0.35:  # another record's
        column[row] = column[rng.randrange(len(table))]
        return
    if column.ndim > 1:
        return
    bits = column.dtype.itemsize * 8
    new = _new_number(rng, int(column[row]) & ((1 << bits) - 1), bits)
    column[row] = np.frombuffer(new.to_bytes(bits // 8, "little"), column.dtype)[0]


def _change_dimension(rng: random.Random, pack: PackBytes) -> None:
    """A dimension, with the sizes of the tensors that have it: what a kernel must find out by itself."""
    tensors, ints = pack.tables[SectionKind.TENSORS], pack.tables[SectionKind.INTS]
    row = tensors[rng.randrange(len(tensors))]
    rank = int(row["rank"])
    if rank == 0:
        return
    at = int(row["dims"]) + rng.randrange(rank)
    old = int(ints[at])
    ints[at] = rng.choice((0, 1, 2, old + 1, max(old - 1, 0), old * 2, old * 16, old // 2))
    if rng.random() < 0.7:
        for tensor in tensors:
            first, count = int(tensor["dims"]), int(tensor["rank"])
            plain = int(tensor["quant"]) == fmt.NONE and not tensor["layout"]
            if first <= at < first + count and int(tensor["bytes"]) and plain:
                elements = int(np.prod([int(d) for d in ints[first : first + count]], dtype=object))
                tensor["bytes"] = min(max(elements, 0) * 4, 1 << 50)


def _change_attribute(rng: random.Random, pack: PackBytes) -> None:
    table = pack.tables.get(SectionKind.ATTRIBUTES)
    if table is None:
        return
    row = table[rng.randrange(len(table))]
    if row["kind"] in (0, 1):
        row["value"] = _new_number(rng, int(row["value"]), 64)
    elif row["kind"] == 3:
        ints = pack.tables[SectionKind.INTS]
        at = int(row["value"]) + rng.randrange(max(int(row["size"]), 1))
        if at < len(ints):
            ints[at] = rng.choice((0, 1, 2, 3, -1, 1 << 31, (1 << 63) - 1, -(1 << 63), 100, 7))
    else:
        strings = pack.tables[SectionKind.STRINGS]
        at = int(row["value"])
        if at < len(strings) and row["size"]:
            strings[at + rng.randrange(int(row["size"]))] = rng.randrange(256)


def _change_weights(rng: random.Random, pack: PackBytes) -> None:
    """Numbers in a segment: axes, paddings and shapes are there too."""
    segments = pack.tables[SectionKind.SEGMENTS]
    segment = segments[0] if rng.random() < 0.8 else segments[rng.randrange(len(segments))]
    offset, size = int(segment["offset"]), int(segment["bytes"])
    if size < 4:
        return
    at = offset + rng.randrange(size // 4) * 4
    if rng.random() < 0.7:  # where an index is, most often
        tensors = pack.tables[SectionKind.TENSORS]
        small = [t for t in tensors if t["place"] == 1 and t["owner"] == 0 and t["dtype"] in (3, 9) and t["bytes"]]
        if small:
            tensor = rng.choice(small)
            at = offset + int(tensor["offset"]) + rng.randrange(int(tensor["bytes"]) // 4) * 4
    new = rng.choice((0, 1, 2, 3, 5, -1, -2, -3, 100, 0x7FFFFFFF, -0x80000000, 0x7FC00000))
    struct.pack_into("<i", pack.data, at, new)


def _flip_bytes(rng: random.Random, pack: PackBytes) -> None:
    for _ in range(rng.randrange(1, 5)):
        pack.metadata[rng.randrange(len(pack.metadata))] = rng.randrange(256)


def _change_section(rng: random.Random, pack: PackBytes) -> None:
    row = pack.sections[rng.randrange(len(pack.sections))]
    name = rng.choice(("kind", "stride", "offset", "count"))
    bits = row[name].dtype.itemsize * 8
    row[name] = _new_number(rng, int(row[name]), bits)


_MUTATIONS = (
    (_change_record, 10), (_change_dimension, 8), (_change_attribute, 6), (_change_weights, 5), (_flip_bytes, 1),
    (_change_section, 1),
)


def mutate(data: bytes, seed: int) -> bytes:
    """A changed pack whose checksums are right."""
    rng = random.Random(seed)
    pack = PackBytes(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choices([m for m, _ in _MUTATIONS], [w for _, w in _MUTATIONS])[0]
        # Where an earlier change is in the way, this one is left out.
        with contextlib.suppress(IndexError, OverflowError, ValueError, struct.error):
            change(rng, pack)
    if rng.random() < 0.97 and SectionKind.SEGMENTS in pack.tables:
        pack.rehash_segments()
    return pack.bytes()


@dataclass
class Outcome:
    statuses: Counter[int] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)


def _feed(harness: Sequence[str], packs: list[bytes], outcome: Outcome) -> tuple[int, str]:
    """Runs packs in one process; returns how many it survived, and what it said when it did not."""
    stream = b"".join(struct.pack("<Q", len(pack)) + pack for pack in packs)
    done = subprocess.run([*harness], input=stream, capture_output=True, check=False)
    lines = done.stdout.decode(errors="replace").splitlines()
    for line in lines:
        outcome.statuses[int(line.split()[1])] += 1
    clean = done.returncode == 0 and len(lines) == len(packs)
    return len(lines), "" if clean else done.stderr.decode(errors="replace") or f"status {done.returncode}"


def fuzz(harness: Sequence[str], data: bytes, seeds: range, keep: Path | None = None, batch: int = 200) -> Outcome:
    """Runs a mutation of `data` for each seed through `harness fuzz THREADS`."""
    outcome = Outcome()
    waiting = list(seeds)
    while waiting:
        part, waiting = waiting[:batch], waiting[batch:]
        while part:
            packs = [mutate(data, seed) for seed in part]
            survived, message = _feed(harness, packs, outcome)
            if not message:
                break
            if survived == len(part):  # a leak, say: only seen at the end
                outcome.crashes.append(f"seeds {part[0]} to {part[-1]}: {message}")
                break
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"seed{part[survived]}.wherry").write_bytes(packs[survived])
            outcome.crashes.append(f"seed {part[survived]}: {message}")
            part = part[survived + 1 :]
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", nargs="+", type=Path)
    parser.add_argument("--harness", required=True)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--count", type=int, default=2000, help="mutations of each pack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for packs that do harm")
    args = parser.parse_args()
    failed = 0
    for path in args.packs:
        keep = args.keep / path.stem if args.keep else None
        seeds = range(args.seed, args.seed + args.count)
        outcome = fuzz([args.harness, "fuzz", args.threads], path.read_bytes(), seeds, keep)
        print(f"{path}: {args.count} mutations, statuses {dict(sorted(outcome.statuses.items()))}", flush=True)
        for crash in outcome.crashes:
            print(f"  {crash}", file=sys.stderr)
        failed += len(outcome.crashes)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
