"""wherry header: the selection of kernels as C++, for our build or for TensorFlow's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wherry.cli.common import add_json, output_path, print_json
from wherry.errors import UsageError
from wherry.files import write_whole


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("header", help="render ops_to_register.h")
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="models; wherry: packs, or what wherry scan --json printed, too"
    )
    parser.add_argument(
        "--format", choices=("wherry", "tensorflow"), default="wherry",
        help="wherry: for wherry build. tensorflow: for a TensorFlow source build with "
        "-DSELECTIVE_REGISTRATION; made from models, not from packs (default: wherry)",
    )
    parser.add_argument(
        "-o", "--output", metavar="PATH",
        help="wherry: a folder, which also gets selected_kernels.cmake. tensorflow: a file. Default: print the header",
    )
    parser.add_argument("--quantize", metavar="FORMAT", help="wherry: weight format of the packs to be compiled")
    parser.add_argument("--optimise", action="store_true", help="tensorflow: of the graph after Wherry's passes")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return _tensorflow(args) if args.format == "tensorflow" else _wherry(args)


def _wherry(args: argparse.Namespace) -> int:
    from wherry.selection.header import CMAKE_NAME, HEADER_NAME, render_header, write_selection
    from wherry.selection.scan import scan_all

    if args.optimise:
        raise UsageError("--optimise goes with --format tensorflow; a pack's graph is always optimised")
    report = scan_all(args.models, quantize=args.quantize)
    text = render_header(report)
    if args.output:
        write_selection(report, Path(args.output))
    _show(args, text, {
        "format": "wherry", "kernels": list(report.keys),
        "files": [str(Path(args.output) / name) for name in (HEADER_NAME, CMAKE_NAME)] if args.output else [],
    })
    return 0


def _tensorflow(args: argparse.Namespace) -> int:
    from wherry.selection.tensorflow_header import merge, render_tensorflow_header, select

    if args.quantize:
        raise UsageError("--quantize goes with --format wherry; TensorFlow reads weights as they are")
    output = output_path(args.output) if args.output else None
    selection = merge([select(model, args.optimise) for model in args.models])
    text = render_tensorflow_header(selection)
    if output is not None:
        write_whole(output, text)
    _show(args, text, {
        "format": "tensorflow", "ops": list(selection.ops), "kernel_classes": list(selection.kernel_classes),
        "files": [args.output] if args.output else [],
    })
    return 0


def _show(args: argparse.Namespace, text: str, data: dict[str, Any]) -> None:
    if args.json:
        print_json({"version": 1, **data})
    elif args.output:
        print("\n".join(data["files"]))
    else:
        print(text, end="")
