"""Bias correction of layers with 8-bit weights whose activations get codes as they run: see static/correct.py.

An LSTM's bias is corrected for its input and for its own state, of which the weight's first and last rows are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from wherry.graph import Graph, Node, Ref, Value
from wherry.graph.values import ArrayValue
from wherry.quantize.static import layers
from wherry.quantize.static.correct import Means, corrected_bias
from wherry.quantize.static.observe import Batches, visit

_LSTMS = frozenset({"BlockLSTM", "BlockLSTMV2"})
_X, _W, _B = 1, 4, 8  # inputs of an LSTM
_H = 6  # its output: the state after every step
_PRODUCTS = layers.LINEAR - layers.DEPTHWISE  # depthwise filters stay in float32


def input_means(graph: Graph, batches: Batches) -> dict[Ref, Means]:
    """The means over batches of what layers with a weight and a bias read, in an optimised float32 graph."""
    refs: dict[Ref, None] = {}
    for node in graph.topological():
        if node.op in _LSTMS:
            refs.update(dict.fromkeys((node.inputs[_X], Ref(node.name, _H))))
        elif layers.op_of(node) in _PRODUCTS and len(node.inputs) > 2:
            refs[node.inputs[0]] = None
    known = [ref for ref in refs if graph.type_of(ref).is_static and graph.const_value(ref) is None]
    sums: dict[Ref, np.ndarray] = {}
    counts: dict[Ref, int] = {}

    def see(ref: Ref, values: np.ndarray) -> None:
        flat = values.reshape(-1, values.shape[-1])
        sums[ref] = sums.get(ref, np.zeros(1)) + flat.sum(0, dtype=np.float64)
        counts[ref] = counts.get(ref, 0) + len(flat)

    visit(graph, known, batches, see)
    return {ref: Means(sums[ref] / counts[ref], sums[ref] / counts[ref]) for ref in sums if counts[ref]}


def correct_biases(
    graph: Graph, nodes: Iterable[Node], originals: Mapping[str, Value], means: Mapping[Ref, Means]
) -> dict[str, Value]:
    """Gives layers a bias of their own that makes up for what rounding their weights does on average.

    originals: name -> float32 value of each quantized constant. Returns the same of the biases that were made.
    """
    before: dict[str, Value] = {}
    for node in nodes:
        weight, bias = (_W, _B) if node.op in _LSTMS else (1, 2)
        if len(node.inputs) <= bias or node.inputs[weight].node not in originals:
            continue
        held = graph.const_value(node.inputs[bias])
        corrected = _corrected(graph, node, originals[node.inputs[weight].node], means)
        if held is None or corrected is None or corrected.shape != held.type.shape:
            continue
        made = graph.add_const(f"{node.name}/bias", ArrayValue(corrected))
        graph.nodes[made.node].num_outputs = 1
        node.inputs[bias] = made
        before[made.node] = held
    return before


def _corrected(graph: Graph, node: Node, original: Value, means: Mapping[Ref, Means]) -> np.ndarray | None:
    rounded = graph.const_value(node.inputs[_W if node.op in _LSTMS else 1])
    assert rounded is not None
    pair = original.numpy(), rounded.numpy()
    if node.op not in _LSTMS:
        if node.attrs.get("transpose_b"):
            pair = pair[0].T, pair[1].T
        return corrected_bias(graph, node, *pair, means, codes=False)
    held = graph.const_value(node.inputs[_B])
    found = [means.get(ref) for ref in (node.inputs[_X], Ref(node.name, _H))]
    if held is None or found[0] is None or found[1] is None:
        return None
    mean = np.concatenate([found[0].values, found[1].values])
    corrected: np.ndarray = (held.numpy() + (mean @ pair[0] - mean @ pair[1])).astype(np.float32)
    return corrected
