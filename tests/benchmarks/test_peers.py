"""The arithmetic of bench-peers: which program counts, against whom it is held, and what falls short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import conversions
from benchmarks.peers.figures import Case, Key, fastest, figures, network_table
from benchmarks.peers.networks import NETWORKS, nchw, relative_difference
from benchmarks.peers.run import Benchmark, wrong

LSTM = NETWORKS["lstm"]


def case(*seconds: float, difference: float = 1e-6, load: float = 0.001) -> Case:
    conversion = {"weight_bytes": 10_000_000, "arena_bytes": 1_000_000, "file_bytes": 11_000_000}
    rounds = [
        {
            "inference_seconds": s, "load_seconds": load, "first_inference_seconds": s,
            "peak_added_bytes": 12_000_000, "difference": difference,
        }
        for s in seconds
    ]  # fmt: skip
    return Case(conversion, rounds)


def key(peer: str, kind: str = "float32", threads: int = 1) -> Key:
    return Key("lstm", kind, threads, peer)


def test_a_ratio_is_of_medians_over_rounds_and_to_the_fastest_peer() -> None:
    cases = {key("Wherry"): case(0.5, 9.0, 0.5), key("A"): case(2.0, 1.0, 1.0), key("B"): case(0.8, 3.0, 3.0)}
    assert fastest(cases, "lstm", "float32", 1, ["A", "B"]) == ("A", 1.0)
    rows = {row.name: row for row in figures(cases, [LSTM], ["float32"], [1], ["A", "B"])}
    ratio = rows[f"{LSTM.title} float32, 1 thread"]
    assert (ratio.measured, ratio.wanted, ratio.unit, ratio.reached) == (0.5, 0.6, "of A", True)
    assert rows[f"{LSTM.title} float32 memory"].reached  # 12 MB of 10 + 1 + 2


def test_what_could_not_be_measured_is_short() -> None:
    rows = figures({key("A"): case(1.0)}, [LSTM], ["float32"], [1], ["A"])
    assert rows
    assert not any(row.reached for row in rows)


def test_a_kind_without_figures_is_left_out() -> None:
    assert figures({}, [LSTM], ["static"], [1, 2], ["A"]) == []


def test_8_bit_accuracy_is_a_figure_of_8_bit_kinds_only() -> None:
    cases = {key("Wherry", kind): case(1.0, difference=0.03) for kind in ("float32", "dynamic")}
    short = [row.name for row in figures(cases, [LSTM], ["float32", "dynamic"], [1], []) if not row.reached]
    assert short == [f"{LSTM.title} 8-bit weights difference"]


def test_the_table_has_a_line_for_every_program_even_without_a_result() -> None:
    lines = network_table({key("A"): case(1.0)}, LSTM, ["float32"], [1], ["A", "B"]).splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == ["float32: A", "float32: B"]


@pytest.mark.parametrize(
    ("difference", "kind", "out"),
    [(9e-4, "float32", False), (2e-3, "float32", True), (0.2, "dynamic", False), (float("nan"), "static", True)],
)
def test_a_program_that_computes_something_else_is_out(difference: float, kind: str, out: bool) -> None:
    assert bool(wrong({"difference": difference}, kind)) == out


def test_the_difference_is_relative_to_the_largest_output() -> None:
    expected = [np.array([[1.0, -4.0]], np.float32), np.array([[0.0, 2.0]], np.float32)]
    assert relative_difference([y + np.float32(0.5) for y in expected], expected) == pytest.approx(0.125)
    assert relative_difference([y * np.float32(np.nan) for y in expected], expected) == float("inf")
    with pytest.raises(ValueError, match="an output of shape"):
        relative_difference([y[:, :1] for y in expected], expected)


def test_images_are_turned_and_sequences_are_not() -> None:
    assert nchw(np.zeros((1, 5, 7, 3), np.float32)).shape == (1, 3, 5, 7)
    assert nchw(np.zeros((1, 5, 7), np.float32)).shape == (1, 5, 7)


def test_a_program_that_fails_once_is_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = (conversions.WHERRY, conversions.PEERS[0])
    benchmark = Benchmark([LSTM], ["float32"], [1], programs)
    benchmark.cases = {key(program.name): Case({}) for program in programs}
    results: dict[str, dict[str, Any]] = {
        "Wherry": {"inference_seconds": 1.0, "difference": 0.0},
        "LiteRT": {"inference_seconds": 0.1, "difference": 1.0},
    }
    monkeypatch.setattr("benchmarks.peers.run.run_once", lambda program, key, seconds: results[program.name])
    benchmark.round(0, 0.1)
    assert list(benchmark.cases) == [key("Wherry")]
    assert [(entry.peer, entry.reason[:24]) for entry in benchmark.not_done] == [("LiteRT", "computes something else:")]


def test_a_record_is_used_until_its_key_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"file_bytes": 5, "key": "old"}))

    def no_process(*arguments: Any, **named: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("benchmarks.common.run_case", no_process)
    assert conversions._made(record, "old", "peer", "convert") == {"file_bytes": 5}
    with pytest.raises(AssertionError):
        conversions._made(record, "new", "peer", "convert")
