"""Quantizes the weights of a graph in place, one tensor at a time, and measures the error of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from wherry.errors import LoadError, UsageError
from wherry.graph import DType, Graph, QuantizedValue, Value
from wherry.ops.rules import WeightUse, composite_op, rule_for
from wherry.quantize.arithmetic import ArithmeticReport
from wherry.quantize.formats import WeightScheme, quantize

# Smaller weights stay in float32: their codes would save less than their scales and one page cost.
MIN_ELEMENTS = 1024


@dataclass(frozen=True)
class TensorError:
    """What quantization did to one weight. Errors are of the values read back, in the weight's own units."""

    name: str
    shape: tuple[int, ...]
    bytes_before: int
    bytes_after: int
    largest: float  # |value|
    max_error: float
    rms_error: float
    relative_rms: float  # rms error / rms value


@dataclass
class QuantizeReport:
    scheme: str
    tensors: list[TensorError] = field(default_factory=list)
    weight_bytes_before: int = 0
    weight_bytes_after: int = 0
    outputs: dict[str, float] = field(default_factory=dict)  # output -> largest error relative to the largest value
    arithmetic: ArithmeticReport | None = None  # of int8
    static: StaticReport | None = None  # of int8-static


@dataclass(frozen=True)
class LeftLayer:
    """A layer that does not compute in the cheapest form that it could have, and why.

    That is codes of fixed scales, or where there is no kernel for them, as of LSTMs, codes made as it runs.
    form: "dynamic" (8-bit weights, codes of activations made as it runs), "wide" (these with 16 bits) or "float".
    error: what it (or all of its group) does alone to the outputs in the cheapest form, root mean square relative to
    the largest value.
    """

    name: str
    op: str
    form: str
    error: float
    reason: str


@dataclass
class StaticReport:
    """What int8-static did. layers: convolutions and products on codes. tensors: activations that are codes.

    tolerance: how far the largest difference of an output may be from float32, relative to its largest value;
    error: how far it is on the samples, of the output where it is largest. left: layers that are not on codes.
    shorts: how many of those in float arithmetic CPUs may multiply in whole numbers of 16 bits.
    """

    calibration: str
    samples: int
    tolerance: float
    error: float = 0.0
    layers: int = 0
    tensors: int = 0
    shorts: int = 0
    left: list[LeftLayer] = field(default_factory=list)

    def names_of(self, form: str) -> list[str]:
        return [layer.name for layer in self.left if layer.form == form]


def weight_channels(op: str, position: int, rank: int, attrs: dict[str, object]) -> int | None:
    """The dimension of output channels of a weight, or None when this input is not a quantizable weight."""
    use = rule_for(op).weights.get(position)
    if use is None:
        return None
    if use is WeightUse.FILTER_TRANSPOSED:
        return 2
    if use is WeightUse.MATRIX and attrs.get("transpose_b"):
        return 0
    return rank - 1


def quantizable(graph: Graph) -> dict[str, int]:
    """Constants that every consumer can read quantized: name -> dimension of output channels."""
    found: dict[str, int] = {}
    refused: set[str] = set()
    for node in graph.nodes.values():
        op = composite_op(node.op, node.attrs)
        for position, ref in enumerate(node.inputs):
            value = graph.const_value(ref)
            if value is None:
                continue
            rank = len(value.type.shape or ())
            axis = weight_channels(op, position, rank, node.attrs)
            unfit = axis is None or value.type.dtype is not DType.FLOAT or _elements(value) < MIN_ELEMENTS
            if unfit or found.get(ref.node, axis) != axis:
                refused.add(ref.node)
            elif axis is not None:
                found[ref.node] = axis
    for ref in graph.outputs.values():
        refused.add(ref.node)
    return {name: axis for name, axis in found.items() if name not in refused}


def _elements(value: Value) -> int:
    return value.type.nbytes // value.type.dtype.size


def quantize_weights(
    graph: Graph, scheme: WeightScheme, skip: Collection[str] = (), rounded: Mapping[str, QuantizedValue] | None = None
) -> QuantizeReport:
    """Replaces the value of every quantizable constant by codes, but for those that are codes and those to skip.

    The graph still converts to a GraphDef. rounded: weights whose codes are known already.

    Depthwise filters [kh, kw, C, mult] get one range for each of the C * mult channels where the scheme is per channel
    and mult is 1; others one for each entry of the last dimension. As int8 they stay in float32: they are a hundredth
    of a model's weights, a third of the error that 8 bits make, and no product of whole numbers reads them.

    Raises LoadError naming the weight when one is not finite, UsageError for a scheme that needs samples.
    """
    if scheme.static:
        raise UsageError(f"{scheme} finds scales on samples; compile the model with --calibrate, and use the pack")
    report = QuantizeReport(str(scheme))
    depthwise = _depthwise_filters(graph)
    for name, axis in quantizable(graph).items():
        node = graph.nodes[name]
        assert node.value is not None
        if name in skip or isinstance(node.value, QuantizedValue) or (scheme.format == "int8" and name in depthwise):
            continue
        before = node.value.numpy()
        if scheme.per_channel and name in depthwise:
            axis = 2 if before.shape[3] == 1 else 3
        try:
            value = rounded[name] if rounded and name in rounded else quantize(before, scheme, axis)
        except ValueError as error:
            message = f"{graph.name}: weight {name!r} cannot be quantized: {error}; mend it in the model"
            raise LoadError(message) from error
        node.value = value
        report.tensors.append(measure_weight(name, before, value))
    count_weight_bytes(graph, report)
    return report


def count_weight_bytes(graph: Graph, report: QuantizeReport) -> None:
    """What all float32 constants of a graph take, as they were and as they are."""
    values = [node.value for node in graph.nodes.values() if node.op == "Const" and node.value is not None]
    floats = [value for value in values if value.type.dtype is DType.FLOAT]
    report.weight_bytes_before = sum(value.type.nbytes for value in floats)
    report.weight_bytes_after = sum(_stored(value) for value in floats)


def _depthwise_filters(graph: Graph) -> set[str]:
    ops = ("DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")
    return {n.inputs[1].node for n in graph.nodes.values() if composite_op(n.op, n.attrs) in ops}


def _stored(value: Value) -> int:
    if not isinstance(value, QuantizedValue):
        return value.type.nbytes
    arrays = value.scale.nbytes + (value.offset.nbytes if value.offset is not None else 0)
    return -(-_elements(value) * value.bits // 8) + (0 if value.format == "float16" else arrays)


def measure_weight(name: str, before: np.ndarray, value: QuantizedValue) -> TensorError:
    """What codes do to a weight."""
    error = value.numpy()
    error -= before
    flat = error.reshape(-1)
    rms = float(np.sqrt(np.dot(flat, flat) / max(flat.size, 1)))
    source = before.reshape(-1)
    rms_value = float(np.sqrt(np.dot(source, source) / max(source.size, 1)))
    return TensorError(
        name, before.shape, before.nbytes, _stored(value), float(np.abs(before).max(initial=0.0)),
        float(np.abs(flat).max(initial=0.0)), rms, rms / rms_value if rms_value > 0 else 0.0,
    )
