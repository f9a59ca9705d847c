"""Which layers multiply in reduced arithmetic.

8-bit weights in whole numbers, with activations quantized as they run, to 8 or to 16 bits, and weights of 16 bits with
such of 16; float16 weights in half precision (halves.py).

A node says so with the attribute REDUCED; lowering then takes the kernel that does: its key ends in di8 or hf16.
ACTIVATION_BITS says that codes have 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from wherry.graph import Graph, Node, QuantizedValue, Value
from wherry.ops.catalog import catalog
from wherry.ops.rules import ACTIVATION_BITS, LSTMS, REDUCED, WeightUse, composite_op, rule_for
from wherry.pack.stored import PANEL_WIDTH
from wherry.quantize.differences import Outputs, likely_difference, likely_of_rms, rms_difference
from wherry.quantize.formats import FLOAT16, INT16, WeightScheme, quantize
from wherry.quantize.layer_cost import DYNAMIC, FLOATS, WIDE, WIDEST, LayerCost, kind_of
from wherry.quantize.search import Choices, Forms, search

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
        if node.op in LSTMS and shape[1] % (4 * PANEL_WIDTH) != 0:  # gates begin with a panel
            return False
        if math.prod(shape) // max(shape[0 if node.attrs.get("transpose_b") else -1], 1) > MAX_DEPTH:
            return False
    return True


@dataclass
class ArithmeticReport:
    """Which layers multiply in reduced arithmetic. Errors are of outputs, relative to the largest value.

    layers: how many do; wide_layers: those of them whose activations get codes of 16 bits; widest_layers: those of
    these whose weights do, too. error: of all together, None if nobody measured. float_layers: those that stay in float
    arithmetic, with float16 weights, and the error that each would make alone (all of its kind together, where a model
    is measured by kinds), root mean square. conclusive: False when inputs made up here cannot tell, as outputs are
    beyond the limit even where all layers are left in float arithmetic; with samples all stay in it then. halves: in
    half precision, not in whole numbers.
    """

    limit: float
    layers: int = 0
    conclusive: bool = True
    error: float | None = None
    wide_layers: list[str] = field(default_factory=list)
    widest_layers: list[str] = field(default_factory=list)
    float_layers: dict[str, float] = field(default_factory=dict)
    halves: bool = False


# Every trial writes a pack: in models with more float32 weights than this, layers of one kind take a form together.
MOST_MEASURED_BYTES = 400 << 20
# Of the limit: other inputs than those measured may make more of an error.
_MARGIN = 0.8
_CODES_OF_A_BYTE = 256  # so much finer are codes of 16 bits
# Inputs from which on errors of single layers can be told well enough to trust their sum, and to spend bytes on them.
_MANY = 8
_SMALL = 0.1  # of the limit: where rounding activations does less, rounding the weights is taken to do as much


def fit_arithmetic(
    graph: Graph,
    layers: list[Node],
    originals: Mapping[str, Value],
    run: Callable[[Graph], Outputs],
    expected: Outputs,
    limit: float,
    halves: bool = False,
    typical: bool = True,
) -> ArithmeticReport:
    """Lets `layers` multiply in reduced arithmetic, but for those that move outputs too far from float32.

    originals: name -> float32 value of each quantized constant and each corrected bias. run: the outputs of a graph.
    expected: those in float32. halves: in half precision, which has no codes of 16 bits. typical: the outputs are those
    of samples, so a limit that nothing holds is a reason to be as exact as can be, and not to ask nobody.
    """
    set_arithmetic(layers, True)
    error = likely_difference(expected, run(graph))
    report = ArithmeticReport(limit, len(layers), error=error, halves=halves)
    limit *= _MARGIN
    if error <= limit:
        return report
    trials = _Trials(graph, layers, originals, run, not halves)
    exact = dict.fromkeys(trials.groups, FLOATS)
    report.conclusive = typical or likely_difference(expected, trials.outputs(exact)) <= limit
    if report.conclusive:
        errors = trials.errors(_SMALL * limit)
        measured: dict[tuple[str, ...], float] = {}

        def estimate(forms: Forms) -> float:
            # Who measures two dozen choices on a few outputs, and takes the best that fits, takes one that was lucky
            # there. What layers do alone says more: each has been measured, and nobody chose among these.
            error = measured[tuple(forms.values())] = likely_difference(expected, trials.outputs(forms))
            if len(expected) < _MANY:
                return error
            alone = math.hypot(*(errors[group][form] for group, form in forms.items()))
            return max(error, math.hypot(error, likely_of_rms(expected, alone)) / math.sqrt(2))

        found = search(Choices(errors, trials.cost, estimate, limit))
        trials.take(found.forms)
        forms = {layer.name: form for name, form in found.forms.items() for layer in trials.groups[name]}
        kinds = {layer.name: name for name, group in trials.groups.items() for layer in group}
        report.wide_layers = [layer.name for layer in layers if forms[layer.name] in (WIDE, WIDEST)]
        report.widest_layers = [layer.name for layer in layers if forms[layer.name] == WIDEST]
        report.float_layers = {
            layer.name: errors[kinds[layer.name]][DYNAMIC] for layer in layers if forms[layer.name] == FLOATS
        }
        report.layers = len(layers) - len(report.float_layers)
        report.error = measured[tuple(found.forms.values())]
    else:
        trials.take(dict.fromkeys(trials.groups, DYNAMIC))
    return report


class _Trials:
    """Groups of layers that take a form together, and a graph with them in one form or another.

    codes: layers make codes, of 8 or of 16 bits; otherwise they compute with halves, or floats.
    """

    def __init__(
        self,
        graph: Graph,
        layers: Sequence[Node],
        originals: Mapping[str, Value],
        run: Callable[[Graph], Outputs],
        codes: bool,
    ) -> None:
        self.graph = graph
        self.originals = originals
        self.run = run
        self.codes = codes
        self.reduced = {name: graph.nodes[name].value for name in originals}
        self.exact: dict[tuple[str, str], Value] = {}  # (name, format) -> of 16 bits
        large = sum(value.type.nbytes for value in originals.values()) > MOST_MEASURED_BYTES
        self.groups: dict[str, list[Node]] = {}
        owners: dict[str, str] = {}  # layers that share a weight take a form together
        for layer in layers:
            weights = self._weights([layer])
            own = kind_of(graph, layer) if large else layer.name
            group = next((owners[name] for name in weights if name in owners), own)
            owners.update(dict.fromkeys(weights, group))
            self.groups.setdefault(group, []).append(layer)
        self.costs = {
            name: [LayerCost(graph, layer, FLOAT16.bits // 8) for layer in group] for name, group in self.groups.items()
        }

    def cost(self, group: str, form: str, _: Forms) -> float:
        return sum(cost.of(form) for cost in self.costs[group])

    def take(self, forms: Forms) -> None:
        for name, group in self.groups.items():
            set_arithmetic(group, forms[name] != FLOATS, forms[name] in (WIDE, WIDEST))
            scheme = {FLOATS: FLOAT16, WIDEST: INT16}.get(forms[name])
            for weight in self._weights(group):
                self.graph.nodes[weight].value = self._exact(weight, scheme) if scheme else self.reduced[weight]

    def _weights(self, group: Sequence[Node]) -> list[str]:
        """Weights, and biases that were corrected."""
        return [ref.node for layer in group for ref in layer.inputs if ref.node in self.originals]

    def _exact(self, name: str, scheme: WeightScheme) -> Value:
        """A weight of 16 bits, or a bias as it was."""
        reduced = self.reduced[name]
        if not isinstance(reduced, QuantizedValue):
            return self.originals[name]
        key = name, scheme.format
        if key not in self.exact:
            axis = reduced.axis if reduced.axis is not None else -1
            self.exact[key] = quantize(self.originals[name].numpy(), scheme, axis)
        return self.exact[key]

    def _can_be_widest(self, group: Sequence[Node]) -> bool:
        """Recurrent layers have no such form; others must be all that read their weights."""
        weights = set(self._weights(group))
        names = {layer.name for layer in group}
        readers = (node for node in self.graph.nodes.values() if any(ref.node in weights for ref in node.inputs))
        return not any(layer.op in LSTMS for layer in group) and all(node.name in names for node in readers)

    def outputs(self, forms: Forms) -> Outputs:
        self.take(forms)
        return self.run(self.graph)

    def errors(self, small: float) -> dict[str, dict[str, float]]:
        """The error of each group in each form: what outputs change by when it takes another, root mean square.

        All others have 8-bit weights and wide codes where those are among the forms: trials stay small, and errors add
        up as those of independent causes. small: of rounded activations, below which nobody looks at the weights.
        """
        base = dict.fromkeys(self.groups, WIDE if self.codes else FLOATS)
        expected = self.outputs(base)
        found: dict[str, dict[str, float]] = {}
        for name in self.groups:
            activations = rms_difference(expected, self.outputs({**base, name: DYNAMIC}))
            found[name] = {DYNAMIC: activations, FLOATS: 0.0}
            if self.codes:
                weights = activations
                if activations > small:
                    weights = rms_difference(expected, self.outputs({**base, name: FLOATS}))
                both = math.hypot(activations, weights)
                found[name] = {DYNAMIC: both, WIDE: weights, FLOATS: 0.0}
                if len(expected) >= _MANY and self._can_be_widest(self.groups[name]):
                    found[name][WIDEST] = both / _CODES_OF_A_BYTE
        return found

