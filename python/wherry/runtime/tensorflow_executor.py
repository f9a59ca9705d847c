"""TensorFlowExecutor: the paper's way of running a network in partitions, through stock TensorFlow.

Each partition is a GraphDef of its own on disk. A run reads, imports and runs one after another in a session that is
closed before the next is opened; tensors that cross are kept in between (Proceedings 2018, 2, 550, section on
partitioning). It is the baseline that the C++ runtime is measured against.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from wherry.errors import UsageError
from wherry.graph import Graph, Ref, TensorType


@dataclass
class TensorFlowStats:
    """Of the last run: load_seconds reading and importing graphs, inference_seconds inside sessions, total_seconds."""

    load_seconds: float = 0.0
    inference_seconds: float = 0.0
    total_seconds: float = 0.0
    runs: int = 0
    partitions: int = 0
    file_bytes: int = 0


@dataclass(frozen=True)
class _Part:
    path: Path
    takes: dict[str, Ref]
    gives: list[Ref]


class TensorFlowExecutor:
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
        from wherry.graph.convert import to_graphdef
        from wherry.plan.lower import lower
        from wherry.plan.partition import by_count
        from wherry.plan.subgraphs import split
        from wherry.quantize import parse_scheme, quantize_weights

        graph = model if isinstance(model, Graph) else optimised(model, **load_options)
        scheme = parse_scheme(quantize)
        if scheme is not None:
            quantize_weights(graph, scheme)
        program = lower(graph)
        cut = by_count(program, partitions)
        self._threads = threads
        self._temporary = tempfile.TemporaryDirectory(prefix="wherry-") if folder is None else None
        place = Path(self._temporary.name if self._temporary is not None else str(folder))
        place.mkdir(parents=True, exist_ok=True)
        self._input_refs = {name: Ref(node) for name, node in graph.inputs.items()}
        self._output_refs = dict(graph.outputs)
        self.inputs: dict[str, TensorType] = {name: graph.type_of(ref) for name, ref in self._input_refs.items()}
        self.outputs: dict[str, TensorType] = {name: graph.type_of(ref) for name, ref in self._output_refs.items()}
        self._constants: dict[Ref, np.ndarray] = {}
        for ref in self._output_refs.values():
            value = graph.const_value(ref)
            if value is not None:
                self._constants[ref] = value.numpy()
        self._parts: list[_Part] = []
        for number, part in enumerate(split(graph, program, cut)):
            path = place / f"partition_{number:03}.pb"
            path.write_bytes(to_graphdef(part.graph).SerializeToString())
            self._parts.append(_Part(path, part.takes, part.gives))
        self.stats = TensorFlowStats(
            partitions=len(self._parts), file_bytes=sum(part.path.stat().st_size for part in self._parts)
        )

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model once. Raises UsageError for a wrong name, shape or type."""
        held: dict[Ref, np.ndarray] = dict(self._constants)
        for name in inputs:
            if name not in self.inputs:
                raise UsageError(f"there is no input {name!r}; the inputs are {', '.join(map(repr, self.inputs))}")
        for name, kind in self.inputs.items():
            if name not in inputs:
                raise UsageError(f"the input {name!r} ({kind}) is missing")
            array = np.asarray(inputs[name])
            if array.dtype != kind.dtype.numpy or array.shape != kind.shape:
                raise UsageError(f"the input {name!r} is {array.dtype}{array.shape}, the model takes {kind}")
            held[self._input_refs[name]] = array
        start = time.perf_counter()
        load = inference = 0.0
        last_use = _last_uses(self._parts, self._output_refs.values())
        for number, part in enumerate(self._parts):
            loaded, ran = self._run_part(part, held)
            load += loaded
            inference += ran
            for ref in [ref for ref, last in last_use.items() if last == number]:
                held.pop(ref, None)
        self.stats.load_seconds, self.stats.inference_seconds = load, inference
        self.stats.total_seconds = time.perf_counter() - start
        self.stats.runs += 1
        return {name: held[ref] for name, ref in self._output_refs.items()}

    def _run_part(self, part: _Part, held: dict[Ref, np.ndarray]) -> tuple[float, float]:
        import tensorflow as tf

        from wherry.runtime.tensorflow_runner import session_config

        start = time.perf_counter()
        graph_def = tf.compat.v1.GraphDef()
        graph_def.ParseFromString(part.path.read_bytes())
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(graph_def, name="")
        del graph_def
        with tf.compat.v1.Session(graph=graph, config=session_config(self._threads)) as session:
            loaded = time.perf_counter()
            feeds = {f"{name}:0": held[ref] for name, ref in part.takes.items()}
            results = session.run([f"{ref.node}:{ref.index}" for ref in part.gives], feeds)
        held.update(zip(part.gives, results, strict=True))
        ran = time.perf_counter()
        del session, graph
        gc.collect()
        return loaded - start, ran - loaded

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


def _last_uses(parts: Sequence[_Part], outputs: Any) -> dict[Ref, int]:
    """Crossing tensor -> the last partition that takes it. Outputs of the model are kept."""
    last = {ref: number for number, part in enumerate(parts) for ref in part.takes.values()}
    for ref in outputs:
        last.pop(ref, None)
    return last
