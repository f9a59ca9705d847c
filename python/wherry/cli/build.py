"""wherry build: the slim library that holds exactly the kernels of these packs."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import Any

from wherry.cli.common import add_json, print_json
from wherry.cli.progress import progress


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

    with nullcontext() if args.json else progress() as tell:
        report = build(args.models, args.target, args.output, args.build_dir, args.jobs, progress=tell)
    if args.json:
        print_json(as_json(report))
    else:
        print(summary(report))
    return 0
