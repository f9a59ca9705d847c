"""Nodes that TensorFlow runs for what the runtime does on 8-bit codes: dequantize, the float32 op, quantize.

Each op on codes becomes a composite (see passes/composite.py): the runtime's kernel computes in whole numbers, the body
says in float32 what it computes, to within one code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, TensorType
from wherry.passes.composite import make_composite
from wherry.quantize.static.ranges import LEVELS, Scale


class Body:
    """Collects the nodes of one composite in the graph that they will leave again."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name
        self.nodes: list[Node] = []

    def add(self, op: str, inputs: Sequence[Ref], attrs: Mapping[str, Any], kind: TensorType) -> Ref:
        node = Node(self.graph.unique_name(f"{self.name}/{op}"), op, list(inputs), attrs=dict(attrs))
        node.types, node.num_outputs = [kind], 1
        self.nodes.append(self.graph.add(node))
        return Ref(node.name)

    def constant(self, value: Any) -> Ref:
        ref = self.graph.add_const(f"{self.name}/constant", np.asarray(value))
        self.graph.nodes[ref.node].num_outputs = 1
        self.nodes.append(self.graph.nodes[ref.node])
        return ref

    def take(self, node: Node) -> None:
        """Moves a node of the graph into the body."""
        self.nodes.append(node)

    def values(self, codes: Ref, scale: Scale) -> Ref:
        """scale * (code - zero)."""
        kind = TensorType(DType.FLOAT, self.graph.type_of(codes).shape)
        real = {"T": DType.FLOAT}
        whole = self.add("Cast", [codes], {"SrcT": DType.UINT8, "DstT": DType.FLOAT, "Truncate": False}, kind)
        centred = self.add("Sub", [whole, self.constant(np.float32(scale.zero))], real, kind)
        return self.add("Mul", [centred, self.constant(np.float32(scale.scale))], real, kind)

    def codes(self, values: Ref, scale: Scale) -> Ref:
        """clamp(round(value / scale) + zero)."""
        shape = self.graph.type_of(values).shape
        kind, real = TensorType(DType.FLOAT, shape), {"T": DType.FLOAT}
        inverse = self.constant(np.float32(1) / np.float32(scale.scale))
        steps = self.add("Mul", [values, inverse], real, kind)
        rounded = self.add("Round", [steps], real, kind)
        shifted = self.add("AddV2", [rounded, self.constant(np.float32(scale.zero))], real, kind)
        raised = self.add("Maximum", [shifted, self.constant(np.float32(0))], real, kind)
        cut = self.add("Minimum", [raised, self.constant(np.float32(LEVELS))], real, kind)
        cast = {"SrcT": DType.FLOAT, "DstT": DType.UINT8, "Truncate": False}
        return self.add("Cast", [cut], cast, TensorType(DType.UINT8, shape))

    def close(self, kernel: str, attrs: Mapping[str, Any], inputs: Sequence[Ref], output: Ref) -> Ref:
        """Makes the composite; returns its output."""
        call = make_composite(self.graph, self.nodes, kernel, attrs, inputs, [output])
        return Ref(call.name)


def scale_attrs(**scales: Scale) -> dict[str, Any]:
    """scale_attrs(input=s) is {"input_scale": s.scale, "input_zero": s.zero}."""
    attrs: dict[str, Any] = {}
    for which, scale in scales.items():
        attrs[f"{which}_scale"], attrs[f"{which}_zero"] = scale.scale, scale.zero
    return attrs


def quantize_node(graph: Graph, values: Ref, scale: Scale) -> Ref:
    body = Body(graph, f"{values.node}/quantize")
    return body.close("QuantizeLinear", scale_attrs(output=scale), [values], body.codes(values, scale))


def dequantize_node(graph: Graph, codes: Ref, scale: Scale) -> Ref:
    body = Body(graph, f"{codes.node}/dequantize")
    return body.close("DequantizeLinear", scale_attrs(input=scale), [codes], body.values(codes, scale))


def lookup_node(graph: Graph, name: str, codes: Ref, table: np.ndarray) -> Ref:
    """A table of 256 codes, or what it does: the body gathers from it."""
    held = graph.add_const(f"{name}/table", table)
    graph.nodes[held.node].num_outputs = 1
    body = Body(graph, name)
    shape = graph.type_of(codes).shape
    index = {"SrcT": DType.UINT8, "DstT": DType.INT32, "Truncate": False}
    indices = body.add("Cast", [codes], index, TensorType(DType.INT32, shape))
    found = body.add(
        "Gather", [held, indices],
        {"Tparams": DType.UINT8, "Tindices": DType.INT32, "validate_indices": False}, TensorType(DType.UINT8, shape),
    )
    return body.close("QLinearLookup", {}, [codes, held], found)
