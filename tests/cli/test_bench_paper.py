"""wherry bench --paper and --sweep, from the command line on."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import support
import wherry
from wherry.cli import main
from wherry.graph.convert import to_graphdef

TIMES = ("load_seconds", "inference_seconds", "overhead_seconds")


def check(row: dict[str, Any], runs: int) -> None:
    """All is there, above 0, and adds up."""
    for key in (*TIMES, "total_seconds", "memory_bytes"):
        spread = row[key]
        assert len(spread["values"]) == runs
        assert spread["mean"] == pytest.approx(np.mean(spread["values"]))
        assert all(value > 0 for value in spread["values"]), (row["name"], key)
        deviation = np.std(spread["values"], ddof=1) if runs > 1 else 0
        assert spread["deviation"] == pytest.approx(deviation)
    for *parts, total in zip(*(row[key]["values"] for key in (*TIMES, "total_seconds")), strict=True):
        assert math.fsum(parts) == pytest.approx(total)
    assert row["disk_bytes"] > 0


def test_table_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "small.keras"
    support.network().save(model)
    assert main(["bench", "--paper", str(model), "--partitions", "3", "--runs", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["runs"], found["threads"]) == (str(model), 2, 1)
    assert found["machine"]["processor"]
    ways = [(row["name"], row["program"], row["partitions"], row["quantize"]) for row in found["rows"]]
    assert ways == [
        ("as is", "TensorFlow", None, None),
        ("standard optimisations", "TensorFlow", 1, "minmax:8"),
        ("3 partitions", "TensorFlow", 3, "minmax:8"),
        ("3 partitions", "Wherry", 3, "int8"),
    ]
    for row in found["rows"]:
        check(row, 2)
    as_is, *_, ours = found["rows"]
    assert as_is["disk_bytes"] == model.stat().st_size
    assert as_is["memory_budget"] is None and ours["memory_budget"] > 0
    assert ours["total_seconds"]["mean"] < as_is["total_seconds"]["mean"]
    assert list(tmp_path.iterdir()) == [model]


def test_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "small.pb"
    model.write_bytes(to_graphdef(wherry.load(support.network())).SerializeToString())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    command = ["bench", "--sweep", str(model), "-o", str(pictures), "--counts", "999,2", "--runs", "1", "--json"]
    assert main([*command, "--quantize", "none"]) == 0
    found = json.loads(capsys.readouterr().out)
    steps = found["rows"][-1]["partitions"]
    ways = [(row["program"], row["partitions"]) for row in found["rows"]]
    assert ways == [("TensorFlow", 2), ("Wherry", 2), ("TensorFlow", steps), ("Wherry", steps)]
    assert 10 < steps < 999, "as many as the model has steps"
    for row in found["rows"]:
        check(row, 1)
    assert found["pictures"] == [str(pictures / "sweep.png"), str(pictures / "sweep.svg")]
    assert sorted(path.name for path in pictures.iterdir()) == ["sweep.png", "sweep.svg"]
    _check_png(pictures / "sweep.png")
    text = " ".join(ElementTree.parse(pictures / "sweep.svg").getroot().itertext())
    for words in ("loading", "inference", "overhead", "partitions", "small.pb", "Wherry", "TensorFlow", "MB"):
        assert words in text


def _check_png(path: Path) -> None:
    """It is one, of a size to look at, and shows more than a page of one colour."""
    from matplotlib.image import imread

    pixels = imread(path)
    assert pixels.shape[0] > 800 and pixels.shape[1] > 1000
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 100


def test_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "--sweep", str(tmp_path), "-o", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "wherry bench: drawing needs matplotlib, which is not installed: pip install 'wherry[bench]'"
