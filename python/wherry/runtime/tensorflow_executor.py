"""TensorFlowExecutor: the paper's way of running a network in partitions, through stock TensorFlow, from a model on.

It is the baseline that the C++ runtime is measured against.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from wherry.graph import Graph
from wherry.runtime.tensorflow_partitions import TensorFlowPartitions, write_partitions


class TensorFlowExecutor(TensorFlowPartitions):
    """Runs a model in partitions, one TensorFlow session after another.

    model: what `wherry.load` takes, or a Graph (then it is used as it is: optimise it first)
    partitions: how many; cut where `wherry.compile(..., partitions=n)` cuts
    quantize: as for `wherry.compile`; TensorFlow turns the codes back when a partition runs
    folder: where the partitions' graphs are kept; a temporary one by default
    """

    def __init__(
        self,
        model: Any,
        partitions: int = 1,
        threads: int = 1,
        quantize: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        **load_options: Any,
    ) -> None:
        from wherry.compiler import optimised
        from wherry.plan.lower import lower
        from wherry.quantize import parse_scheme, quantize_weights

        graph = model if isinstance(model, Graph) else optimised(model, **load_options)
        scheme = parse_scheme(quantize)
        if scheme is not None:
            quantize_weights(graph, scheme)
        self._temporary = tempfile.TemporaryDirectory(prefix="wherry-") if folder is None else None
        place = Path(self._temporary.name if self._temporary is not None else str(folder))
        place.mkdir(parents=True, exist_ok=True)
        write_partitions(graph, lower(graph), partitions, place)
        super().__init__(place, threads)

    def close(self) -> None:
        """Deletes the partitions' graphs, if they are in a temporary folder."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> TensorFlowExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
