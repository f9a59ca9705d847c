"""wherry doctor: what this machine has of what Wherry can use."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from typing import Any

from wherry.cli.common import add_json, print_json

# What it is for, by what is looked for.
_MODULES = {
    "tensorflow": "loads models and checks results", "numpy": "arrays", "jinja2": "renders headers",
    "cmake": "drives builds", "ninja": "runs builds", "ziglang": "cross compiler for every target",
    "ai_edge_litert": "peer in benchmarks",
}
_PROGRAMS = {"c++": "compiles for this machine", "qemu-aarch64-static": "runs 64-bit ARM programs here"}


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("doctor", help="say what this machine has")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    found = [_machine(), _native(), *(_module(n, u) for n, u in _MODULES.items())]
    found += [_program(n, u) for n, u in _PROGRAMS.items()]
    if args.json:
        print_json(found)
    else:
        for row in found:
            print(f"{'ok     ' if row['ok'] else 'missing'}  {row['name']:20} {row['found'] or '-':40} {row['use']}")
    return 0 if all(row["ok"] for row in found if row["needed"]) else 1


def _row(name: str, found: str, use: str, needed: bool = False) -> dict[str, Any]:
    return {"name": name, "ok": bool(found), "found": found, "use": use, "needed": needed}


def _machine() -> dict[str, Any]:
    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return _row("machine", found, "runs everything", True)


def _native() -> dict[str, Any]:
    try:
        from wherry import _native
    except ImportError:
        return _row("native module", "", "wherry.Executor; install the package again", True)
    isa = list(_native.isas())[-1]
    return _row("native module", f"{len(_native.kernel_keys())} kernels, {isa}", "wherry.Executor", True)


def _module(name: str, use: str) -> dict[str, Any]:
    if importlib.util.find_spec(name) is None:
        return _row(name, "", use, name in ("tensorflow", "numpy", "jinja2"))
    distribution = {"ai_edge_litert": "ai-edge-litert"}.get(name, name)
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "installed"
    return _row(name, version, use, name in ("tensorflow", "numpy", "jinja2"))


def _program(name: str, use: str) -> dict[str, Any]:
    return _row(name, shutil.which(name) or "", use)
