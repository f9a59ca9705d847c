"""Targets: every file of build_configs/targets is sound, and what is not a target is said so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wherry.build.targets import load_target, parse_target, target_names, targets
from wherry.cli import main
from wherry.errors import UsageError

DATA = {"description": "d", "toolchain": "t.cmake", "isas": ["a"], "static_runner": True, "emulator": ["e", "-x"]}


def test_every_target_is_sound() -> None:
    assert {"host", "linux-arm", "linux-arm64"} <= set(target_names())
    for target in targets():
        assert target.description and "\n" not in target.description
        assert target.toolchain is None or target.toolchain.is_file()


def test_host_uses_the_machines_compiler_and_arm_uses_zig() -> None:
    assert load_target("host").toolchain is None and not load_target("host").needs_zig
    arm = load_target("linux-arm64")
    assert arm.needs_zig and arm.static_runner and arm.emulator == ("qemu-aarch64-static",)
    assert arm.isas == ("dotprod", "fp16", "i8mm")


def test_unknown_target() -> None:
    with pytest.raises(UsageError, match="no target 'toaster'; the targets are host, linux-arm, linux-arm64"):
        load_target("toaster")


def test_a_targets_file_has_every_entry_and_no_other() -> None:
    target = parse_target("x", DATA, Path("/toolchains"))
    assert target.toolchain == Path("/toolchains/t.cmake") and target.emulator == ("e", "-x")
    with pytest.raises(KeyError):
        parse_target("x", {k: v for k, v in DATA.items() if k != "isas"}, Path())
    with pytest.raises(TypeError):
        parse_target("x", {**DATA, "colour": "red"}, Path())


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["targets"]] == list(target_names())
    assert main(["targets"]) == 0
    assert capsys.readouterr().out.count("\n") == len(target_names())
