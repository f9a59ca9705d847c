"""Who waits is told what for: in a terminal in one line, in a log now and then."""

from __future__ import annotations

import pytest
from wherry.cli import progress as module
from wherry.cli.progress import progress


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with progress() as show:
        for step in range(10):
            show(f"compiling: {step} of 10")
            now += 7.0
    assert capsys.readouterr().err == "".join(f"compiling: {step} of 10\n" for step in (3, 6, 9))


def test_a_terminal_has_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress() as show:
        show("configuring")
        show("compiling")
    assert capsys.readouterr().err == "\r\033[Kconfiguring\r\033[Kcompiling\r\033[K"
