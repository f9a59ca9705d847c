"""Layers that int8-static leaves in float arithmetic: CPUs for which that is faster may multiply them in whole numbers
of 16 bits (cpp/math/short_gemm.h), which do a hundredth of what codes of 8 bits do to the outputs.

Others compute them in floats; the pack holds float32 weights for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from wherry.graph import Graph, Node
from wherry.ops.catalog import catalog
from wherry.ops.rules import FRACTION_BITS
from wherry.passes.rewrite import static_shape
from wherry.quantize.static import layers

MAX_DEPTH, MAX_WEIGHTS = 256, 65536  # kMaxShortDepth, kMaxShortWeights
_ROOM = 1.25  # activations on other inputs may be so many times as large as on samples; beyond, they are cut
_MOST_BITS = 60


def fraction_bits(largest: float, depth: int) -> int:
    """The most b so that codes of steps of 2^-b reach what activations may be. largest: of their sizes on samples."""
    if not largest > 0:
        return 0
    largest_code = 16383 if depth <= 64 else 8191  # LargestShort
    bits = math.floor(math.log2(largest_code / (_ROOM * largest)))
    return min(max(bits, -_MOST_BITS), _MOST_BITS)


def can_take_shorts(graph: Graph, node: Node) -> bool:
    """Whether a layer in float arithmetic is a convolution of so little depth."""
    shape = static_shape(graph, node.inputs[1]) if catalog().find(layers.op_of(node), "f32_sf32") else None
    return shape is not None and math.prod(shape[:3]) <= MAX_DEPTH and math.prod(shape) <= MAX_WEIGHTS


def allow_shorts(graph: Graph, largest: Mapping[str, float]) -> None:
    """largest: float32 weight of a layer -> the largest activation that the layer reads on samples."""
    for node in graph.nodes.values():
        if can_take_shorts(graph, node) and node.inputs[1].node in largest:
            shape = static_shape(graph, node.inputs[1]) or ()
            node.attrs[FRACTION_BITS] = fraction_bits(largest[node.inputs[1].node], math.prod(shape[:3]))
