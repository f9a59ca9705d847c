"""What wherry bench and wherry inspect say of a pack."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import support
from wherry.cli import main


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.pack(tmp_path_factory.mktemp("pack"), partitions=1)


def test_bench_says_what_was_measured_and_where(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(pack), "--threads", "2", "--memory-budget", "64 mb", "--runs", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pack"], found["threads"], found["memory_budget"]) == (str(pack), 2, 64_000_000)
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["machine"]["system"] and found["machine"]["processor"]
    assert len(found["seconds"]) == 2


def test_inspect_says_what_it_did_not_check(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(pack)]) == 0
    unchecked = capsys.readouterr().out
    assert unchecked.endswith("checksums of the weights were not looked at (--check does)\n")
    assert " in 1 partition\n" in unchecked
    assert re.search(r"  weights +[0-9.]+ [kM]?B in [0-9]+ segments, up to [0-9.]+ [kM]?B for a step\n", unchecked)
    assert ", 1.000 of what lives at one time\n" in unchecked
    assert main(["inspect", str(pack), "--check"]) == 0
    assert capsys.readouterr().out.endswith("every checksum is right\n")
