"""Figure 4 of the paper (Proceedings 2018, 2, 550) for any model: what a use costs over the number of partitions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wherry.bench.prepare import Prepared, Setting
from wherry.text import counted

COUNTS = (1, 2, 5, 11, 20, 35, 50)


def clipped(counts: Sequence[int], steps: int) -> list[int]:
    """Counts in rising order, none above the number of steps, each once."""
    return sorted({min(count, steps) for count in counts})


def sweep(setting: Setting, counts: Sequence[int], runs: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """For each count a row of TensorFlow's and one of Wherry's, as `Way.row` makes them."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="wherry-") as place:
        folder = Path(place)
        progress("preparing the model")
        prepared = Prepared(setting, folder)
        left = clipped(counts, prepared.steps)
        while left:
            count = left.pop(0)
            name = counted(count, "partition")
            progress(f"{name}: preparing")
            wherry, steps = prepared.wherry(name, count)
            left = [more for more in clipped(left, steps) if more > count]
            rows += [way.row(runs, progress) for way in (prepared.tensorflow(name, count), wherry)]
            prepared.discard()
    return rows
