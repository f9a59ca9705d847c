"""int8-static: finds scales on samples, rewrites the graph to 8-bit codes, and leaves layers in float arithmetic where
the outputs would move too far."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np

from wherry.graph import Graph, QuantizedValue, Ref
from wherry.ops.cost import macs
from wherry.quantize.apply import FloatLayer, QuantizeReport, StaticReport, measure_weight, quantize_weights
from wherry.quantize.arithmetic import MOST_MEASURED_BYTES
from wherry.quantize.formats import STATIC, WeightScheme
from wherry.quantize.static import layers
from wherry.quantize.static.correct import means_of
from wherry.quantize.static.observe import Runner, observe
from wherry.quantize.static.ranges import Calibration
from wherry.quantize.static.rewrite import Rewritten, rewrite, tensors_to_observe, tie_scales
from wherry.quantize.static.samples import Samples

TOLERANCE = 0.02
WEIGHTS = WeightScheme("int8", 8, True)  # of layers without a kernel on codes
_MARGIN = 0.8  # of the tolerance is used when layers are chosen: other inputs than the samples give other errors
_SEGMENTS = 64  # groups of layers whose part in the error is measured: so many runs over the samples
_TRIED_AGAIN = 24  # groups that are tried on codes again, one by one, when the others are chosen


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

    def rewritten(self, kept: Collection[str]) -> tuple[Graph, Rewritten, QuantizeReport]:
        """The graph on codes, but for these layers, which stay as they are.

        What has weights but no kernel on codes, as an LSTM, gets 8-bit weights for float arithmetic.
        """
        graph = self.graph.copy()
        chosen = layers.choose(graph, kept)
        scales = dict(self.scales)
        tie_scales(graph, chosen, scales)
        float_weights = {graph.nodes[name].inputs[1].node for name in kept}
        rewritten = rewrite(graph, chosen, scales, self.means)
        return graph, rewritten, quantize_weights(graph, WEIGHTS, float_weights)

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
    layers stay in float arithmetic, those first that take least time there for what they do to the outputs. Graphs of
    more than MOST_MEASURED_BYTES keep all layers on codes: to measure a layer alone, the whole is packed.
    """
    trials = _Trials(graph, samples, calibration)
    static = StaticReport(str(calibration), samples.count, tolerance)
    kept: dict[str, float] = {}
    made, rewritten, report = trials.rewritten(kept)
    outputs, _ = trials.errors(made)
    values = [node.value for node in graph.nodes.values() if node.value is not None]
    small = sum(value.type.nbytes for value in values) <= MOST_MEASURED_BYTES
    if max(outputs.values(), default=0.0) > tolerance and small:
        kept = _layers_to_keep(trials, tolerance)
        made, rewritten, report = trials.rewritten(kept)
        outputs, _ = trials.errors(made)
    static.error = max(outputs.values(), default=0.0)
    static.layers, static.tensors = len(trials.linear) - len(kept), rewritten.tensors
    static.float_layers = [
        FloatLayer(name, layers.op_of(graph.nodes[name]), error, "the outputs would differ by more than the tolerance")
        for name, error in kept.items()
    ]
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


def _segments(trials: _Trials) -> list[list[str]]:
    """Layers in groups of neighbours."""
    count = min(_SEGMENTS, len(trials.linear))
    bounds = [len(trials.linear) * i // count for i in range(count + 1)]
    return [trials.linear[a:b] for a, b in itertools.pairwise(bounds)]


def _gain(graph: Graph, names: Sequence[str]) -> float:
    """Roughly what layers take less on codes than in float arithmetic, in multiply-adds of a convolution.

    A depthwise convolution reads every value for few multiply-adds: on AVX-512 one of them gains what four of a
    convolution do, and on others no less.
    """
    total = 0.0
    for name in names:
        node = graph.nodes[name]
        op = layers.op_of(node)
        shapes = [tuple(int(d or 0) for d in graph.type_of(ref).shape or ()) for ref in (*node.inputs, Ref(name))]
        total += macs(op, shapes[:-1], shapes[-1:]) * (4 if op in layers.DEPTHWISE else 1)
    return max(total, 1.0)


def _layers_to_keep(trials: _Trials, tolerance: float) -> dict[str, float]:
    """Layers for float arithmetic -> what they do to the outputs alone.

    Each group of layers is run on codes alone. Groups are kept by the square of their error (squares of independent
    errors add up) for what they would gain on codes; as few as a search by halves finds to do. Then each of them goes
    back to codes, those that gain most first, if the outputs still fit.
    """
    groups = _segments(trials)
    alone = [trials.without([name for name in trials.linear if name not in group])[1] for group in groups]
    gains = [_gain(trials.graph, group) for group in groups]
    order = sorted(range(len(groups)), key=lambda i: -(alone[i] ** 2) / gains[i])

    def fits(kept: Collection[int]) -> bool:
        return trials.without([name for i in kept for name in groups[i]])[0] <= _MARGIN * tolerance

    fewest, most = 0, len(order)  # none does not fit, all does
    while most - fewest > 1:
        middle = (fewest + most) // 2
        if fits(order[:middle]):
            most = middle
        else:
            fewest = middle
    kept = set(order[:most])
    for i in sorted(kept, key=lambda i: -gains[i])[:_TRIED_AGAIN]:
        if len(kept) > 1 and fits(kept - {i}):
            kept.discard(i)
    return {name: alone[i] for i in sorted(kept) for name in groups[i]}
