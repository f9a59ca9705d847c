"""Bias correction of layers with 8-bit weights whose activations get codes as they run: see static/correct.py.

An LSTM's bias is corrected for its input and for its own state, of which the weight's first and last rows are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from wherry.graph import Graph, Node, Ref, Value
from wherry.graph.values import ArrayValue
from wherry.quantize.static import layers
from wherry.quantize.static.correct import Means, corrected_biases
from wherry.quantize.static.observe import Batches, visit

_LSTMS = frozenset({"BlockLSTM", "BlockLSTMV2"})
_X, _W, _B = 1, 4, 8  # inputs of an LSTM
_H = 6  # its output: the state after every step
_PRODUCTS = layers.LINEAR - layers.DEPTHWISE  # depthwise filters stay in float32


def positions(node: Node) -> tuple[int, int]:
    """Which inputs of a layer are its weight and its bias."""
    return (_W, _B) if node.op in _LSTMS else (1, 2)


def inputs_of_layers(graph: Graph) -> list[Ref]:
    """What layers with a weight and a bias read, in an optimised float32 graph: tensors whose means are wanted."""
    refs: dict[Ref, None] = {}
    for node in graph.topological():
        if node.op in _LSTMS:
            refs.update(dict.fromkeys((node.inputs[_X], Ref(node.name, _H))))
        elif layers.op_of(node) in _PRODUCTS and len(node.inputs) > 2:
            refs[node.inputs[0]] = None
    return [ref for ref in refs if graph.type_of(ref).is_static and graph.const_value(ref) is None]


def input_means(graph: Graph, batches: Batches) -> dict[Ref, Means]:
    """The means over batches of `inputs_of_layers`."""
    sums: dict[Ref, np.ndarray] = {}
    counts: dict[Ref, int] = {}

    def see(ref: Ref, values: np.ndarray) -> None:
        flat = values.reshape(-1, values.shape[-1])
        sums[ref] = sums.get(ref, np.zeros(1)) + flat.sum(0, dtype=np.float64)
        counts[ref] = counts.get(ref, 0) + len(flat)

    visit(graph, inputs_of_layers(graph), batches, see)
    return {ref: Means(sums[ref] / counts[ref], sums[ref] / counts[ref]) for ref in sums if counts[ref]}


def correct_biases(
    graph: Graph, nodes: Iterable[Node], originals: Mapping[str, Value], means: Mapping[Ref, Means]
) -> dict[str, Value]:
    """Gives layers a bias of their own that makes up for what rounding their weights does on average.

    originals: name -> float32 value of each quantized constant. Returns the same of the biases that were made.
    """
    before: dict[str, Value] = {}
    for node in nodes:
        weight, bias = positions(node)
        if len(node.inputs) <= bias or node.inputs[weight].node not in originals:
            continue
        held, rounded = graph.const_value(node.inputs[bias]), graph.const_value(node.inputs[weight])
        assert rounded is not None
        pair = originals[node.inputs[weight].node].numpy(), rounded.numpy()
        if node.attrs.get("transpose_b"):
            pair = pair[0].T, pair[1].T
        corrected = biases_of(graph, node, *pair, means)
        if held is None or corrected is None or corrected[1].shape != held.type.shape:
            continue
        made = graph.add_const(f"{node.name}/bias", ArrayValue(corrected[1]))
        graph.nodes[made.node].num_outputs = 1
        node.inputs[bias] = made
        before[made.node] = held
    return before


def biases_of(
    graph: Graph, node: Node, weight: np.ndarray, rounded: np.ndarray, means: Mapping[Ref, Means]
) -> tuple[np.ndarray, np.ndarray] | None:
    """As `corrected_biases`, of LSTMs too, which never read codes of a fixed scale."""
    if node.op not in _LSTMS:
        return corrected_biases(graph, node, weight, rounded, means)
    held = graph.const_value(node.inputs[_B])
    x, h = (means.get(ref) for ref in (node.inputs[_X], Ref(node.name, _H)))
    if held is None or x is None or h is None:
        return None
    mean = np.concatenate([x.values, h.values])
    bias = (held.numpy() + (mean @ weight - mean @ rounded)).astype(np.float32)
    return bias, bias
