"""wherry scan: which kernels models need."""

from __future__ import annotations

import argparse
import json
from typing import Any

from wherry.cli.common import add_json, add_model_options, counted, model_options, output_path
from wherry.errors import MissingKernelError
from wherry.files import write_whole


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("scan", help="list the kernels that models or packs need")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="packs, models, or what wherry scan --json printed")
    parser.add_argument(
        "--quantize", metavar="FORMAT", help="weight format that a model is to be compiled with, as for wherry compile"
    )
    parser.add_argument("-o", "--output", metavar="FILE.json", help="write the JSON to a file too")
    add_model_options(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from wherry.selection.scan import scan_all

    output = output_path(args.output) if args.output else None
    try:
        report = scan_all(args.models, quantize=args.quantize, **model_options(args))
    except MissingKernelError as error:
        missing = str(error).splitlines()
        print(json.dumps({"missing": missing}, indent=2) if args.json else "\n".join(missing))
        nodes = counted(len(missing), "node")
        raise MissingKernelError(f"the runtime lacks a kernel for {nodes}; all are listed") from error
    if output is not None:
        write_whole(output, report.to_json())
    print(report.to_json() if args.json else report.table() + "\n", end="")
    return 0
