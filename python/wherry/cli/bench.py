"""wherry bench: how long a pack takes to load and to run on this machine, and what memory it takes."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from wherry.bench.pack import measure
from wherry.cli.common import add_json, print_json, size
from wherry.errors import UsageError


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
        print_json(result)
        return 0
    print(f"{'load':24} {result.load_seconds * 1e3:10.2f} ms")
    print(f"{'first inference':24} {result.first_seconds * 1e3:10.2f} ms")
    print(f"{'inference, median':24} {result.median_seconds * 1e3:10.2f} ms of {args.runs} runs")
    print(f"{'  fastest, slowest':24} {min(result.seconds) * 1e3:10.2f} ms, {max(result.seconds) * 1e3:.2f} ms")
    print(f"{'  waiting for weights':24} {result.io_seconds * 1e3:10.2f} ms")
    print(f"{'memory held at most':24} {size(result.peak_bytes):>13}")
    if result.grown_bytes is not None:
        print(f"{'process grew by':24} {size(result.grown_bytes):>13} with inputs, outputs, threads and code")
    else:
        print("how much the process grew is not known on this system", file=sys.stderr)
    return 0
