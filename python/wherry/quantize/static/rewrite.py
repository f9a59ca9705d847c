"""Rewrites a float32 graph so that chosen nodes compute on 8-bit codes; between codes and float32 it converts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, TensorType
from wherry.ops.rules import runtime_attrs
from wherry.quantize.bias import positions
from wherry.quantize.static import layers
from wherry.quantize.static.bodies import Body, dequantize_node, lookup_node, quantize_node, scale_attrs
from wherry.quantize.static.functions import evaluate, source_of
from wherry.quantize.static.ranges import Scale
from wherry.quantize.static.rounded import RoundedLayers

_KERNELS = {
    **dict.fromkeys(layers.CONVOLUTIONS, "QLinearConv2d"),
    **dict.fromkeys(layers.DEPTHWISE, "QLinearDepthwiseConv2d"),
    **dict.fromkeys(layers.PRODUCTS, "QLinearMatMul"),
    layers.RESIDUAL: "QLinearConv2dAdd",
    "AddV2": "QLinearAdd",
    "Add": "QLinearAdd",
    "Mul": "QLinearMul",
    "AvgPool": "QLinearAvgPool",
    "Mean": "QLinearMean",
}
_DROPPED = ("fused_ops", "num_args", "epsilon", "T", "data_format", "transpose_a", "transpose_b")


@dataclass
class Rewritten:
    """weights: constant of codes -> the constant that it was made of. reduced: those of them whose layers make codes of
    their activations as they run, -> the name that such a layer had. halves: constants that are float16 now.
    tensors: how many activations are codes of fixed scales."""

    weights: dict[str, str] = field(default_factory=dict)
    reduced: dict[str, str] = field(default_factory=dict)
    halves: list[str] = field(default_factory=list)
    tensors: int = 0


def tensors_to_observe(graph: Graph, chosen: set[str]) -> list[Ref]:
    """Tensors that may need a scale: results of chosen nodes, and what enters them as float32."""
    found: dict[Ref, None] = {}
    for node in graph.topological():
        if node.name not in chosen:
            continue
        for ref in layers.data_inputs(graph, node):
            found[ref] = None
        found[Ref(node.name)] = None
    return list(found)


def tie_scales(graph: Graph, chosen: set[str], scales: dict[Ref, Scale]) -> None:
    """What only a concatenation reads gets the scale of its result, so that no codes have to be rescaled for it."""
    consumers = graph.consumers()
    outputs = set(graph.outputs.values())
    for node in graph.topological():
        if node.name not in chosen or layers.op_of(node) != "ConcatV2":
            continue
        for ref in layers.data_inputs(graph, node):
            if ref in scales and len(consumers[ref]) == 1 and ref not in outputs:
                scales[ref] = scales[Ref(node.name)]


class _Rewriter:
    def __init__(
        self,
        graph: Graph,
        chosen: set[str],
        scales: Mapping[Ref, Scale],
        rounded: RoundedLayers,
        reduced: Collection[str],
    ) -> None:
        self.graph = graph
        self.chosen = chosen
        self.reduced = reduced
        self.scales = scales
        self.rounded = rounded
        self.codes: dict[Ref, tuple[Ref, Scale]] = {}
        self.floats: dict[Ref, Ref] = {}
        self.weight_codes: dict[tuple[str, bool], Ref] = {}
        self.original = graph.copy()  # what the graph says of a node before its inputs change
        self.needed = self._needed()
        self.read_as_codes = {
            ref for name in chosen & self.needed for ref in layers.data_inputs(graph, graph.nodes[name])
        }
        self.report = Rewritten()

    def run(self) -> Rewritten:
        graph = self.graph
        for node in graph.topological():
            if node.name not in self.needed:
                continue
            if node.name in self.chosen:
                self._compute(node)
                continue
            if node.name in self.reduced:
                weight = self._round_weight(node, layers.op_of(node))
                self.report.reduced[weight.node] = node.name
            node.inputs = [self._float(ref) for ref in node.inputs]
        graph.outputs = {name: self._float(ref) for name, ref in graph.outputs.items()}
        graph.remove_unreachable()
        self.report.tensors = sum(codes.node in graph.nodes for codes, _ in self.codes.values())
        return self.report

    def _needed(self) -> set[str]:
        """Nodes that outputs need; not those that a table replaces."""
        stack = [*(ref.node for ref in self.graph.outputs.values()), *self.graph.inputs.values()]
        needed: set[str] = set()
        while stack:
            name = stack.pop()
            if name in needed:
                continue
            needed.add(name)
            node = self.graph.nodes[name]
            refs = node.inputs
            if name in self.chosen and source_of(self.graph, node) is not None:
                refs = layers.data_inputs(self.graph, node)
            stack.extend([*(ref.node for ref in refs), *node.controls])
        return needed

    def _float(self, ref: Ref) -> Ref:
        if ref not in self.codes:
            return ref
        if ref not in self.floats:
            self.floats[ref] = dequantize_node(self.graph, *self.codes[ref])
        return self.floats[ref]

    def _code(self, ref: Ref) -> tuple[Ref, Scale]:
        if ref not in self.codes:
            scale = self.scales[ref]
            self.codes[ref] = quantize_node(self.graph, ref, scale), scale
            self.floats[ref] = ref
        return self.codes[ref]

    def _compute(self, node: Node) -> None:
        op = layers.op_of(node)
        source = source_of(self.original, self.original.nodes[node.name])
        if source is not None:
            self._look_up(node, source)
        elif op in layers.MOVES:
            self._move(node, op)
        elif op == "ConcatV2":
            self._concatenate(node)
        else:
            self._kernel(node, op)

    def _kernel(self, node: Node, op: str) -> None:
        """A composite of dequantized inputs, the node itself, and its quantized result."""
        graph, name, ref = self.graph, node.name, Ref(node.name)
        positions = layers.data_positions(op)
        if op == "Mul":
            factor = layers.factor_position(self.original, node)
            assert factor is not None
            positions = [1 - factor, factor]
        found = [self._code(node.inputs[i]) for i in positions]
        kept = {key: value for key, value in runtime_attrs(op, node.attrs).items() if key not in _DROPPED}
        attrs = {key: value.encode() if isinstance(value, str) else value for key, value in kept.items()}
        attrs.update(scale_attrs(input=found[0][1], **({"other": found[1][1]} if len(found) > 1 else {})))
        inputs = [codes for codes, _ in found]
        if op in layers.LINEAR:
            self._round_weight(node, op)
            inputs = [inputs[0], *node.inputs[1:3], *inputs[1:]]
        body = Body(graph, name)
        for i, (codes, scale) in zip(positions, found, strict=True):
            node.inputs[i] = body.values(codes, scale)
        for i in range(len(node.inputs)):
            value = graph.const_value(node.inputs[i])
            if i not in positions and value is not None and node.inputs[i] not in inputs:
                node.inputs[i] = body.constant(value.numpy())  # axes: the body has its own
        body.take(node)
        if op in layers.CONVOLUTIONS | layers.PRODUCTS and ref not in self.read_as_codes:
            body.close(_KERNELS[op], attrs, inputs, ref)
            return
        scale = self.scales[ref]
        attrs.update(scale_attrs(output=scale))
        self.codes[ref] = body.close(_KERNELS[op], attrs, inputs, body.codes(ref, scale)), scale

    def _round_weight(self, node: Node, op: str) -> Ref:
        """A layer's weight becomes codes, with a scale for each output channel, and its bias is corrected for that."""
        at, bias_at = positions(node)
        held = node.inputs[at].node
        transposed = bool(op in layers.PRODUCTS and node.attrs.get("transpose_b"))
        if transposed:
            node.attrs = {**node.attrs, "transpose_b": False}
        rounded = self.rounded.layer(node.name)
        if (held, transposed) not in self.weight_codes:
            self.weight_codes[held, transposed] = self._constant(f"{held}/int8", rounded.weight)
            self.report.weights[self.weight_codes[held, transposed].node] = held
        node.inputs[at] = self.weight_codes[held, transposed]
        bias = rounded.bias_on_codes if node.name in self.chosen else rounded.bias
        if bias is not None:
            node.inputs[bias_at] = self._constant(f"{node.name}/bias", bias)
        return node.inputs[at]

    def _constant(self, name: str, value: Any) -> Ref:
        ref = self.graph.add_const(name, value)
        self.graph.nodes[ref.node].num_outputs = 1
        return ref

    def _move(self, node: Node, op: str) -> None:
        codes, scale = self._code(node.inputs[0])
        inputs = [codes, *node.inputs[1:]]
        attrs = dict(node.attrs)
        if op in ("Pad", "PadV2"):
            value = np.float32(0)
            if op == "PadV2":
                held = self.graph.const_value(node.inputs[2])
                value = np.float32(0) if held is None else held.numpy()
            filled = self._constant(f"{node.name}/code", scale.codes(np.asarray(value, np.float32)).reshape(()))
            op, inputs = "PadV2", [codes, node.inputs[1], filled]
        self.codes[Ref(node.name)] = self._same_op(node, op, inputs, attrs), scale

    def _concatenate(self, node: Node) -> None:
        scale = self.scales[Ref(node.name)]
        inputs = []
        for ref in node.inputs[:-1]:
            codes, held = self._code(ref)
            if held != scale:
                table = scale.codes(held.values(np.arange(256, dtype=np.uint8)))
                codes = lookup_node(self.graph, f"{codes.node}/rescale", codes, table)
            inputs.append(codes)
        self.codes[Ref(node.name)] = self._same_op(node, node.op, [*inputs, node.inputs[-1]], dict(node.attrs)), scale

    def _same_op(self, node: Node, op: str, inputs: list[Ref], attrs: dict[str, Any]) -> Ref:
        """The op of a node on uint8."""
        for name in ("T", "Tparams"):
            if name in attrs:
                attrs[name] = DType.UINT8
        made = Node(self.graph.unique_name(f"{node.name}/codes"), op, inputs, attrs=attrs)
        made.types, made.num_outputs = [TensorType(DType.UINT8, node.types[0].shape)], 1
        return Ref(self.graph.add(made).name)

    def _look_up(self, node: Node, source: Ref) -> None:
        codes, held = self._code(source)
        scale = self.scales[Ref(node.name)]
        values = evaluate(self.original, node, source, held.values(np.arange(256, dtype=np.uint8)))
        table = scale.codes(np.nan_to_num(values))
        self.codes[Ref(node.name)] = lookup_node(self.graph, f"{node.name}/codes", codes, table), scale


def rewrite(
    graph: Graph,
    chosen: set[str],
    scales: Mapping[Ref, Scale],
    rounded: RoundedLayers,
    reduced: Collection[str] = (),
) -> Rewritten:
    """Rewrites the graph in place.

    scales: of `tensors_to_observe`, after `tie_scales`. rounded: of the graph as it is. reduced: layers that are not
    chosen and get 8-bit weights all the same. Raises LoadError naming the weight when one is not finite.
    """
    return _Rewriter(graph, chosen, scales, rounded, reduced).run()
