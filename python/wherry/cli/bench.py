"""wherry bench: how long a pack takes to load and to run on this machine, and what memory it takes."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wherry.bench.pack import measure
from wherry.cli.common import add_json, counted, print_json, size
from wherry.errors import UsageError
from wherry.pack.reader import read_pack
from wherry.runtime.executor import parse_bytes


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("bench", help="measure a pack on this machine")
    parser.add_argument("pack", help="the .wherry file")
    parser.add_argument("--threads", type=int, default=1, help="0: one for each processor (default: 1)")
    parser.add_argument("--memory-budget", metavar="SIZE", help="the most to add to a process (default: the pack's)")
    parser.add_argument("--runs", type=int, default=10, help="timed runs after one that is not (default: 10)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.runs < 1:
        raise UsageError(f"--runs must be 1 or more, not {args.runs}")
    result = measure(args.pack, args.threads, args.memory_budget, args.runs)
    if args.json:
        budget = parse_bytes(args.memory_budget) or read_pack(args.pack).memory_budget
        print_json({
            "pack": args.pack, "threads": args.threads, "memory_budget": budget or None,
            "machine": machine(), "median_seconds": result.median_seconds, **asdict(result),
        })
        return 0
    print(f"{'load':24} {result.load_seconds * 1e3:10.2f} ms")
    print(f"{'first inference':24} {result.first_seconds * 1e3:10.2f} ms")
    print(f"{'inference, median':24} {result.median_seconds * 1e3:10.2f} ms of {counted(args.runs, 'run')}")
    print(f"{'  fastest, slowest':24} {min(result.seconds) * 1e3:10.2f} ms, {max(result.seconds) * 1e3:.2f} ms")
    print(f"{'  waiting for weights':24} {result.io_seconds * 1e3:10.2f} ms")
    print(f"{'memory held at most':24} {size(result.peak_bytes):>13}")
    if result.grown_bytes is not None:
        print(f"{'process grew by':24} {size(result.grown_bytes):>13} with inputs, outputs, threads and code")
    else:
        print("how much the process grew is not known on this system", file=sys.stderr)
    return 0


def machine() -> dict[str, str | int | None]:
    """What the figures were measured on."""
    return {"system": f"{platform.system()} {platform.release()}", "processor": _processor(), "cores": os.cpu_count()}


def _processor() -> str:
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
