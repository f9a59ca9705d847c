"""int8-static: finds scales on samples, rewrites the graph to 8-bit codes, and takes layers that would move the outputs
too far off them again: to codes that are made as they run, or to float arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from wherry.graph import Graph, QuantizedValue
from wherry.ops.rules import FRACTION_BITS
from wherry.quantize.apply import (
    LeftLayer,
    QuantizeReport,
    StaticReport,
    TensorError,
    count_weight_bytes,
    measure_weight,
)
from wherry.quantize.differences import Outputs, largest_differences, rms_difference
from wherry.quantize.formats import STATIC
from wherry.quantize.layer_cost import CODES, DYNAMIC, FLOATS, WIDE, LayerCost, kind_of
from wherry.quantize.search import Choices, Forms, groups_of, search
from wherry.quantize.static import layers
from wherry.quantize.static.ranges import Calibration
from wherry.quantize.static.rewrite import Rewritten
from wherry.quantize.static.samples import Samples
from wherry.quantize.static.shorts import can_take_shorts
from wherry.quantize.static.trials import Trials

TOLERANCE = 0.02
_MARGIN = 0.9  # of the tolerance is used when layers are chosen: other inputs than the samples give other errors
_ALONE = 6  # batches on which one group's part in the error is measured
_GROUPS = 64  # of neighbouring layers, each measured alone in every form: so many runs over samples
_SHORTS = 0.25  # of the tolerance is what products of shorts may take, where they take the place of floats
# Of the limit: groups whose root mean square errors together are less keep to codes, at first. The few groups of large
# models, of many layers each, differ more from each other.
_NEGLIGIBLE, _NEGLIGIBLE_LARGE = 0.02, 0.05
_REASON = "the outputs would differ by more than the tolerance"


def quantize_static(
    graph: Graph, samples: Samples, calibration: Calibration, tolerance: float = TOLERANCE
) -> QuantizeReport:
    """Rewrites an optimised graph in place. The graph still converts to a GraphDef that TensorFlow runs.

    tolerance: the largest difference of an output on the samples, relative to its largest value. Where it is larger,
    layers take other forms, those first that lose least time for what they do to the outputs.
    """
    trials = Trials(graph, samples, calibration)
    static = StaticReport(str(calibration), samples.count, tolerance)
    made, rewritten = trials.rewritten({})
    outputs = largest_differences(trials.expected, trials.outputs(made))
    if max(outputs.values(), default=0.0) > tolerance:
        trials.choose_shorts(_SHORTS * tolerance)
        groups = _Groups(trials)
        found = search(groups.choices(_MARGIN * tolerance, groups.negligible))
        if not found.fits:  # single values may move far where a whole output hardly does
            found = search(groups.choices(_MARGIN * tolerance, 0.0))
        forms = groups.layer_forms(found.forms)
        static.left = [
            LeftLayer(name, layers.op_of(graph.nodes[name]), form, groups.error_of(name), _REASON)
            for name, form in forms.items()
            if form != trials.form_of(name, CODES)
        ]
        made, rewritten = trials.rewritten(forms)
        outputs = largest_differences(trials.expected, trials.outputs(made))
    static.error = max(outputs.values(), default=0.0)
    static.layers = len(set(trials.linear).difference(layer.name for layer in static.left))
    static.tensors = rewritten.tensors
    static.shorts = sum(FRACTION_BITS in node.attrs for node in made.nodes.values())
    report = QuantizeReport(STATIC, [*trials.other_errors, *_weight_errors(graph, made, rewritten)])
    report.outputs, report.static = outputs, static
    count_weight_bytes(made, report)
    graph.nodes, graph.outputs, graph.functions = made.nodes, made.outputs, made.functions
    return report


def _weight_errors(graph: Graph, made: Graph, rewritten: Rewritten) -> list[TensorError]:
    """What became of the weights of layers."""
    sources = {**rewritten.weights, **{name: name for name in rewritten.halves}}
    found = []
    for codes, name in sources.items():
        value, held = made.nodes[codes].value, graph.nodes[name].value
        assert held is not None and isinstance(value, QuantizedValue)
        array = held.numpy()
        if array.shape != value.type.shape:
            array = array.T
        found.append(measure_weight(name, np.ascontiguousarray(array), value))
    return found


class _Groups:
    """Groups of layers that take a form together: neighbours, or in large models, layers of one kind.

    A group is measured alone beside others in one form, `_base`: in floats, or in large models, where that takes much
    time, with 8-bit weights and codes of 16 bits.
    """

    def __init__(self, trials: Trials) -> None:
        self.trials = trials
        graph = trials.graph
        self.large = trials.large
        self.negligible = _NEGLIGIBLE_LARGE if self.large else _NEGLIGIBLE
        self.names = [*trials.linear, *trials.reducible]
        self.groups: dict[str, list[str]] = {}
        if not self.large:
            self.groups = {str(number): names for number, names in enumerate(groups_of(trials.linear, _GROUPS))}
        for name in self.names if self.large else trials.reducible:
            self.groups.setdefault(kind_of(graph, graph.nodes[name]), []).append(name)
        self.group_of = {name: group for group, names in self.groups.items() for name in names}
        float_bytes = 2 if self.large else 4
        self.costs = {
            name: LayerCost(
                graph, graph.nodes[name], float_bytes, trials.takes_shorts and can_take_shorts(graph, graph.nodes[name])
            )
            for name in self.names
        }
        self.sources = _linear_sources(graph, self.names)
        self.readers: dict[str, list[str]] = {name: [] for name in self.names}
        for name, sources in self.sources.items():
            for source in sources:
                self.readers.setdefault(source, []).append(name)
        self.errors: dict[str, dict[str, float]] = {}
        self._base = {group: WIDE if self.large and WIDE in self._forms(group) else FLOATS for group in self.groups}
        self._expected = self._outputs(self._base)

    def choices(self, limit: float, negligible: float) -> Choices:
        """Measures every group alone: all in their cheapest form, and those whose errors count in the others too.

        negligible: of the limit; groups whose root mean square errors together are less have their cheapest form only.
        """
        cheapest = {group: self._moved(group, self._forms(group)[0]) for group in self.groups}
        left = (negligible * limit) ** 2
        found: dict[str, dict[str, float]] = {}
        for group in sorted(cheapest, key=cheapest.__getitem__):
            left -= cheapest[group] ** 2
            found[group] = {self._forms(group)[0]: cheapest[group]}
            if left < 0:
                found[group] = self._finer(group, found[group])
        self.errors.update((group, found[group]) for group in self.groups)
        return Choices(self.errors, self._cost, self._likely_error, limit)

    def _likely_error(self, forms: Forms) -> float:
        """Who measures two dozen choices on a few outputs, and takes the best that fits, takes one that was lucky
        there. What groups do alone says more: nobody chose among these. In large models there is less of a choice, and
        kinds of layers, measured beside codes of 16 bits, seem to do more alone than they do together."""
        error = self.trials.likely_error(self.layer_forms(forms))
        if self.large:
            return error
        alone = self.trials.likely_of_rms(math.hypot(*(self.errors[group][form] for group, form in forms.items())))
        return max(error, math.hypot(error, alone) / math.sqrt(2))

    def _forms(self, group: str) -> list[str]:
        """Those that some layer of a group can have, from the cheapest to the most exact, but for floats."""
        form_of = self.trials.form_of
        return [form for form in (CODES, DYNAMIC, WIDE) if any(form_of(n, form) == form for n in self.groups[group])]

    def _finer(self, group: str, moved: Mapping[str, float]) -> dict[str, float]:
        """The error of a group in each form. moved: by how much it moves outputs in the cheapest one."""
        forms = [form for form in self._forms(group) if form != self._base[group]]
        errors = {form: moved[form] if form in moved else self._moved(group, form) for form in forms}
        if self._base[group] == WIDE:
            weights = self._moved(group, FLOATS)
            errors = {form: math.hypot(error, weights) for form, error in errors.items()}
            errors[WIDE] = weights
        return {**errors, FLOATS: 0.0}

    def _moved(self, group: str, form: str) -> float:
        """What outputs change by, root mean square, when a group takes a form and all others keep theirs."""
        return rms_difference(self._expected, self._outputs({**self._base, group: form}))

    def _outputs(self, forms: Forms) -> Outputs:
        return self.trials.outputs(self.trials.rewritten(self.layer_forms(forms))[0], _ALONE)

    def error_of(self, name: str) -> float:
        return next(iter(self.errors[self.group_of[name]].values()))

    def layer_forms(self, forms: Forms) -> Forms:
        return {name: self._form(name, forms) for name in self.names}

    def _form(self, name: str, forms: Forms) -> str:
        return self.trials.form_of(name, forms[self.group_of[name]])

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
