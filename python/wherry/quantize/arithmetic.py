"""Which layers multiply in reduced arithmetic.

8-bit weights in whole numbers, with activations quantized as they run; float16 weights in half precision (halves.py).

A node says so with the attribute REDUCED; lowering then takes the kernel that does: its key ends in di8 or hf16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wherry.graph import Graph, Node, QuantizedValue, Value
from wherry.ops.catalog import catalog
from wherry.ops.rules import REDUCED, WeightUse, composite_op, rule_for
from wherry.pack.stored import PANEL_WIDTH
from wherry.quantize.formats import FLOAT16, quantize
from wherry.quantize.layer_cost import DYNAMIC, FLOATS, LayerCost
from wherry.quantize.search import Choices, Forms, search

_RECURRENT = frozenset({"BlockLSTM", "BlockLSTMV2", "LSTMBlockCell"})
MAX_DEPTH = 65536  # rows of a weight for which no sum of products of codes leaves int32 (cpp/math/qgemm.h)


def integer_layers(graph: Graph) -> list[Node]:
    """The nodes that could multiply in whole numbers: products and convolutions with symmetric 8-bit weights."""
    return [node for node in graph.topological() if _fits(graph, node)]


def set_arithmetic(nodes: list[Node], reduced: bool) -> None:
    for node in nodes:
        if reduced:
            node.attrs[REDUCED] = True
        else:
            node.attrs.pop(REDUCED, None)


def _fits(graph: Graph, node: Node) -> bool:
    op = composite_op(node.op, node.attrs)
    weights = rule_for(op).weights
    if not weights or node.attrs.get("transpose_a") or catalog().find(op, "f32_di8") is None:
        return False
    for position, use in weights.items():
        value = graph.const_value(node.inputs[position])
        if not isinstance(value, QuantizedValue) or value.format != "int8":
            return False
        shape = value.codes.shape
        if use is WeightUse.FILTER:
            image = graph.type_of(node.inputs[0]).shape
            if image is None or image[3] != shape[2]:  # grouped
                return False
        elif use is not WeightUse.MATRIX:
            return False
        if node.op in _RECURRENT and shape[1] % (4 * PANEL_WIDTH) != 0:  # gates begin with a panel
            return False
        if math.prod(shape) // max(shape[0 if node.attrs.get("transpose_b") else -1], 1) > MAX_DEPTH:
            return False
    return True


@dataclass
class ArithmeticReport:
    """Which layers multiply in reduced arithmetic. Errors are of outputs, relative to the largest value.

    layers: how many do. error: of all together, None if nobody measured. float_layers: those that stay in float
    arithmetic, with float16 weights, and the error that each would make alone. conclusive: False when the inputs cannot
    tell, as outputs are beyond the limit even where all layers are left in float arithmetic. halves: in half precision,
    not in whole numbers.
    """

    limit: float
    layers: int = 0
    conclusive: bool = True
    error: float | None = None
    float_layers: dict[str, float] = field(default_factory=dict)
    halves: bool = False


# Measuring layers one by one writes a pack for each: models with more float32 weights than this keep all layers.
MOST_MEASURED_BYTES = 400 << 20
# Of the limit: other inputs than those measured may make more of an error.
_MARGIN = 0.8


def fit_arithmetic(
    graph: Graph, layers: list[Node], originals: Mapping[str, Value], measure: Callable[[Graph], float], limit: float
) -> ArithmeticReport:
    """Lets `layers` multiply in reduced arithmetic, but for those that move outputs too far from float32.

    originals: name -> float32 value of each quantized constant and each corrected bias. measure: the error at the
    outputs of a graph.
    """
    set_arithmetic(layers, True)
    error = measure(graph)
    report = ArithmeticReport(limit, len(layers), error=error)
    limit *= _MARGIN
    if error <= limit or sum(value.type.nbytes for value in originals.values()) > MOST_MEASURED_BYTES:
        return report
    codes = {name: graph.nodes[name].value for name in originals}
    costs = {layer.name: LayerCost(graph, layer, FLOAT16.bits // 8) for layer in layers}

    def take(forms: Forms) -> None:
        _restore(graph, codes)
        set_arithmetic(layers, True)
        for layer in layers:
            if forms[layer.name] == FLOATS:
                _leave_in_float(graph, layer, originals)

    def measure_forms(forms: Forms) -> float:
        take(forms)
        return measure(graph)

    report.conclusive = measure_forms({layer.name: FLOATS for layer in layers}) <= limit
    take({layer.name: DYNAMIC for layer in layers})
    if not report.conclusive:
        return report
    errors = {
        name: {DYNAMIC: alone, FLOATS: 0.0} for name, alone in _each_alone(graph, layers, originals, measure).items()
    }
    found = search(Choices(errors, lambda name, form, _: costs[name].of(form), measure_forms, limit))
    take(found.forms)
    report.float_layers = {name: errors[name][DYNAMIC] for name, form in found.forms.items() if form == FLOATS}
    report.layers, report.error = len(layers) - len(report.float_layers), found.error
    return report


def _each_alone(
    graph: Graph, layers: list[Node], originals: Mapping[str, Value], measure: Callable[[Graph], float]
) -> dict[str, float]:
    """The error of each layer when all others are as they were before quantization."""
    codes = {name: graph.nodes[name].value for name in originals}
    errors: dict[str, float] = {}
    try:
        set_arithmetic(layers, False)
        for name, value in originals.items():
            graph.nodes[name].value = value
        for layer in layers:
            weights = [ref.node for ref in layer.inputs if ref.node in codes]
            for name in weights:
                graph.nodes[name].value = codes[name]
            set_arithmetic([layer], True)
            errors[layer.name] = measure(graph)
            set_arithmetic([layer], False)
            for name in weights:
                graph.nodes[name].value = originals[name]
    finally:
        _restore(graph, codes)
        set_arithmetic(layers, True)
    return errors


def _restore(graph: Graph, values: Mapping[str, Value | None]) -> None:
    for name, value in values.items():
        graph.nodes[name].value = value


def _leave_in_float(graph: Graph, layer: Node, originals: Mapping[str, Value]) -> None:
    set_arithmetic([layer], False)
    for ref in layer.inputs:
        if ref.node not in originals:
            continue
        if isinstance(graph.nodes[ref.node].value, QuantizedValue):
            graph.nodes[ref.node].value = quantize(originals[ref.node].numpy(), FLOAT16, -1)
        else:  # a bias
            graph.nodes[ref.node].value = originals[ref.node]
