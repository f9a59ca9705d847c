"""Rewrites copies of a graph to 8-bit codes in one way or another, and compares outputs on samples with its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from wherry.graph import Graph
from wherry.passes.fuse_activations import fuse_behind
from wherry.quantize.apply import quantizable, quantize_weights
from wherry.quantize.arithmetic import MOST_MEASURED_BYTES, integer_layers, set_arithmetic
from wherry.quantize.bias import inputs_of_layers, positions
from wherry.quantize.differences import Outputs, relative_differences, rms
from wherry.quantize.formats import WeightScheme
from wherry.quantize.layer_cost import CODES, DYNAMIC, FLOATS, WIDE
from wherry.quantize.search import likely_largest
from wherry.quantize.static import layers
from wherry.quantize.static.observe import Runner, observe
from wherry.quantize.static.ranges import Calibration
from wherry.quantize.static.rewrite import Rewritten, rewrite, tensors_to_observe, tie_scales
from wherry.quantize.static.rounded import RoundedLayers
from wherry.quantize.static.samples import Samples
from wherry.quantize.static.shorts import allow_shorts, can_take_shorts

if TYPE_CHECKING:
    from wherry.pack.writer import PackedWeights

WEIGHTS = WeightScheme("int8", 8, True)  # of layers without a kernel on codes


class Trials:
    """The graph, its scales and its own outputs.

    Where there are enough samples some give no scales: on those, values may leave the ranges as they may on any input.
    Weights are rounded and packed once for all trials.

    linear: names of the layers that can compute on codes of fixed scales. reducible: those without a kernel for that,
    as LSTMs, which can make codes as they run. large: to write float32 weights for every trial takes too much time;
    layers in float arithmetic have float16 ones. takes_shorts: CPUs may make products of layers in float arithmetic in
    whole numbers of 16 bits.
    """

    def __init__(self, graph: Graph, samples: Samples, calibration: Calibration) -> None:
        self.graph = graph
        self.samples = samples
        values = [node.value for node in graph.nodes.values() if node.value is not None]
        self.large = sum(value.type.nbytes for value in values) > MOST_MEASURED_BYTES
        self.possible = layers.choose(graph, ())
        order = [node for node in graph.topological() if node.name in self.possible]
        self.linear = [node.name for node in order if layers.op_of(node) in layers.LINEAR]
        self.depthwise = {node.name for node in order if layers.op_of(node) in layers.DEPTHWISE}
        wanted = dict.fromkeys([*tensors_to_observe(graph, self.possible), *inputs_of_layers(graph)])
        observed = observe(graph, list(wanted), samples, calibration)
        self.scales, self.expected = observed.scales, observed.outputs
        self.largest: dict[str, float] = {}  # weight -> of what its layers read
        for name in self.linear:
            weight, read = _weight_of(graph, name), observed.largest[graph.nodes[name].inputs[0]]
            self.largest[weight] = max(self.largest.get(weight, 0.0), read)
        self.rounded = RoundedLayers(graph, observed.means)
        self.packed: PackedWeights = {}
        largest = {name: [float(np.abs(outputs[name]).max(initial=0.0)) for outputs in self.expected]
                   for name in graph.outputs}  # fmt: skip
        # By how much an output's largest value is larger than it usually is in a batch: others have no such value.
        self.above_usual = max((max(f) * len(f) / sum(f) for f in largest.values() if sum(f) > 0), default=1.0)
        copied = graph.copy()
        made = quantize_weights(copied, WEIGHTS, {_weight_of(graph, name) for name in self.linear}).tensors
        others = {tensor.name for tensor in made}
        self.reducible = [node.name for node in integer_layers(copied) if _weight_of(copied, node.name) in others]
        others -= {_weight_of(graph, name) for name in self.reducible}
        self.takes_shorts = not self.large and any(can_take_shorts(graph, graph.nodes[name]) for name in self.linear)
        # 8-bit weights that are multiplied in float arithmetic.
        self.others = {name: copied.nodes[name].value for name in others}
        self.other_errors = [tensor for tensor in made if tensor.name in others]

    def rewritten(self, forms: Mapping[str, str]) -> tuple[Graph, Rewritten]:
        """The graph on codes of fixed scales, but for the layers that have another form (see `form_of`)."""
        graph = self.graph.copy()
        held = {name: self.form_of(name, forms.get(name, CODES)) for name in (*self.linear, *self.reducible)}
        left = {name for name, form in held.items() if form != CODES}
        floats = {name for name in left if held[name] == FLOATS}
        chosen = layers.choose(graph, left)
        scales = dict(self.scales)
        tie_scales(graph, chosen, scales)
        weights = {_weight_of(graph, name) for name in floats - self.depthwise} & quantizable(graph).keys()
        in_floats = {_weight_of(graph, name) for name in floats.intersection(self.linear) - self.depthwise}
        rewritten = rewrite(graph, chosen, scales, self.rounded, left - floats)
        if left:
            fuse_behind(graph)
        for node in integer_layers(graph):
            layer = rewritten.reduced.get(_weight_of(graph, node.name))
            if layer is not None:
                set_arithmetic([node], True, held[layer] == WIDE)
        rewritten.halves = sorted(weights) if self.large else []
        for name in rewritten.halves:
            graph.nodes[name].value = self.rounded.half(name)
        if self.takes_shorts:
            allow_shorts(graph, {name: self.largest[name] for name in in_floats})
        for name in self.others.keys() & graph.nodes.keys():
            graph.nodes[name].value = self.others[name]
        return graph, rewritten

    def form_of(self, name: str, form: str) -> str:
        """The form, or the next in exactness that a layer can have.

        In small models no layer that could compute on codes of fixed scales gets codes of 16 bits: those whose
        activations need them are short of depth, and run faster in chains of convolutions in floats.
        """
        if name in self.reducible:
            return DYNAMIC if form == CODES else form
        if name in self.depthwise:
            return CODES if form == CODES else FLOATS
        return FLOATS if form == WIDE and not self.large else form

    def outputs(self, graph: Graph, most: int | None = None) -> Outputs:
        """What a graph makes of batches of samples, in their order; of all, or of the first so many."""
        with Runner(graph, self.packed) as runner:
            return [runner.run(batch) for batch in itertools.islice(self.samples.batches(), most)]

    def likely_error(self, forms: Mapping[str, str]) -> float:
        """The largest error to expect of any output on other inputs when layers have these forms, relative to what is
        their largest value as a rule."""
        parts = relative_differences(self.expected, self.outputs(self.rewritten(forms)[0])).values()
        return max((max(float(np.abs(part).max()), likely_largest(0.0, rms(part), part.size) * self.above_usual)
                    for part in parts if part.size), default=0.0)  # fmt: skip

    def choose_shorts(self, limit: float) -> None:
        """None are taken where they alone would make more of an error than this."""
        floats = dict.fromkeys((*self.linear, *self.reducible), FLOATS)
        self.takes_shorts = self.takes_shorts and self.likely_error(floats) <= limit

    def likely_of_rms(self, error: float) -> float:
        """The largest error to expect where the root mean square of all is this."""
        count = sum(values.size for outputs in self.expected for values in outputs.values())
        return likely_largest(0.0, error, count) * self.above_usual


def _weight_of(graph: Graph, name: str) -> str:
    node = graph.nodes[name]
    return node.inputs[positions(node)[0]].node
