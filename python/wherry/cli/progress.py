"""What a command that takes minutes is doing, for who waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 20.0  # between lines where nothing can be overwritten, as in the log of a CI


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Gives a function that shows a text on stderr: in a terminal one line, which the next text overwrites and which is
    gone in the end; elsewhere a line now and then, and none in the first SECONDS."""
    terminal, shown = sys.stderr.isatty(), time.monotonic()

    def show(text: str) -> None:
        nonlocal shown
        if terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif text and time.monotonic() - shown >= SECONDS:
            shown = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        show("")
