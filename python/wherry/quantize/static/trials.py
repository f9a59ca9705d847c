"""Rewrites copies of a graph to 8-bit codes in one way or another, and compares outputs on samples with its own."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import numpy as np

from wherry.graph import Graph
from wherry.passes.fuse_activations import fuse_behind
from wherry.quantize.apply import QuantizeReport, quantize_weights
from wherry.quantize.arithmetic import integer_layers, set_arithmetic
from wherry.quantize.formats import WeightScheme
from wherry.quantize.layer_cost import CODES, DYNAMIC, FLOATS
from wherry.quantize.search import likely_largest
from wherry.quantize.static import layers
from wherry.quantize.static.correct import means_of
from wherry.quantize.static.observe import Runner, observe
from wherry.quantize.static.ranges import Calibration
from wherry.quantize.static.rewrite import Rewritten, rewrite, tensors_to_observe, tie_scales
from wherry.quantize.static.samples import Samples

WEIGHTS = WeightScheme("int8", 8, True)  # of layers without a kernel on codes
_ALONE = 6  # batches on which one layer's part in the error is measured


class Trials:
    """The graph, its scales and its own outputs.

    Where there are enough samples some give no scales: on those, values may leave the ranges as they may on any input.
    """

    def __init__(self, graph: Graph, samples: Samples, calibration: Calibration) -> None:
        self.graph = graph
        self.samples = samples
        self.possible = layers.choose(graph, ())
        seen = samples.without_held_out()
        self.scales = observe(graph, tensors_to_observe(graph, self.possible), seen, calibration)
        self.means = means_of(graph, self.scales, seen)
        with Runner(graph) as runner:
            self.expected = [runner.run(batch) for batch in samples.batches()]
        largest = {name: [float(np.abs(outputs[name]).max(initial=0.0)) for outputs in self.expected]
                   for name in graph.outputs}  # fmt: skip
        self.largest = {name: max(found) for name, found in largest.items()}
        # By how much an output's largest value is larger than it usually is in a batch: others have no such value.
        self.above_usual = max((max(f) * len(f) / sum(f) for f in largest.values() if sum(f) > 0), default=1.0)
        self.linear = [node.name for node in graph.topological()
                       if node.name in self.possible and layers.op_of(node) in layers.LINEAR]  # fmt: skip

    def rewritten(self, forms: Mapping[str, str]) -> tuple[Graph, Rewritten, QuantizeReport]:
        """The graph on codes, but for the layers that have another form.

        What has weights but no kernel on codes, as an LSTM, gets 8-bit weights for float arithmetic.
        """
        graph = self.graph.copy()
        left = {name for name, form in forms.items() if form != CODES}
        dynamic = {name for name in left if forms[name] == DYNAMIC}
        chosen = layers.choose(graph, left)
        scales = dict(self.scales)
        tie_scales(graph, chosen, scales)
        float_weights = {graph.nodes[name].inputs[1].node for name in left - dynamic}
        rewritten = rewrite(graph, chosen, scales, self.means, dynamic)
        if left:
            fuse_behind(graph)
        made = [node for node in integer_layers(graph) if node.inputs[1].node in rewritten.dynamic]
        set_arithmetic(made, True)
        return graph, rewritten, quantize_weights(graph, WEIGHTS, float_weights)

    def errors(self, graph: Graph, most: int | None = None) -> tuple[dict[str, float], float, int]:
        """Each output's largest difference, the largest root mean square one, relative to the largest value, and of how
        many values it is. most: batches that count."""
        worst = dict.fromkeys(self.largest, 0.0)
        sums = dict.fromkeys(self.largest, 0.0)
        counts = dict.fromkeys(self.largest, 0)
        with Runner(graph) as runner:
            for batch, expected in itertools.islice(zip(self.samples.batches(), self.expected, strict=True), most):
                for name, found in runner.run(batch).items():
                    difference = found.astype(np.float64) - expected[name]
                    scale = self.largest[name] or 1.0
                    worst[name] = max(worst[name], float(np.abs(difference).max(initial=0.0)) / scale)
                    sums[name] += float((difference**2).sum()) / scale**2
                    counts[name] += difference.size
        square, count = max(((sums[name] / count, count) for name, count in counts.items() if count), default=(0.0, 0))
        return worst, square**0.5, count

    def likely_error(self, forms: Mapping[str, str]) -> float:
        """The largest error to expect of any output on other inputs when layers have these forms, relative to what is
        their largest value as a rule."""
        worst, rms, count = self.errors(self.rewritten(forms)[0])
        return max(max(worst.values(), default=0.0), likely_largest(0.0, rms, count) * self.above_usual)

    def error_alone(self, names: Collection[str], form: str) -> float:
        """The root mean square error when these layers have a form and all others are in float arithmetic."""
        forms = {name: form if name in names else FLOATS for name in self.linear}
        return self.errors(self.rewritten(forms)[0], _ALONE)[1]
