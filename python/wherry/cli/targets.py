"""wherry targets: what wherry build can build for."""

from __future__ import annotations

import argparse
from typing import Any

from wherry.cli.common import add_json, print_json


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("targets", help="list the targets of wherry build")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from wherry.build import targets

    found = targets()
    if args.json:
        print_json({
            "version": 1,
            "targets": [
                {
                    "name": each.name, "description": each.description, "isas": list(each.isas),
                    "toolchain": each.toolchain.name if each.toolchain is not None else None,
                    "static_runner": each.static_runner, "emulator": list(each.emulator),
                }
                for each in found
            ],
        })
        return 0
    width = max(len(each.name) for each in found)
    for each in found:
        print(f"{each.name:{width}}  {each.description}")
    return 0
