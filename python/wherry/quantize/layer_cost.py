"""What a layer costs in each of its forms, in nanoseconds of one core: a model, so that the same model is compiled to
the same pack everywhere.

The rates are those of a core with 512-bit vectors, on which `make bench-peers` was run, without AMX's integer
products. On other cores they change together, but where there is no dot product: products of codes are twice as fast
as those of floats there at best. Bytes of weights count as reading them from storage at 2 GB/s.
"""

from __future__ import annotations

import math

from wherry.graph import Graph, Node, Ref
from wherry.ops.cost import macs
from wherry.ops.rules import WeightUse, composite_op, rule_for

# Forms of a layer, from the cheapest to the most exact: 8-bit codes of fixed scales, codes made as it runs, those of
# 16 bits, floats.
CODES, DYNAMIC, WIDE, FLOATS = "codes", "dynamic", "wide", "float"

_PRODUCTS = {CODES: 600.0, DYNAMIC: 600.0, WIDE: 300.0, FLOATS: 85.0}  # multiply-adds
_DEPTHWISE = {CODES: 50.0, DYNAMIC: 40.0, WIDE: 40.0, FLOATS: 40.0}
_BYTES = 25.0  # of activations
_QUANTIZED = 6.0  # values whose range is found and whose codes are made as a layer runs
_READ = 16.0  # bytes of weights from memory: products wait for them
_STORED = 2.0  # bytes of a pack


class LayerCost:
    """Of a layer with weights. float_bytes: of a weight in the form FLOATS."""

    def __init__(self, graph: Graph, node: Node, float_bytes: int = 4) -> None:
        op = composite_op(node.op, node.attrs)
        refs = [*node.inputs, Ref(node.name)]
        shapes = [tuple(int(d or 0) for d in graph.type_of(ref).shape or ()) for ref in refs]
        weights = rule_for(op).weights
        self.macs = macs(op, shapes[:-1], shapes[-1:])
        self.rates = _DEPTHWISE if WeightUse.DEPTHWISE in weights.values() else _PRODUCTS
        activations = [i for i, ref in enumerate(node.inputs) if graph.const_value(ref) is None]
        self.read = sum(math.prod(shapes[i]) for i in activations)
        self.written = math.prod(shapes[-1])
        self.weights = sum(math.prod(shapes[i]) for i in weights)
        self.float_bytes = float_bytes

    def of(self, form: str, reads_floats: bool = True, writes_floats: bool = True) -> float:
        """reads_floats: what it reads is float32 in memory; writes_floats: what it makes is read as float32.

        A layer on codes that reads floats waits for a step that makes codes of them.
        """
        weight_bytes = self.weights * (self.float_bytes if form == FLOATS else 1)
        time = max(self.macs / self.rates[form], weight_bytes / _READ)
        if form == CODES:
            time += (self.read * (6 if reads_floats else 1) + self.written * (4 if writes_floats else 1)) / _BYTES
        else:
            time += 4 * (self.read + self.written) / _BYTES
        if form in (DYNAMIC, WIDE):
            time += self.read / _QUANTIZED
        return time + weight_bytes / _STORED
