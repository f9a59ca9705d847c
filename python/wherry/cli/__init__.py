"""The command line. One file per command; this one finds them and turns errors into a line and an exit status."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from wherry import __version__
from wherry.errors import UsageError, WherryError

COMMANDS = ("scan", "header", "compile", "inspect", "build", "run", "bench", "report", "targets", "doctor")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="wherry", description="Slim, partitioned runtimes for TensorFlow models that are too big for a phone."
    )
    top.add_argument("--version", action="version", version=f"wherry {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"wherry.cli.{name}")
        module.register(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show where an error came from")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 the work failed, 2 wrong usage."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except WherryError as error:
        if args.debug:
            raise
        print(f"wherry {args.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print(f"wherry {args.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if args.debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"wherry {args.command}: {where}{error.strerror or error}", file=sys.stderr)
        return 1
