"""Affine steps: ops that multiply every channel by a constant and add a constant, as one scale and one offset.

A batch norm in inference is such a step, and so are BiasAdd and Mul, AddV2, Sub, RealDiv with a constant. Channels run
along the last dimension. Chains of steps add up in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wherry.graph import DType, Graph, Node, Ref
from wherry.passes.rewrite import Uses, is_float, per_channel, rank_of, small_const, static_shape

NORMS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
_ARITHMETIC = frozenset({"AddV2", "Add", "Sub", "Mul", "RealDiv", "BiasAdd"})


@dataclass
class Affine:
    """y = scale * x + offset per channel; float64, shape [channels]."""

    scale: np.ndarray
    offset: np.ndarray

    def then(self, later: Affine) -> Affine:
        return Affine(self.scale * later.scale, self.offset * later.scale + later.offset)


@dataclass
class Chain:
    """Affine steps that follow each other; every tensor between them is read once."""

    nodes: list[Node]
    total: Affine

    @property
    def last(self) -> Node:
        return self.nodes[-1]


def follow(graph: Graph, uses: Uses, start: Ref, channels: int, allow_scale: bool = True) -> Chain | None:
    """The longest chain of affine steps that begins with the only reader of `start`."""
    nodes: list[Node] = []
    total = Affine(np.ones(channels), np.zeros(channels))
    ref = start
    while (reader := uses.only_consumer(ref)) is not None:
        node, position = reader
        step = affine_step(graph, node, position, channels)
        if step is None or node.controls or (not allow_scale and (step.scale != 1).any()):
            break
        if node.op in NORMS and not all(uses.count(Ref(node.name, i)) == 0 for i in range(1, 6)):
            break
        nodes.append(node)
        total = total.then(step)
        ref = Ref(node.name)
    return Chain(nodes, total) if nodes else None


def affine_step(graph: Graph, node: Node, position: int, channels: int) -> Affine | None:
    """What a node does to the tensor at one of its inputs, when that is affine per channel and keeps the shape."""
    if node.op in NORMS:
        return _norm_step(graph, node) if position == 0 else None
    if node.op not in _ARITHMETIC or not is_float(node) or not node.types:
        return None
    if len(node.inputs) != 2 or (position == 1 and node.op in ("RealDiv", "BiasAdd")):
        return None
    rank = rank_of(graph, Ref(node.name))
    constant = small_const(graph, node.inputs[1 - position])
    if constant is None or rank is None or rank_of(graph, node.inputs[position]) != rank:
        return None
    if static_shape(graph, node.inputs[position]) != static_shape(graph, Ref(node.name)):
        return None
    vector = per_channel(constant, rank, channels)
    if vector is None:
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    if node.op == "Mul":
        return Affine(vector, zero)
    if node.op == "RealDiv":
        return Affine(1 / vector, zero) if (vector != 0).all() else None
    if node.op == "Sub":
        return Affine(one, -vector) if position == 0 else Affine(-one, vector)
    return Affine(one, vector)


def _norm_step(graph: Graph, node: Node) -> Affine | None:
    if node.attrs.get("is_training", True) or node.attrs.get("T") is not DType.FLOAT:
        return None
    if node.attrs.get("data_format", b"NHWC") not in (b"NHWC", b"NDHWC"):
        return None
    arrays = [small_const(graph, ref) for ref in node.inputs[1:5]]
    if any(array is None or array.size == 0 for array in arrays):
        return None
    gamma, beta, mean, variance = (array.astype(np.float64) for array in arrays if array is not None)
    scale = gamma / np.sqrt(variance + float(node.attrs.get("epsilon", 1e-4)))
    return Affine(scale, beta - mean * scale)
