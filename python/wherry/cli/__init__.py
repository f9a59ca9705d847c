"""The command line. One file per command; this one finds them and turns errors into a line and an exit status."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from wherry import __version__
from wherry.errors import MissingKernelError, UsageError, WherryError
from wherry.text import counted

COMMANDS = (
    "scan", "header", "compile", "inspect", "build", "run", "bench", "report", "plan", "calibrate", "targets", "doctor",
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all other errors are said."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help shows the usage\n")


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="wherry", description="Slim, partitioned runtimes for TensorFlow models that are too big for a phone."
    )
    top.add_argument("--version", action="version", version=f"wherry {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"wherry.cli.{name}")
        module.register(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show where an error came from")
        command.set_defaults(command_parser=command)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 the work failed, 2 wrong usage."""
    try:
        args, unknown = parser().parse_known_args(argv)
        if unknown:
            args.command_parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    except KeyboardInterrupt:
        print("wherry: interrupted", file=sys.stderr)
        return 130
    if args.debug:
        return int(args.run(args))
    with _quiet():
        try:
            return int(args.run(args))
        except KeyboardInterrupt:
            print(f"wherry {args.command}: interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception as error:
            print(f"wherry {args.command}: {_line(error)}", file=sys.stderr)
            return 2 if isinstance(error, UsageError) else 1


def _line(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, MissingKernelError):
        first, *others = str(error).splitlines() or [""]
        return first + (f" (and {counted(len(others), 'more node')}; wherry scan lists all)" if others else "")
    if isinstance(error, WherryError):
        text = str(error)
    elif isinstance(error, FileNotFoundError) and error.filename:
        text = f"{error.filename}: there is no such file"
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror or error}"
    elif isinstance(error, MemoryError):
        text = "there is not enough memory"
    else:
        text = f"internal error, please report it with the output of --debug: {type(error).__name__}: {error}"
    return " ".join(text.split())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what TensorFlow's C++ side writes to file descriptor 2 away; Python's sys.stderr still goes there."""
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        before = sys.stderr
        before.flush()
        ours = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:  # stderr is closed: nobody listens
        yield
        return
    os.dup2(nowhere, 2)
    os.close(nowhere)
    own = before is sys.__stderr__
    if own:
        sys.stderr = os.fdopen(os.dup(ours), "w", buffering=1, errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if own:
            with suppress(OSError):
                sys.stderr.close()
            sys.stderr = before
        os.dup2(ours, 2)
        os.close(ours)
