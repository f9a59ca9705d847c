"""What a layer costs in each of its forms, in nanoseconds of one core: a model, so that the same model is compiled to
the same pack everywhere.

The rates are those of a core with AMX, on which `make bench-peers` is run, fitted to Contect's 554 layers in each of
their forms. Where there are dot products only, codes gain less, but all their forms are as fast as floats at least.
Where there are none, products of codes are twice as fast as those of floats at best. Bytes of weights count as reading
them from storage at 2 GB/s.
"""

from __future__ import annotations

import math

from wherry.graph import Graph, Node, Ref
from wherry.ops.cost import macs
from wherry.ops.rules import WeightUse, composite_op, rule_for

# Forms of a layer, from the cheapest to the most exact: 8-bit codes of fixed scales, codes made as it runs, those of
# 16 bits, these with weights of 16 bits too, floats.
CODES, DYNAMIC, WIDE, WIDEST, FLOATS = "codes", "dynamic", "wide", "widest", "float"

_PRODUCTS = {CODES: 1300.0, DYNAMIC: 1300.0, WIDE: 730.0, WIDEST: 480.0, FLOATS: 75.0}  # multiply-adds
_SHORTS = 130.0  # instead of floats, on CPUs that do; others take as long as with floats, as before
_DEPTHWISE = {CODES: 50.0, DYNAMIC: 40.0, WIDE: 40.0, WIDEST: 40.0, FLOATS: 40.0}
_BYTES = 25.0  # of activations
_SUMS = 6.6  # joined where codes have several planes of bytes
_MORE_SUMS = {WIDE: 1, WIDEST: 3}  # for each output
_LINES = 0.22  # of an image, copied to patches of codes
_PLANES = {CODES: 1, DYNAMIC: 1, WIDE: 2, WIDEST: 2}  # of bytes, of such patches
_QUANTIZED = 6.0  # values whose range is found and whose codes are made as a layer runs
_READ = 16.0  # bytes of weights from memory
_STORED = 2.0  # bytes of a pack


class LayerCost:
    """Of a layer with weights.

    float_bytes: of a weight in the form FLOATS. shorts: CPUs may make that form's products in whole numbers of 16 bits.
    """

    def __init__(self, graph: Graph, node: Node, float_bytes: int = 4, shorts: bool = False) -> None:
        op = composite_op(node.op, node.attrs)
        refs = [*node.inputs, Ref(node.name)]
        shapes = [tuple(int(d or 0) for d in graph.type_of(ref).shape or ()) for ref in refs]
        weights = rule_for(op).weights
        self.macs = macs(op, shapes[:-1], shapes[-1:])
        self.rates = _DEPTHWISE if WeightUse.DEPTHWISE in weights.values() else _PRODUCTS
        if shorts:
            self.rates = {**self.rates, FLOATS: _SHORTS}
        activations = [i for i, ref in enumerate(node.inputs) if graph.const_value(ref) is None]
        self.read = sum(math.prod(shapes[i]) for i in activations)
        self.written = math.prod(shapes[-1])
        self.weights = sum(math.prod(shapes[i]) for i in weights)
        self.lines = sum(
            math.prod(shapes[-1][:3]) * shapes[i][0]
            for i, use in weights.items()
            if use is WeightUse.FILTER and math.prod(shapes[i][:2]) > 1
        )
        self.float_bytes = float_bytes

    def of(self, form: str, reads_floats: bool = True, writes_floats: bool = True) -> float:
        """reads_floats: what it reads is float32 in memory; writes_floats: what it makes is read as float32.

        A layer on codes that reads floats waits for a step that makes codes of them.
        """
        weight_bytes = self.weights * {FLOATS: self.float_bytes, WIDEST: 2}.get(form, 1)
        time = self.macs / self.rates[form] + weight_bytes / _READ + _MORE_SUMS.get(form, 0) * self.written / _SUMS
        if form == CODES:
            time += (self.read * (6 if reads_floats else 1) + self.written * (4 if writes_floats else 1)) / _BYTES
        else:
            time += 4 * (self.read + self.written) / _BYTES
        if form in (DYNAMIC, WIDE, WIDEST):
            time += self.read / _QUANTIZED
        time += _PLANES.get(form, 0) * self.lines / _LINES
        return time + weight_bytes / _STORED


def kind_of(graph: Graph, layer: Node) -> str:
    """The same for layers that compute the same with other weights."""
    refs = [*layer.inputs, Ref(layer.name)]
    return f"{composite_op(layer.op, layer.attrs)} {[graph.type_of(ref).shape for ref in refs]}"
