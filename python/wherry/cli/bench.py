"""wherry bench: what a pack costs on this machine, and the paper's experiments on a model."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from wherry.bench.machine import machine
from wherry.bench.pack import measure
from wherry.cli import bench_paper
from wherry.cli.common import add_json, add_model_options, counted, print_json, size
from wherry.errors import UsageError
from wherry.pack.reader import read_pack
from wherry.runtime.executor import parse_bytes

# Options that only some of the three measurements have.
_BELONGS = {
    "partitions": ("paper",), "counts": ("sweep",), "output": ("sweep",), "quantize": ("paper", "sweep"),
    "signature": ("paper", "sweep"), "input_shapes": ("paper", "sweep"), "outputs": ("paper", "sweep"),
}  # fmt: skip


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        "bench", help="measure a pack on this machine, or repeat the paper's experiments with a model"
    )
    parser.add_argument("source", metavar="PACK|MODEL", help="the .wherry file; for --paper and --sweep a model")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--paper", action="store_const", const="paper", dest="what",
        help="Table 1 of the paper: the model in TensorFlow as is, optimised, in partitions; and in Wherry",
    )
    what.add_argument(
        "--sweep", action="store_const", const="sweep", dest="what",
        help="Figure 4 of the paper: time and memory over the number of partitions, in TensorFlow and in Wherry, drawn "
        "as PNG and SVG",
    )
    parser.add_argument("--threads", type=int, default=1, help="0: one for each processor (default: 1)")
    parser.add_argument(
        "--memory-budget", metavar="SIZE",
        help="the most that a pack may hold (default: the pack's; for --paper and --sweep the smallest "
        "that it runs in)",
    )
    parser.add_argument(
        "--runs", type=int, help="timed runs (default: 10; 3 for --sweep). A pack runs once more before them"
    )
    bench_paper.add_options(parser)
    add_model_options(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    _check(args)
    if args.what == "paper":
        return bench_paper.run_paper(args)
    if args.what == "sweep":
        return bench_paper.run_sweep(args)
    return _run_pack(args)


def _check(args: argparse.Namespace) -> None:
    for option, belongs in _BELONGS.items():
        if getattr(args, option) not in (None, []) and args.what not in belongs:
            wanted = " or ".join(f"--{what}" for what in belongs)
            raise UsageError(f"--{option.replace('_', '-')} goes with {wanted} only")
    if args.runs is not None and args.runs < 1:
        raise UsageError(f"--runs must be 1 or more, not {args.runs}")


def _run_pack(args: argparse.Namespace) -> int:
    runs = args.runs or 10
    result = measure(args.source, args.threads, args.memory_budget, runs)
    if args.json:
        budget = parse_bytes(args.memory_budget) or read_pack(args.source).memory_budget
        print_json({
            "pack": args.source, "threads": args.threads, "memory_budget": budget or None,
            "machine": machine(), "median_seconds": result.median_seconds, **asdict(result),
        })
        return 0
    print(f"{'load':24} {result.load_seconds * 1e3:10.2f} ms")
    print(f"{'first inference':24} {result.first_seconds * 1e3:10.2f} ms")
    print(f"{'inference, median':24} {result.median_seconds * 1e3:10.2f} ms of {counted(runs, 'run')}")
    print(f"{'  fastest, slowest':24} {min(result.seconds) * 1e3:10.2f} ms, {max(result.seconds) * 1e3:.2f} ms")
    print(f"{'  waiting for weights':24} {result.io_seconds * 1e3:10.2f} ms")
    print(f"{'memory held at most':24} {size(result.peak_bytes):>13}")
    if result.grown_bytes is not None:
        print(f"{'process grew by':24} {size(result.grown_bytes):>13} with inputs, outputs, threads and code")
    else:
        print("how much the process grew is not known on this system", file=sys.stderr)
    return 0
