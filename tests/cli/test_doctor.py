"""What `wherry doctor` says of this machine, and of one that lacks something."""

from __future__ import annotations

import importlib.util
import json
import shutil
from importlib.metadata import version

import pytest
from wherry import _native
from wherry.cli import main


def _rows(capsys: pytest.CaptureFixture[str], status: int = 0) -> dict[str, dict[str, object]]:
    assert main(["doctor", "--json"]) == status
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    rows = _rows(capsys)
    assert rows["numpy"]["found"] == version("numpy") and rows["tensorflow"]["found"] == version("tensorflow")
    assert rows["native module"]["found"] == f"{len(_native.kernel_keys())} kernels, {list(_native.isas())[-1]}"
    assert rows["c++"]["found"] == (shutil.which("c++") or "")
    assert all(row["ok"] == bool(row["found"]) for row in rows.values())
    assert main(["doctor"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


@pytest.mark.parametrize(("name", "status"), [("jinja2", 1), ("ziglang", 0)])
def test_what_is_missing(
    name: str, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is 1 where a thing is missing that nothing works without."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == name else find(wanted))
    row = _rows(capsys, status)[name]
    assert (row["ok"], row["found"]) == (False, "")
    assert main(["doctor"]) == status
    assert any(line.startswith(f"missing  {name} ") for line in capsys.readouterr().out.splitlines())
