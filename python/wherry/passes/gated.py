"""Activations of several nodes: a tensor times a gate made of it.

    Swish      x * Sigmoid(x)
    HardSwish  x * (Relu6(x + 3) / 6), the division also as a product with 1 / 6
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wherry.graph import Graph, Node, Ref
from wherry.passes.rewrite import Uses, is_float, small_const

SIXTH = float(np.float32(1 / 6))


@dataclass
class Activation:
    """What activates a tensor. nodes: in order, all read by none but each other; the last gives the result.

    name: what the runtime calls it; of a single node its op.
    """

    name: str
    nodes: list[Node]

    @property
    def last(self) -> Node:
        return self.nodes[-1]


def gated_activation(graph: Graph, uses: Uses, ref: Ref) -> Activation | None:
    """The gated activation that takes a tensor, when nothing else reads the tensor."""
    readers = uses.consumers.get(ref, [])
    if len(readers) != 2 or uses.is_output(ref):
        return None
    gates = [node for node, _ in readers if node.op in ("Sigmoid", "AddV2")]
    products = [node for node, _ in readers if node.op == "Mul"]
    if len(gates) != 1 or len(products) != 1:
        return None
    gate, product = gates[0], products[0]
    if gate.op == "Sigmoid":
        name, chain = "Swish", [gate]
    else:
        name, chain = "HardSwish", _hard_sigmoid(graph, uses, gate)
    nodes = [*chain, product]
    if not chain or sorted(product.inputs, key=str) != sorted([ref, Ref(chain[-1].name)], key=str):
        return None
    reader = uses.only_consumer(Ref(chain[-1].name))
    if reader is None or any(node.controls or not is_float(node) for node in nodes):
        return None
    return Activation(name, nodes)


def _hard_sigmoid(graph: Graph, uses: Uses, add: Node) -> list[Node]:
    """The nodes of Relu6(x + 3) / 6 from the addition on; none where it is something else."""
    relu = uses.only_consumer(Ref(add.name))
    if relu is None or relu[0].op != "Relu6" or _scalar(graph, add) != 3.0:
        return []
    scale = uses.only_consumer(Ref(relu[0].name))
    if scale is None:
        return []
    node, position = scale
    divides = node.op == "RealDiv" and position == 0 and _scalar(graph, node) == 6.0
    if not divides and not (node.op == "Mul" and _scalar(graph, node) == SIXTH):
        return []
    return [add, relu[0], node]


def _scalar(graph: Graph, node: Node) -> float | None:
    """The constant among a node's two inputs, when it is one number."""
    for ref in node.inputs:
        value = small_const(graph, ref)
        if value is not None and value.size == 1:
            return float(value.reshape(()))
    return None
