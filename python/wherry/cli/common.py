"""Options and output that several commands share."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from wherry.errors import PackError, UsageError
from wherry.text import counted, size

__all__ = [
    "add_json", "add_model_options", "counted", "model_options", "output_path", "parse_shapes", "print_json", "size",
]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how a model is loaded."""
    parser.add_argument("--signature", help="which signature of a SavedModel (default: serving_default)")
    parser.add_argument(
        "--input-shapes", action="append", default=[], metavar="[NAME=]D,D,...",
        help="shape of an input, e.g. x=1,224,224,3; may be repeated. Unknown batch sizes are 1 unless told otherwise",
    )
    parser.add_argument("--outputs", metavar="NAME,NAME", help="which outputs, or tensors, to keep")


def model_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_model_options` read, as keywords of `wherry.load`."""
    outputs = args.outputs.split(",") if args.outputs else None
    return {"signature": args.signature, "input_shapes": parse_shapes(args.input_shapes), "outputs": outputs}


def parse_shapes(texts: list[str]) -> dict[str, list[int]] | list[int] | None:
    """Raises UsageError for text that is not NAME=D,D,... or, for a model with one input, D,D,..."""
    named: dict[str, list[int]] = {}
    for text in texts:
        match = re.fullmatch(r"(?:(?P<name>[^=]+)=)?(?P<dims>\d+(?:[,x]\d+)*)?", text)
        if match is None or (match["dims"] is None and match["name"] is None):
            raise UsageError(f"--input-shapes {text!r} is not NAME=D,D,... with numbers for D")
        dims = [int(d) for d in re.split("[,x]", match["dims"])] if match["dims"] else []
        if match["name"] is None:
            if len(texts) > 1:
                raise UsageError("--input-shapes without a name is for models with one input; name them: NAME=D,D,...")
            return dims
        named[match["name"]] = dims
    return named or None


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, sort_keys=True, default=_plain))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def output_path(text: str) -> Path:
    """Where a command writes a file. Raises PackError when the folder is missing or it is a folder itself."""
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise PackError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise PackError(f"{path}: this is a folder; name a file")
    return path
