"""wherry bench --paper and --sweep: the paper's experiments with any model, Wherry beside TensorFlow."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry.bench.machine import machine
from wherry.bench.paper import PARTITIONS, table_1
from wherry.bench.prepare import Setting
from wherry.bench.sweep import COUNTS, sweep
from wherry.cli.common import counted, model_options, print_json, size
from wherry.cli.progress import progress
from wherry.errors import LoadError, PackError, UsageError

_QUANTIZE = "int8"
_TIMES = {
    "load_seconds": "loading", "inference_seconds": "inference", "overhead_seconds": "overhead",
    "total_seconds": "total",
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that wherry bench has for --paper and --sweep alone."""
    parser.add_argument("--partitions", type=int, metavar="N", help=f"--paper: into how many (default: {PARTITIONS})")
    parser.add_argument(
        "--counts", metavar="N,N,...",
        help="--sweep: numbers of partitions, none above the model's number of steps (default: "
        f"{','.join(map(str, COUNTS))})",
    )
    parser.add_argument(
        "--quantize", metavar="FORMAT",
        help=f"--paper, --sweep: weights of the pack, as for wherry compile (default: {_QUANTIZE}); TensorFlow gets "
        "the paper's, of 8 bits",
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="--sweep: where sweep.png and sweep.svg go (default: this folder)"
    )


def run_paper(args: argparse.Namespace) -> int:
    runs = args.runs or 10
    partitions = PARTITIONS if args.partitions is None else args.partitions
    with progress() as show:
        rows = table_1(_setting(args), partitions, runs, show)
    if args.json:
        print_json({"model": args.source, "threads": args.threads, "runs": runs, "machine": machine(), "rows": rows})
        return 0
    _show(rows)
    print(
        f"{counted(runs, 'run')} of each, each in a process of its own: mean ± standard deviation; "
        "memory is what a run adds to its process at most, mapped file pages included"
    )
    return 0


def run_sweep(args: argparse.Namespace) -> int:
    from wherry.bench.figure import draw, need_matplotlib

    counts, runs = _counts(args.counts), args.runs or 3
    need_matplotlib()
    setting, folder = _setting(args), _folder(args.output or ".")
    with progress() as show:
        rows = sweep(setting, counts, runs, show)
    where = machine()
    pictures = draw(rows, Path(setting.model).name, where, args.threads, runs, folder)
    if args.json:
        print_json({
            "model": args.source, "threads": args.threads, "runs": runs, "machine": where, "rows": rows,
            "pictures": [str(picture) for picture in pictures],
        })
        return 0
    _show(rows)
    print(*pictures)
    return 0


def _setting(args: argparse.Namespace) -> Setting:
    """The path is looked at before TensorFlow is imported."""
    path: str = args.source
    if not Path(path).exists():
        raise LoadError(f"{path}: there is no such file or folder")
    if path.endswith(".wherry"):
        raise UsageError(f"{path} is a pack; --{args.what} takes the model that it was made of")
    return Setting(path, args.threads, args.quantize or _QUANTIZE, args.memory_budget, model_options(args))


def _counts(text: str | None) -> Sequence[int]:
    if text is None:
        return COUNTS
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f"--counts {text!r} is not N,N,... with whole numbers from 1 on for N")
    return [int(word) for word in words]


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise PackError(f"{path}: there is no such folder; make it first")
    return path


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    lines = [["", "", "weights, budget", "memory MB", *(f"{time} ms" for time in _TIMES.values()), "on disk MB"]]
    for row in rows:
        budget = f", {size(row['memory_budget'])}" if row["memory_budget"] else ""
        times = (row[key] for key in _TIMES)
        lines.append([
            row["name"], row["program"], f"{row['quantize'] or '-'}{budget}", _spread(row["memory_bytes"], 1e-6),
            *(_spread(spread, 1e3) for spread in times), f"{row['disk_bytes'] / 1e6:.2f}",
        ])  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        left = [cell.ljust(width) for cell, width in zip(line[:3], widths[:3], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[3:], widths[3:], strict=True)]
        print("  ".join([*left, *right]))


def _spread(spread: Mapping[str, Any] | None, scale: float) -> str:
    if spread is None:
        return "-"
    mean, deviation = spread["mean"] * scale, spread["deviation"] * scale
    places = 1 if mean >= 10 else 2
    return f"{mean:.{places}f} ± {deviation:.{places}f}"
