"""Which layers multiply in reduced arithmetic.

8-bit weights in whole numbers, with activations quantized as they run, to 8 or to 16 bits; float16 weights in half
precision (halves.py).

A node says so with the attribute REDUCED; lowering then takes the kernel that does: its key ends in di8 or hf16.
ACTIVATION_BITS says that codes have 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from wherry.graph import Graph, Node, QuantizedValue, Ref, Value
from wherry.ops.catalog import catalog
from wherry.ops.rules import ACTIVATION_BITS, REDUCED, WeightUse, composite_op, rule_for
from wherry.pack.stored import PANEL_WIDTH
from wherry.quantize.differences import Outputs, likely_difference, rms_difference
from wherry.quantize.formats import FLOAT16, quantize
from wherry.quantize.layer_cost import DYNAMIC, FLOATS, WIDE, LayerCost
from wherry.quantize.search import Choices, Forms, search

_RECURRENT = frozenset({"BlockLSTM", "BlockLSTMV2", "LSTMBlockCell"})
MAX_DEPTH = 65536  # rows of a weight for which no sum of products of codes leaves int32 (cpp/math/qgemm.h)


def integer_layers(graph: Graph) -> list[Node]:
    """The nodes that could multiply in whole numbers: products and convolutions with symmetric 8-bit weights."""
    return [node for node in graph.topological() if _fits(graph, node)]


def set_arithmetic(nodes: Sequence[Node], reduced: bool, wide: bool = False) -> None:
    """wide: activations get codes of 16 bits, not of 8."""
    for node in nodes:
        node.attrs.pop(REDUCED, None)
        node.attrs.pop(ACTIVATION_BITS, None)
        if reduced:
            node.attrs[REDUCED] = True
        if reduced and wide:
            node.attrs[ACTIVATION_BITS] = 16


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

    layers: how many do; wide_layers: those of them whose activations get codes of 16 bits. error: of all together, None
    if nobody measured. float_layers: those that stay in float arithmetic, with float16 weights, and the error that each
    would make alone (all of its kind together, where a model is measured by kinds), root mean square. conclusive: False
    when the inputs cannot tell, as outputs are beyond the limit even where all layers are left in float arithmetic.
    halves: in half precision, not in whole numbers.
    """

    limit: float
    layers: int = 0
    conclusive: bool = True
    error: float | None = None
    wide_layers: list[str] = field(default_factory=list)
    float_layers: dict[str, float] = field(default_factory=dict)
    halves: bool = False


# Every trial writes a pack: in models with more float32 weights than this, layers of one kind take a form together.
MOST_MEASURED_BYTES = 400 << 20
# Of the limit: other inputs than those measured may make more of an error.
_MARGIN = 0.8
_SMALL = 0.1  # of the limit: where rounding activations does less, rounding the weights is taken to do as much


def fit_arithmetic(
    graph: Graph,
    layers: list[Node],
    originals: Mapping[str, Value],
    run: Callable[[Graph], Outputs],
    expected: Outputs,
    limit: float,
    halves: bool = False,
) -> ArithmeticReport:
    """Lets `layers` multiply in reduced arithmetic, but for those that move outputs too far from float32.

    originals: name -> float32 value of each quantized constant and each corrected bias. run: the outputs of a graph.
    expected: those in float32. halves: in half precision, which has no codes of 16 bits.
    """
    set_arithmetic(layers, True)
    error = likely_difference(expected, run(graph))
    report = ArithmeticReport(limit, len(layers), error=error, halves=halves)
    limit *= _MARGIN
    if error <= limit:
        return report
    trials = _Trials(graph, layers, originals, run, (DYNAMIC, FLOATS) if halves else (DYNAMIC, WIDE, FLOATS))
    report.conclusive = likely_difference(expected, trials.outputs(dict.fromkeys(trials.groups, FLOATS))) <= limit
    if report.conclusive:
        errors = trials.errors(_SMALL * limit)
        choices = Choices(errors, trials.cost, lambda forms: likely_difference(expected, trials.outputs(forms)), limit)
        found = search(choices)
        trials.take(found.forms)
        forms = {layer.name: form for name, form in found.forms.items() for layer in trials.groups[name]}
        kinds = {layer.name: name for name, group in trials.groups.items() for layer in group}
        report.wide_layers = [layer.name for layer in layers if forms[layer.name] == WIDE]
        report.float_layers = {
            layer.name: errors[kinds[layer.name]][DYNAMIC] for layer in layers if forms[layer.name] == FLOATS
        }
        report.layers, report.error = len(layers) - len(report.float_layers), found.error
    else:
        trials.take(dict.fromkeys(trials.groups, DYNAMIC))
    return report


class _Trials:
    """Groups of layers that take a form together, and a graph with them in one form or another.

    forms: those that there are, from the cheapest to the most exact.
    """

    def __init__(
        self,
        graph: Graph,
        layers: Sequence[Node],
        originals: Mapping[str, Value],
        run: Callable[[Graph], Outputs],
        forms: Sequence[str],
    ) -> None:
        self.graph = graph
        self.originals = originals
        self.run = run
        self.forms = forms
        self.reduced = {name: graph.nodes[name].value for name in originals}
        self.left: dict[str, Value] = {}  # of layers in float arithmetic
        large = sum(value.type.nbytes for value in originals.values()) > MOST_MEASURED_BYTES
        self.groups: dict[str, list[Node]] = {}
        for layer in layers:
            self.groups.setdefault(_kind(graph, layer) if large else layer.name, []).append(layer)
        self.costs = {
            name: [LayerCost(graph, layer, FLOAT16.bits // 8) for layer in group] for name, group in self.groups.items()
        }

    def cost(self, group: str, form: str, _: Forms) -> float:
        return sum(cost.of(form) for cost in self.costs[group])

    def take(self, forms: Forms) -> None:
        for name, group in self.groups.items():
            set_arithmetic(group, forms[name] != FLOATS, forms[name] == WIDE)
            for layer in group:
                for ref in layer.inputs:
                    if ref.node in self.originals:
                        self.graph.nodes[ref.node].value = (
                            self._left(ref.node) if forms[name] == FLOATS else self.reduced[ref.node]
                        )

    def _left(self, name: str) -> Value:
        """A weight in float16, or a bias as it was."""
        if not isinstance(self.reduced[name], QuantizedValue):
            return self.originals[name]
        if name not in self.left:
            self.left[name] = quantize(self.originals[name].numpy(), FLOAT16, -1)
        return self.left[name]

    def outputs(self, forms: Forms) -> Outputs:
        self.take(forms)
        return self.run(self.graph)

    def errors(self, small: float) -> dict[str, dict[str, float]]:
        """The error of each group in each form: what outputs change by when it takes another, root mean square.

        All others have 8-bit weights and wide codes where those are among the forms: trials stay small, and errors add
        up as those of independent causes. small: of rounded activations, below which nobody looks at the weights.
        """
        base = dict.fromkeys(self.groups, WIDE if WIDE in self.forms else FLOATS)
        expected = self.outputs(base)
        found: dict[str, dict[str, float]] = {}
        for name in self.groups:
            activations = rms_difference(expected, self.outputs({**base, name: DYNAMIC}))
            found[name] = {DYNAMIC: activations, FLOATS: 0.0}
            if WIDE in self.forms:
                weights = activations
                if activations > small:
                    weights = rms_difference(expected, self.outputs({**base, name: FLOATS}))
                found[name] = {DYNAMIC: math.hypot(activations, weights), WIDE: weights, FLOATS: 0.0}
        return found


def _kind(graph: Graph, layer: Node) -> str:
    """The same for layers that compute the same with other weights."""
    refs = [*layer.inputs, Ref(layer.name)]
    return f"{composite_op(layer.op, layer.attrs)} {[graph.type_of(ref).shape for ref in refs]}"
