"""wherry calibrate: measures this machine, for predictions of wherry plan."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wherry.cli.common import add_json, output_path, print_json
from wherry.files import write_whole


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        "calibrate", help="measure this machine's cores, memory and storage, as a profile for wherry plan"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where the profile goes (default: it is printed)")
    parser.add_argument("--folder", metavar="DIR", help="whose storage is measured, with a file of 256 MiB")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from wherry.devices.calibrate import calibrate
    from wherry.devices.profile import to_toml

    target = output_path(args.output) if args.output else None
    device = calibrate(Path(args.folder) if args.folder else None)
    if target is not None:
        write_whole(target, to_toml(device))
    if args.json:
        print_json({"version": 1, "device": device})
    else:
        print(to_toml(device), end="")
    return 0
