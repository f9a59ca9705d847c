"""The page says what a benchmark's JSON says: units at the values, repeated measurements as median and range."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wherry.errors import PackError
from wherry.report.page import describe, render
from wherry.report.words import shown, words


@pytest.mark.parametrize(
    ("key", "value", "name", "text"),
    [
        ("load_seconds", 0.01234, "load", "12.3 ms"),
        ("seconds", [0.004, 0.002, 0.003], "inference", "median 3 ms, from 2 ms to 4 ms, of 3"),
        ("peak_bytes", 1_234_567, "memory held at most", "1.2 MB"),
        ("memory_budget", 64_000_000, "memory budget", "64.0 MB"),
        ("grown_bytes", None, "process grew by", ""),
        ("total_seconds", 12, "total", "12 s"),
        ("file_bytes", 999, "file", "999 B"),
        ("cores", 2, "cores", "2"),
        ("exact", True, "exact", "true"),
        ("shape", [1, 2, 3], "shape", "[1, 2, 3]"),
        ("names", ["a"], "names", '["a"]'),
    ],
)
def test_words(key: str, value: object, name: str, text: str) -> None:
    assert words(key) == name
    assert shown(key, value) == text


def test_page_of_a_measurement(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({
        "pack": "a.wherry", "seconds": [0.001, 0.002, 0.009], "machine": {"processor": "A & B", "cores": 2},
        "models": [{"model": "x", "median_seconds": 0.5, "file_bytes": 2000}],
    }))
    page = render([describe(path)])
    for part in (
        "<th>inference</th><td>median 2 ms, from 1 ms to 9 ms, of 3</td>",
        "A &amp; B", "<th>inference, median</th>", "500 ms",
        "2.0 kB",
    ):
        assert part in page


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"x\.json: there is no such file$"):
        describe(tmp_path / "x.json")
