"""Table 1 of the paper (Proceedings 2018, 2, 550) for any model, with a row for Wherry.

Memory, loading, inference, overhead and total of one use, and size on disk: of the model as it is, with the paper's
standard optimisations, with those in partitions, all in TensorFlow, and in Wherry.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wherry.bench.prepare import Prepared, Setting
from wherry.text import counted

PARTITIONS = 11  # the paper's


def table_1(setting: Setting, partitions: int, runs: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Rows in the paper's order, as `Way.row` makes them. All is prepared before anything is measured."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as folder:
        progress("preparing the model")
        prepared = Prepared(setting, Path(folder))
        cut = counted(partitions, "partition")
        ways = [
            prepared.as_is(),
            prepared.tensorflow("standard optimisations", 1),
            prepared.tensorflow(cut, partitions) if partitions != 1 else None,
            prepared.wherry(cut, partitions)[0],
        ]
        return [way.row(runs, progress) for way in ways if way is not None]
