"""wherry run: runs a pack on inputs from a file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from wherry.cli.common import add_json, counted, output_path, print_json, size
from wherry.errors import PackError, UsageError
from wherry.files import whole_file
from wherry.output_error import random_inputs, read_arrays
from wherry.runtime.executor import Executor


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("run", help="run a pack on this machine")
    parser.add_argument("pack", help="the .wherry file")
    parser.add_argument("--inputs", metavar="FILE.npz", help="arrays by the names of the inputs (default: random ones)")
    parser.add_argument("--outputs", metavar="FILE.npz", help="where the outputs go")
    parser.add_argument("--threads", type=int, default=1, help="0: one for each processor (default: 1)")
    parser.add_argument("--memory-budget", metavar="SIZE", help="the most it may hold (default: the pack's)")
    parser.add_argument(
        "--device", metavar="NAME|FILE",
        help="a profile as for wherry plan: which weights stay is planned for it (default: a guess, then measured)",
    )  # fmt: skip
    parser.add_argument("--checkpoint", metavar="FILE", help="kept after each partition, so that a killed run goes on")
    parser.add_argument("--repeat", type=int, default=1, help="how many times to run (default: 1)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.repeat < 1:
        raise UsageError(f"--repeat must be 1 or more, not {args.repeat}")
    if args.outputs:
        _check_outputs(args.outputs)
    options = {"threads": args.threads, "memory_budget": args.memory_budget, "checkpoint": args.checkpoint}
    with Executor(args.pack, **options, device=args.device) as executor:
        inputs = read_arrays(args.inputs) if args.inputs else random_inputs(executor.inputs)
        before = executor.checkpoint
        foreign = args.checkpoint and before is None and Path(args.checkpoint).is_file()
        seconds = []
        for number in range(args.repeat):
            try:
                outputs = executor.run(inputs)
            except UsageError as error:  # which names the pack, and is about what the file holds
                if not args.inputs:
                    raise
                raise UsageError(f"{args.inputs}: {str(error).removeprefix(f'{args.pack}: ')}") from None
            seconds.append(executor.stats.inference_seconds)
            if number == 0 and before and 0 < before.partitions_done < before.partitions:
                foreign = executor.stats.first_partition == 0
        stats = executor.stats
    if foreign:
        text = "it was damaged, or of another pack or other inputs, so the run began at the first partition"
        print(f"wherry run: {args.checkpoint}: {text}", file=sys.stderr)
    if args.outputs:
        write_outputs(args.outputs, outputs)
    if args.json:
        shapes = {name: array.shape for name, array in outputs.items()}
        print_json({"stats": asdict(stats), "inference_seconds": seconds, "outputs": shapes})
        return 0
    for name, array in outputs.items():
        line = np.array2string(array.reshape(-1)[:8], precision=5, separator=", ", max_line_width=1000)
        print(f"{name} {array.dtype} {list(array.shape)}: {line}{' ...' if array.size > 8 else ''}")
    if stats.first_partition:
        print(f"resumed: {stats.first_partition} of {counted(stats.partitions, 'partition')} had run")
    print(
        f"loaded in {stats.load_seconds * 1e3:.1f} ms, "
        f"ran in {np.median(seconds) * 1e3:.1f} ms (median of {len(seconds)}), "
        f"{counted(stats.partitions, 'partition')}, peak {size(stats.peak_bytes)}"
    )
    return 0


def _check_outputs(text: str) -> None:
    """Before the model runs, which may take long."""
    path = output_path(text)
    if path.exists() and not path.is_file():
        raise PackError(f"{path}: this is not a file; name one for the outputs")
    if path.suffix != ".npz":
        raise UsageError(f"{path}: the outputs are written as an .npz; name it {path.with_suffix('.npz')}")


def write_outputs(path: str, outputs: dict[str, np.ndarray]) -> None:
    """Writes an .npz, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **outputs)  # type: ignore[arg-type]
