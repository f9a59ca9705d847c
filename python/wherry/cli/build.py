"""wherry build: the slim library that holds exactly the kernels of these packs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from wherry.cli.common import add_json, print_json


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("build", help="build the slim library and runner for packs")
    parser.add_argument("models", nargs="+", metavar="PACK", help="packs, models, or what wherry scan --json printed")
    parser.add_argument("--target", default="host", help="what to build for; wherry targets lists them (default: host)")
    parser.add_argument("-o", "--output", default="dist", help="the files go to OUTPUT/TARGET (default: dist)")
    parser.add_argument("--build-dir", metavar="DIR", help="where CMake works (default: a folder in the user's cache)")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="compilers at a time (default: one a processor)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from wherry.build import as_json, build, summary

    with nullcontext() if args.json else stages() as tell:
        report = build(args.models, args.target, args.output, args.build_dir, args.jobs, progress=tell)
    if args.json:
        print_json(as_json(report))
    else:
        print(summary(report))
    return 0


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Shows what is being done in one line of a terminal, which is gone in the end; elsewhere not at all."""
    if not sys.stdout.isatty():
        yield lambda doing: None
        return
    try:
        yield lambda doing: print(f"\r\033[K{doing} ...", end="", flush=True)
    finally:
        print("\r\033[K", end="", flush=True)
