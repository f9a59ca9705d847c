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
from wherry.quantize.static.observe import visit
from wherry.quantize.static.ranges import Scale
from wherry.quantize.static.samples import Samples


@dataclass(frozen=True)
class Means:
    """Of a tensor's channels, in float64: of its values, and of what its codes say."""

    values: np.ndarray
    codes: np.ndarray


def means_of(graph: Graph, scales: Mapping[Ref, Scale], samples: Samples) -> dict[Ref, Means]:
    """The means of every tensor that has a scale."""
    sums: dict[Ref, tuple[np.ndarray, np.ndarray, int]] = {}

    def see(ref: Ref, values: np.ndarray) -> None:
        flat = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
        read = scales[ref].values(scales[ref].codes(flat))
        total, coded, count = sums.get(ref, (np.zeros(1), np.zeros(1), 0))
        sums[ref] = total + flat.sum(0, dtype=np.float64), coded + read.sum(0, dtype=np.float64), count + len(flat)

    visit(graph, list(scales), samples.batches, see)
    return {ref: Means(total / count, coded / count) for ref, (total, coded, count) in sums.items()}


def corrected_bias(
    graph: Graph, node: Node, weight: np.ndarray, rounded: np.ndarray, means: Mapping[Ref, Means], codes: bool = True
) -> np.ndarray | None:
    """The bias of a layer whose weight is rounded, or None where it has none or the means are not known.

    weight and rounded: [K, N] of a product (never transposed), or a filter of a convolution. codes: the layer reads
    codes of a fixed scale, whose rounding is corrected as well.
    """
    if len(node.inputs) < 3:
        return None
    held, value = means.get(node.inputs[0]), graph.const_value(node.inputs[2])
    if held is None or value is None:
        return None
    op = layers.op_of(node)
    read = held.codes if codes else held.values
    if op in layers.DEPTHWISE:
        shift = weight[..., 0].sum((0, 1), dtype=np.float64) * held.values
        shift -= rounded[..., 0].sum((0, 1), dtype=np.float64) * read
    else:
        axes = () if op in layers.PRODUCTS else (0, 1)
        before, after = (array.sum(axes, dtype=np.float64) if axes else array for array in (weight, rounded))
        if before.shape[0] != held.values.shape[0]:
            return None
        shift = held.values @ before - read @ after
    corrected: np.ndarray = (value.numpy() + shift).astype(np.float32)
    return corrected
