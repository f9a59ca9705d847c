"""Bias correction: what rounding does to a layer's output on average goes into its bias, where it costs nothing.

The mean of a channel after a layer is W x, with x the mean of its input. Rounded weights and codes give V y instead,
so the bias grows by W x - V y. (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
2019, section 4.2, with means that are measured. Zeros that padding puts around an image are not counted.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wherry.graph import Graph, Node, Ref
from wherry.quantize.static import layers
from wherry.quantize.static.ranges import Scale


@dataclass(frozen=True)
class Means:
    """Of a tensor's channels, in float64: of its values, and of what its codes say."""

    values: np.ndarray
    codes: np.ndarray


class MeanSums:
    """Adds up what the means of a tensor are made of. scale: of its codes."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._values: np.ndarray = np.zeros(1)
        self._steps: np.ndarray = np.zeros(1)  # of the codes, from that of 0
        self._count = 0

    def see(self, values: np.ndarray) -> None:
        flat = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
        self._values = self._values + flat.sum(0, dtype=np.float64)
        self._steps = self._steps + self._scale.steps(flat).sum(0, dtype=np.float64)
        self._count += len(flat)

    def means(self) -> Means:
        return Means(self._values / self._count, self._steps * self._scale.scale / self._count)


def corrected_biases(
    graph: Graph, node: Node, weight: np.ndarray, rounded: np.ndarray, means: Mapping[Ref, Means]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The bias of a layer whose weight is rounded, or None where it has none or the means are not known.

    Two: for a layer that reads codes of a fixed scale, whose rounding is corrected as well, and for any other.
    weight and rounded: [K, N] of a product (never transposed), or a filter of a convolution.
    """
    if len(node.inputs) < 3:
        return None
    held, value = means.get(node.inputs[0]), graph.const_value(node.inputs[2])
    if held is None or value is None:
        return None
    op = layers.op_of(node)
    shifts: tuple[np.ndarray, np.ndarray]
    if op in layers.DEPTHWISE:
        before, after = (array[..., 0].sum((0, 1), dtype=np.float64) for array in (weight, rounded))
        shifts = before * held.values - after * held.codes, (before - after) * held.values
    else:
        axes = () if op in layers.PRODUCTS else (0, 1)
        before, after = (array.sum(axes, dtype=np.float64) if axes else array for array in (weight, rounded))
        if before.shape[0] != held.values.shape[0]:
            return None
        wanted = held.values @ before
        shifts = wanted - held.codes @ after, wanted - held.values @ after
    bias = value.numpy()
    return (bias + shifts[0]).astype(np.float32), (bias + shifts[1]).astype(np.float32)
