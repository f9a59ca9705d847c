"""int8-static: finds scales on samples, rewrites the graph to 8-bit codes, and leaves layers in float arithmetic where
the outputs would move too far."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np

from wherry.graph import Graph, QuantizedValue, Ref
from wherry.ops.cost import macs
from wherry.quantize.apply import FloatLayer, QuantizeReport, StaticReport, count_weight_bytes, measure_weight
from wherry.quantize.static import layers
from wherry.quantize.static.correct import means_of
from wherry.quantize.static.observe import Runner, observe
from wherry.quantize.static.ranges import Calibration
from wherry.quantize.static.rewrite import Rewritten, rewrite, tensors_to_observe, tie_scales
from wherry.quantize.static.samples import Samples

TOLERANCE = 0.02
_SEGMENTS = 32  # groups of layers whose part in the error is measured: so many runs over the samples


class _Trials:
    """Rewrites copies of a graph and compares their outputs with the graph's own on the samples."""

    def __init__(self, graph: Graph, samples: Samples, calibration: Calibration) -> None:
        self.graph = graph
        self.samples = samples
        everything = layers.choose(graph, ())
        self.scales = observe(graph, tensors_to_observe(graph, everything), samples, calibration)
        self.means = means_of(graph, self.scales, samples)
        with Runner(graph) as runner:
            self.expected = [runner.run(batch) for batch in samples.batches()]
        self.largest = {
            name: max(float(np.abs(outputs[name]).max(initial=0.0)) for outputs in self.expected)
            for name in graph.outputs
        }
        self.linear = [node.name for node in graph.topological()
                       if node.name in everything and layers.op_of(node) in layers.LINEAR]  # fmt: skip

    def rewritten(self, kept: Collection[str]) -> tuple[Graph, Rewritten]:
        """The graph on codes, but for these layers."""
        graph = self.graph.copy()
        chosen = layers.choose(graph, kept)
        scales = dict(self.scales)
        tie_scales(graph, chosen, scales)
        return graph, rewrite(graph, chosen, scales, self.means)

    def errors(self, graph: Graph) -> tuple[dict[str, float], float]:
        """Each output's largest difference, and the largest root mean square one, relative to the largest value."""
        worst = dict.fromkeys(self.largest, 0.0)
        with Runner(graph) as runner:
            totals = {name: [0.0, 0] for name in self.largest}
            for batch, expected in zip(self.samples.batches(), self.expected, strict=True):
                for name, found in runner.run(batch).items():
                    difference = found.astype(np.float64) - expected[name]
                    scale = self.largest[name] or 1.0
                    worst[name] = max(worst[name], float(np.abs(difference).max(initial=0.0)) / scale)
                    totals[name][0] += float((difference**2).sum()) / scale**2
                    totals[name][1] += difference.size
        square = max((total / count for total, count in totals.values() if count), default=0.0)
        return worst, square**0.5

    def without(self, kept: Collection[str]) -> tuple[float, float]:
        """The largest and the root mean square error of any output when these layers are in float arithmetic."""
        worst, rms = self.errors(self.rewritten(kept)[0])
        return max(worst.values(), default=0.0), rms


def quantize_static(
    graph: Graph, samples: Samples, calibration: Calibration, tolerance: float = TOLERANCE
) -> QuantizeReport:
    """Rewrites an optimised graph in place. The graph still converts to a GraphDef that TensorFlow runs.

    tolerance: the largest difference of an output on the samples, relative to its largest value. Where it is larger,
    layers stay in float arithmetic, those first that take least time there for what they do to the outputs.
    """
    trials = _Trials(graph, samples, calibration)
    static = StaticReport(str(calibration), samples.count, tolerance)
    kept: dict[str, float] = {}
    made, rewritten = trials.rewritten(kept)
    outputs, _ = trials.errors(made)
    if max(outputs.values(), default=0.0) > tolerance:
        kept = _layers_to_keep(trials, max(outputs.values()), tolerance)
        made, rewritten = trials.rewritten(kept)
        outputs, _ = trials.errors(made)
    static.error = max(outputs.values(), default=0.0)
    static.layers, static.tensors = len(trials.linear) - len(kept), rewritten.tensors
    static.float_layers = [
        FloatLayer(name, layers.op_of(graph.nodes[name]), error, "the outputs would differ by more than the tolerance")
        for name, error in kept.items()
    ]
    report = QuantizeReport("int8-static", outputs=outputs, static=static)
    before = {name: graph.nodes[name].value for name in rewritten.weights.values()}
    for codes, name in rewritten.weights.items():
        value, held = made.nodes[codes].value, before[name]
        assert held is not None and isinstance(value, QuantizedValue)
        array = held.numpy()
        if array.shape != value.type.shape:
            array = array.T
        report.tensors.append(measure_weight(name, np.ascontiguousarray(array), value))
    count_weight_bytes(made, report)
    graph.nodes, graph.outputs, graph.functions = made.nodes, made.outputs, made.functions
    return report


def _segments(trials: _Trials) -> list[list[str]]:
    """Layers in groups of neighbours."""
    count = min(_SEGMENTS, len(trials.linear))
    bounds = [len(trials.linear) * i // count for i in range(count + 1)]
    return [trials.linear[a:b] for a, b in itertools.pairwise(bounds)]


def _cost(graph: Graph, names: Sequence[str]) -> float:
    """Multiply-adds of layers: what they take longer in float arithmetic goes with it."""
    total = 0
    for name in names:
        node = graph.nodes[name]
        shapes = [tuple(int(d or 0) for d in graph.type_of(ref).shape or ()) for ref in node.inputs]
        total += macs(layers.op_of(node), shapes, [tuple(int(d or 0) for d in graph.type_of(Ref(name)).shape or ())])
    return float(max(total, 1))


def _layers_to_keep(trials: _Trials, worst: float, tolerance: float) -> dict[str, float]:
    """Layers for float arithmetic -> what they do to the outputs alone.

    Each group of layers is run on codes alone. Errors of groups are taken as independent, so their squares add up;
    groups are kept by error squared for each multiply-add until the rest fits, and more while the measured error does
    not.
    """
    groups = _segments(trials)
    alone: list[float] = []
    for group in groups:
        others = [name for name in trials.linear if name not in group]
        alone.append(trials.without(others)[1])
    order = sorted(range(len(groups)), key=lambda i: -(alone[i] ** 2) / _cost(trials.graph, groups[i]))
    total = sum(error**2 for error in alone)
    wanted = (tolerance / worst) ** 2 * total
    count, rest = 0, total
    while count < len(order) and rest > wanted:
        rest -= alone[order[count]] ** 2
        count += 1
    while True:
        kept = {name: alone[i] for i in order[:count] for name in groups[i]}
        if count == len(order) or trials.without(kept)[0] <= tolerance:
            return kept
        count += 1
