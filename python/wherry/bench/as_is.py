"""A model as TensorFlow itself opens and runs it: the first row of the paper's Table 1.

Nothing of Wherry's compiler has touched it; TensorFlow's own rewriting is left as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


def open_as_is(path: Path, signature: str | None, outputs: Sequence[str], threads: int) -> Run:
    """Opens a path that `wherry.load` reads. The Run takes inputs by the names that `wherry.load` gives them.

    outputs: of a GraphDef, which does not say itself what its outputs are; other models give all that they have.
    threads: for a GraphDef, whose session has its own; other models take what tf.config was told.
    """
    if path.name in ("saved_model.pb", "saved_model.pbtxt"):
        path = path.parent
    if path.is_dir():
        return _saved_model(path, signature)
    if path.suffix in (".pb", ".pbtxt"):
        return _graph_def(path, outputs, threads)
    return _keras(path)


def _saved_model(path: Path, signature: str | None) -> Run:
    import tensorflow as tf

    from wherry.frontend.savedmodel import DEFAULT_SIGNATURE

    model = tf.saved_model.load(str(path))
    function = model.signatures[signature or DEFAULT_SIGNATURE]

    def run(inputs: Mapping[str, np.ndarray], _keep: Any = model) -> list[np.ndarray]:
        return [tensor.numpy() for tensor in function(**{k: tf.constant(v) for k, v in inputs.items()}).values()]

    return run


def _keras(path: Path) -> Run:
    import tensorflow as tf

    from wherry.frontend.keras_model import read, traced

    function, signature = traced(read(path), path.stem)
    names = [tensor.op.name for tensor in function.inputs[: len(function.inputs) - len(function.captured_inputs)]]

    def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        arguments = tf.nest.pack_sequence_as(signature, [tf.constant(inputs[name]) for name in names])
        return [tensor.numpy() for tensor in tf.nest.flatten(function(*arguments))]

    return run


def _graph_def(path: Path, outputs: Sequence[str], threads: int) -> Run:
    import tensorflow as tf

    from wherry.frontend import graphdef

    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(graphdef.read(path), name="")
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=1)
    session = tf.compat.v1.Session(graph=graph, config=config)
    fetches = [name if ":" in name else f"{name}:0" for name in outputs]

    def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results: list[np.ndarray] = session.run(fetches, {f"{name}:0": array for name, array in inputs.items()})
        return results

    return run
