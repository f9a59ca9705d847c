"""Runs a Graph in stock TensorFlow, exactly as the graph says: the judge of every pass.

Grappler's rewriting is off, so that a fused node in the graph is the fused kernel in TensorFlow and nothing
else is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from wherry.errors import UsageError
from wherry.graph import Graph, Ref
from wherry.graph.convert import to_graphdef_and_feeds

FED_BEYOND = 256 << 20  # bytes of constants; a GraphDef of more is copied several times over by TensorFlow


def run_graph(
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    fetch: Iterable[Ref] | None = None,
    threads: int = 1,
    limit_bytes: int = FED_BEYOND,
) -> dict[str, np.ndarray]:
    """Runs a graph once. Without `fetch` the result is by output name, with it by the reference's spelling.

    inputs: by name in the signature; a name of a Placeholder node will do too.
    limit_bytes: constants beyond this many bytes are fed instead of being put into the GraphDef.
    """
    return TensorFlowSession(graph, fetch, threads, limit_bytes).run(inputs)


class TensorFlowSession:
    """A graph that stays loaded in TensorFlow, for more than one run."""

    def __init__(
        self,
        graph: Graph,
        fetch: Iterable[Ref] | None = None,
        threads: int = 1,
        limit_bytes: int = FED_BEYOND,
    ) -> None:
        import tensorflow as tf

        self._inputs = dict(graph.inputs)
        self._placeholders = {node.name for node in graph.by_op("Placeholder")}
        refs = dict(graph.outputs) if fetch is None else {str(ref): ref for ref in fetch}
        graph_def, feeds = to_graphdef_and_feeds(graph, limit_bytes)
        self._weights = {f"{name}:0": value.numpy() for name, value in feeds.items()}
        imported = tf.Graph()
        with imported.as_default():
            tf.graph_util.import_graph_def(graph_def, name="")
        self._fetches = {name: f"{ref.node}:{ref.index}" for name, ref in refs.items()}
        self._session = tf.compat.v1.Session(graph=imported, config=session_config(threads))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        feeds = dict(self._weights)
        for name, array in inputs.items():
            node = self._inputs.get(name, name)
            if node not in self._placeholders:
                raise UsageError(f"there is no input {name!r}; inputs are {sorted(self._inputs)}")
            feeds[f"{node}:0"] = array
        result: dict[str, np.ndarray] = self._session.run(self._fetches, feeds)
        return result

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> TensorFlowSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def session_config(threads: int = 1):  # type: ignore[no-untyped-def]
    """A ConfigProto that rewrites nothing and uses `threads` threads."""
    import tensorflow as tf
    from tensorflow.core.protobuf import rewriter_config_pb2

    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.rewrite_options.constant_folding = rewriter_config_pb2.RewriterConfig.OFF
    config.graph_options.optimizer_options.opt_level = tf.compat.v1.OptimizerOptions.L0
    config.graph_options.optimizer_options.do_function_inlining = False
    config.device_count["GPU"] = 0
    return config
