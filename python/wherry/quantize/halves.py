"""Which layers with float16 weights multiply in half precision, and how far their activations may go.

A half ends at 65504. The runtime adds FOLD products of halves before it goes on in float32, so a layer's activations
are clamped to where no such sum can leave the range, whatever the inputs: HALF_LIMIT says where. Networks whose
activations come near it show that as an error on the samples, and keep float arithmetic for that layer.
"""

from __future__ import annotations

import numpy as np

from wherry.graph import Graph, Node, QuantizedValue
from wherry.ops.catalog import catalog
from wherry.ops.rules import HALF_LIMIT, WeightUse, composite_op, rule_for

FOLD = 64  # kHalfFold of cpp/math/hgemm_multiply.h
LARGEST = float(np.finfo(np.float16).max)
# Layers that would clamp activations below this keep float arithmetic: samples may not show what other inputs do.
LEAST_LIMIT = 256.0


def half_layers(graph: Graph) -> list[Node]:
    """The nodes that could multiply in half precision: products and convolutions with float16 weights.

    Each gets the attribute HALF_LIMIT, which does nothing until set_arithmetic() chooses the node.
    """
    found = []
    for node in graph.topological():
        weight = _weight(graph, node)
        if weight is None:
            continue
        limit = half_limit(weight)
        if limit >= LEAST_LIMIT:
            node.attrs[HALF_LIMIT] = limit
            found.append(node)
    return found


def _weight(graph: Graph, node: Node) -> np.ndarray | None:
    """The weight [k, n] of a node that could multiply in half precision, else None."""
    op = composite_op(node.op, node.attrs)
    weights = rule_for(op).weights
    if len(weights) != 1 or catalog().find(op, "f32_hf16") is None:
        return None
    ((position, use),) = weights.items()
    value = graph.const_value(node.inputs[position])
    if not isinstance(value, QuantizedValue) or value.format != "float16":
        return None
    codes = value.codes
    if use is WeightUse.MATRIX:
        return codes.T if node.attrs.get("transpose_b") else codes
    image = graph.type_of(node.inputs[0]).shape
    if use is not WeightUse.FILTER or image is None or image[3] != codes.shape[2]:  # grouped
        return None
    return codes.reshape(-1, codes.shape[3])


def half_limit(weight: np.ndarray) -> float:
    """The largest half that activations may be so that sums of FOLD of them, times a weight [k, n], stay finite."""
    k = weight.shape[0]
    padded = np.pad(np.abs(weight).astype(np.float64), [(0, -k % FOLD), (0, 0)])
    largest = padded.reshape(-1, FOLD, weight.shape[1]).sum(axis=1).max(initial=0.0)
    # Each multiply-add may round up by half a unit in the last place.
    bound = LARGEST / max(largest * (1 + 2.0**-11) ** FOLD, 1.0)
    limit = np.float16(bound)
    return float(limit if limit <= bound else np.nextafter(limit, np.float16(0)))
