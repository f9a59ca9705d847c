"""A model in partitions for stock TensorFlow, as the paper cuts and runs it (Proceedings 2018, 2, 550, section on
partitioning).

Each partition is a GraphDef of its own in a folder, beside a list of what it takes and gives. A run reads, imports and
runs one after another in a session that is closed before the next is opened; tensors that cross are kept in between.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wherry.errors import UsageError
from wherry.graph import DType, Graph, Ref, TensorType
from wherry.plan.program import Program

LIST = "partitions.json"
CONSTANTS = "constants.npz"  # outputs of the model that depend on no input


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
    """takes: placeholder -> tensor, gives: tensors. A tensor is spelled node:index, as TensorFlow does."""

    path: Path
    takes: dict[str, str]
    gives: list[str]


def _tensor(ref: Ref) -> str:
    return f"{ref.node}:{ref.index}"


def _listed(graph: Graph, ref: Ref) -> tuple[str, int, list[int | None] | None]:
    kind = graph.type_of(ref)
    return _tensor(ref), int(kind.dtype), None if kind.shape is None else list(kind.shape)


def write_partitions(graph: Graph, program: Program, count: int, folder: Path) -> None:
    """Writes a graph into an existing folder, cut where a pack of `count` partitions of its program is cut.

    Raises UsageError when the program has fewer steps, WherryError when a partition passes TensorFlow's limit of 2 GB.
    """
    from wherry.graph.convert import to_graphdef
    from wherry.plan.partition import by_count
    from wherry.plan.subgraphs import split

    parts = []
    for number, part in enumerate(split(graph, program, by_count(program, count))):
        name = f"partition_{number:03}.pb"
        (folder / name).write_bytes(to_graphdef(part.graph).SerializeToString())
        takes = {placeholder: _tensor(ref) for placeholder, ref in part.takes.items()}
        parts.append({"file": name, "takes": takes, "gives": [_tensor(ref) for ref in part.gives]})
    constants = {ref: value for ref in graph.outputs.values() if (value := graph.const_value(ref)) is not None}
    np.savez(folder / CONSTANTS, *[value.numpy() for value in constants.values()])
    listed = {
        "inputs": {name: _listed(graph, Ref(node)) for name, node in graph.inputs.items()},
        "outputs": {name: _listed(graph, ref) for name, ref in graph.outputs.items()},
        "constants": [_tensor(ref) for ref in constants],
        "partitions": parts,
    }
    (folder / LIST).write_text(json.dumps(listed))


class TensorFlowPartitions:
    """Runs what `write_partitions` left in a folder. Nothing but the list is read before a run."""

    def __init__(self, folder: str | os.PathLike[str], threads: int = 1) -> None:
        place = Path(folder)
        listed = json.loads((place / LIST).read_text())
        self._threads = threads
        self._inputs = {name: tensor for name, (tensor, _, _) in listed["inputs"].items()}
        self._outputs = {name: tensor for name, (tensor, _, _) in listed["outputs"].items()}
        self.inputs, self.outputs = _types(listed["inputs"]), _types(listed["outputs"])
        with np.load(place / CONSTANTS) as file:
            self._constants = {tensor: file[f"arr_{i}"] for i, tensor in enumerate(listed["constants"])}
        self._parts = [_Part(place / part["file"], part["takes"], part["gives"]) for part in listed["partitions"]]
        self.stats = TensorFlowStats(
            partitions=len(self._parts), file_bytes=sum(part.path.stat().st_size for part in self._parts)
        )

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model once. Raises UsageError for a wrong name, shape or type."""
        held = {**self._constants, **self._checked(inputs)}
        start = time.perf_counter()
        load = inference = 0.0
        last_use = self._last_uses()
        for number, part in enumerate(self._parts):
            loaded, ran = self._run_part(part, held)
            load += loaded
            inference += ran
            for tensor in [tensor for tensor, last in last_use.items() if last == number]:
                held.pop(tensor, None)
        self.stats.load_seconds, self.stats.inference_seconds = load, inference
        self.stats.total_seconds = time.perf_counter() - start
        self.stats.runs += 1
        return {name: held[tensor] for name, tensor in self._outputs.items()}

    def _checked(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Input tensors by their spelling."""
        for name in inputs:
            if name not in self.inputs:
                raise UsageError(f"there is no input {name!r}; the inputs are {', '.join(map(repr, self.inputs))}")
        arrays = {}
        for name, kind in self.inputs.items():
            if name not in inputs:
                raise UsageError(f"the input {name!r} ({kind}) is missing")
            array = np.asarray(inputs[name])
            if array.dtype != kind.dtype.numpy or array.shape != kind.shape:
                raise UsageError(f"the input {name!r} is {array.dtype}{array.shape}, the model takes {kind}")
            arrays[self._inputs[name]] = array
        return arrays

    def _run_part(self, part: _Part, held: dict[str, np.ndarray]) -> tuple[float, float]:
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
            feeds = {f"{name}:0": held[tensor] for name, tensor in part.takes.items()}
            results = session.run(part.gives, feeds)
        held.update(zip(part.gives, results, strict=True))
        ran = time.perf_counter()
        del session, graph
        gc.collect()
        return loaded - start, ran - loaded

    def _last_uses(self) -> dict[str, int]:
        """Crossing tensor -> the last partition that takes it. Outputs of the model are kept."""
        last = {tensor: number for number, part in enumerate(self._parts) for tensor in part.takes.values()}
        for tensor in self._outputs.values():
            last.pop(tensor, None)
        return last


def _types(listed: Mapping[str, tuple[str, int, list[int] | None]]) -> dict[str, TensorType]:
    return {
        name: TensorType(DType(dtype), None if shape is None else tuple(shape))
        for name, (_, dtype, shape) in listed.items()
    }
