"""wherry report: a page that shows what is in packs, and what benchmarks measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wherry.cli.common import add_json, output_path, print_json
from wherry.errors import UsageError
from wherry.files import write_whole


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("report", help="write a page about packs and benchmarks")
    parser.add_argument("sources", nargs="+", help=".wherry packs, and .json files of benchmarks")
    parser.add_argument("-o", "--output", default="wherry-report.html", help="the page (default: wherry-report.html)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from wherry.report.page import describe, render

    output = None if args.json else output_path(args.output)
    if output is not None and any(output.resolve() == Path(source).resolve() for source in args.sources):
        raise UsageError(f"the page would overwrite {output}; name another file with -o")
    described = [describe(Path(source)) for source in args.sources]
    if output is None:
        print_json(described)
        return 0
    write_whole(output, render(described))
    print(output)
    return 0
