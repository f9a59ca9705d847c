"""int8-static: finds scales on samples, rewrites the graph to 8-bit codes, and takes layers that would move the outputs
too far off them again: to codes that are made as they run, or to float arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wherry.graph import Graph, QuantizedValue
from wherry.quantize.apply import LeftLayer, QuantizeReport, StaticReport, measure_weight
from wherry.quantize.arithmetic import MOST_MEASURED_BYTES
from wherry.quantize.formats import STATIC
from wherry.quantize.layer_cost import CODES, DYNAMIC, FLOATS, LayerCost
from wherry.quantize.search import Choices, Forms, groups_of, search
from wherry.quantize.static import layers
from wherry.quantize.static.ranges import Calibration
from wherry.quantize.static.samples import Samples
from wherry.quantize.static.trials import Trials

TOLERANCE = 0.02
_MARGIN = 0.9  # of the tolerance is used when layers are chosen: other inputs than the samples give other errors
_GROUPS = 64  # of neighbouring layers, each measured alone in every form: so many runs over samples
_NEGLIGIBLE = 0.05  # of the limit: groups whose root mean square errors together are less keep to codes
_REASON = "the outputs would differ by more than the tolerance"


def quantize_static(
    graph: Graph, samples: Samples, calibration: Calibration, tolerance: float = TOLERANCE
) -> QuantizeReport:
    """Rewrites an optimised graph in place. The graph still converts to a GraphDef that TensorFlow runs.

    tolerance: the largest difference of an output on the samples, relative to its largest value. Where it is larger,
    layers take other forms, those first that lose least time for what they do to the outputs. Graphs of
    more than MOST_MEASURED_BYTES keep all layers on codes: to measure a layer alone, the whole is packed.
    """
    trials = Trials(graph, samples, calibration)
    static = StaticReport(str(calibration), samples.count, tolerance)
    made, rewritten, report = trials.rewritten({})
    outputs = trials.errors(made)[0]
    values = [node.value for node in graph.nodes.values() if node.value is not None]
    small = sum(value.type.nbytes for value in values) <= MOST_MEASURED_BYTES
    if max(outputs.values(), default=0.0) > tolerance and small:
        groups = _Groups(trials)
        forms = groups.layer_forms(search(groups.choices(_MARGIN * tolerance)).forms)
        static.left = [
            LeftLayer(name, layers.op_of(graph.nodes[name]), form, groups.error_of(name), _REASON)
            for name, form in forms.items()
            if form != CODES
        ]
        made, rewritten, report = trials.rewritten(forms)
        outputs = trials.errors(made)[0]
    static.error = max(outputs.values(), default=0.0)
    static.layers, static.tensors = len(trials.linear) - len(static.left), rewritten.tensors
    report.scheme, report.outputs, report.static = STATIC, outputs, static
    before = {name: graph.nodes[name].value for name in rewritten.weights.values()}
    for codes, name in rewritten.weights.items():
        value, held = made.nodes[codes].value, before[name]
        assert held is not None and isinstance(value, QuantizedValue)
        array = held.numpy()
        if array.shape != value.type.shape:
            array = array.T
        report.tensors.append(measure_weight(name, np.ascontiguousarray(array), value))
    graph.nodes, graph.outputs, graph.functions = made.nodes, made.outputs, made.functions
    return report


class _Groups:
    """Groups of neighbouring layers, which take a form together."""

    def __init__(self, trials: Trials) -> None:
        self.trials = trials
        graph = trials.graph
        self.groups = {str(number): names for number, names in enumerate(groups_of(trials.linear, _GROUPS))}
        self.group_of = {name: group for group, names in self.groups.items() for name in names}
        self.depthwise = {name for name in trials.linear if layers.op_of(graph.nodes[name]) in layers.DEPTHWISE}
        self.costs = {name: LayerCost(graph, graph.nodes[name]) for name in trials.linear}
        self.sources = _linear_sources(graph, trials.linear)
        self.readers: dict[str, list[str]] = {name: [] for name in trials.linear}
        for name, sources in self.sources.items():
            for source in sources:
                self.readers.setdefault(source, []).append(name)
        self.errors: dict[str, dict[str, float]] = {}

    def choices(self, limit: float) -> Choices:
        """Measures every group alone: all on codes, and those whose errors count in their other forms too."""
        measure = self.trials.error_alone
        alone = {group: measure(names, CODES) for group, names in self.groups.items()}
        left = (_NEGLIGIBLE * limit) ** 2
        for group in sorted(alone, key=alone.__getitem__):
            left -= alone[group] ** 2
            self.errors[group] = {CODES: alone[group]}
            if left < 0:
                if not self.depthwise.issuperset(self.groups[group]):
                    self.errors[group][DYNAMIC] = measure(self.groups[group], DYNAMIC)
                self.errors[group][FLOATS] = 0.0
        errors = {group: self.errors[group] for group in self.groups}
        return Choices(errors, self._cost, lambda forms: self.trials.likely_error(self.layer_forms(forms)), limit)

    def error_of(self, name: str) -> float:
        return self.errors[self.group_of[name]][CODES]

    def layer_forms(self, forms: Forms) -> Forms:
        return {name: self._form(name, forms) for name in self.trials.linear}

    def _form(self, name: str, forms: Forms) -> str:
        form = forms[self.group_of[name]]
        return FLOATS if form == DYNAMIC and name in self.depthwise else form

    def _cost(self, group: str, form: str, forms: Forms) -> float:
        """Of its layers, and what a change of its form costs its neighbours."""
        names: Sequence[str] = self.groups[group]
        around = {name for own in names for name in (*self.sources[own], *self.readers[own]) if name in self.costs}
        total = 0.0
        for name in around.union(names):
            on_codes = [source in self.costs and self._form(source, forms) == CODES for source in self.sources[name]]
            read = [self._form(reader, forms) == CODES for reader in self.readers[name]]
            total += self.costs[name].of(self._form(name, forms), not all(on_codes), not any(read))
        return total


def _linear_sources(graph: Graph, names: Sequence[str]) -> dict[str, set[str]]:
    """For each layer the layers (or inputs) whose results it reads, through whatever lies between them."""
    linear = set(names)
    ends: dict[str, set[str]] = {}
    found: dict[str, set[str]] = {}
    for node in graph.topological():
        above: set[str] = set()
        for ref in node.inputs:
            above |= ends.get(ref.node, set())
        if node.op == "Const":
            continue
        if node.name in linear:
            found[node.name] = above
        ends[node.name] = {node.name} if node.name in linear or not above else above
    return found
