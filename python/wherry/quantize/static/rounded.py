"""8-bit weights of layers, and biases that make up for their rounding: each made once, however many trials use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wherry.errors import LoadError
from wherry.graph import ArrayValue, Graph, QuantizedValue, Ref, Value
from wherry.quantize.bias import biases_of, positions
from wherry.quantize.formats import FLOAT16, WeightScheme, quantize
from wherry.quantize.static import layers
from wherry.quantize.static.correct import Means

_INT8 = WeightScheme("int8", 8, True)


@dataclass(frozen=True)
class RoundedLayer:
    """weight: codes, [K, N] of a product; shared by layers that share the weight.

    bias_on_codes, bias: of the layer on codes of fixed scales, and on others; None where it keeps its own.
    """

    weight: QuantizedValue
    bias_on_codes: Value | None
    bias: Value | None


class RoundedLayers:
    """Of an optimised float32 graph, whose layers are read when they are asked for. means: of what layers read."""

    def __init__(self, graph: Graph, means: Mapping[Ref, Means]) -> None:
        self._graph = graph
        self._means = means
        self._layers: dict[str, RoundedLayer] = {}
        self._weights: dict[tuple[str, bool], QuantizedValue] = {}
        self._halves: dict[str, QuantizedValue] = {}

    def layer(self, name: str) -> RoundedLayer:
        """Raises LoadError naming the weight when one is not finite."""
        if name not in self._layers:
            self._layers[name] = self._rounded(name)
        return self._layers[name]

    def half(self, name: str) -> QuantizedValue:
        """A constant in float16."""
        if name not in self._halves:
            self._halves[name] = self._codes(name, self._array(name), FLOAT16, -1)
        return self._halves[name]

    def _rounded(self, name: str) -> RoundedLayer:
        node = self._graph.nodes[name]
        op, held = layers.op_of(node), node.inputs[positions(node)[0]].node
        transposed = bool(op in layers.PRODUCTS and node.attrs.get("transpose_b"))
        weight = self._array(held)
        weight = np.ascontiguousarray(weight.T if transposed else weight)
        if (held, transposed) not in self._weights:
            axis = 2 if op in layers.DEPTHWISE else weight.ndim - 1
            self._weights[held, transposed] = self._codes(held, weight, _INT8, axis)
        value = self._weights[held, transposed]
        biases = biases_of(self._graph, node, weight, value.numpy(), self._means)
        if biases is None:
            return RoundedLayer(value, None, None)
        return RoundedLayer(value, *map(ArrayValue, biases))

    def _array(self, name: str) -> np.ndarray:
        value = self._graph.nodes[name].value
        assert value is not None
        return value.numpy()

    def _codes(self, name: str, weight: np.ndarray, scheme: WeightScheme, axis: int) -> QuantizedValue:
        try:
            return quantize(weight, scheme, axis)
        except ValueError as error:
            message = f"{self._graph.name}: weight {name!r} cannot be quantized: {error}; mend it in the model"
            raise LoadError(message) from error
