"""Rounds weights to 8 bits so that later ones of a channel make up for the rounding of those before, on samples.

What rounding does to an output is the sum of input * error over a channel's weights, and inputs go up and down
together: neighbouring pixels, channels that see the same. So weights are rounded one after another, and what one adds
is taken off those that follow, as far as their inputs can stand for its own (Frantar et al., GPTQ, 2022, section 3).
It costs nothing at run time. What is left is measured around the mean, which goes into the bias afterwards (bias.py).

Few samples show inputs that go together by chance. So a layer needs at least as many rows of inputs as a channel has
weights, and the fewer there are, the more its inputs count as independent.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from wherry.graph import Graph, Node, QuantizedValue, Ref
from wherry.ops.rules import runtime_attrs
from wherry.quantize.apply import quantizable
from wherry.quantize.formats import WeightScheme, quantize
from wherry.quantize.static import layers
from wherry.quantize.static.observe import Batches, visit

_LAYERS = layers.LINEAR - layers.DEPTHWISE  # depthwise filters stay in float32
_MOST_DEPTH = 4096  # weights of a channel: the work grows with its third power
_MOST_ROWS = 4096  # of a batch: images have more than enough
_GROUP_BYTES = 256 << 20  # of correlations that are held together
_BLOCK = 64  # weights whose errors are taken off the others in one product
_SHRINKAGE = (0.03, 1.0)  # of the mean variance, added to all: least and most


class _Window(NamedTuple):
    """The inputs of one output: patches of an image, or rows."""

    source: Ref
    size: tuple[int, int]
    dilation: tuple[int, int]
    padded: bool
    depth: int


class _Layer(NamedTuple):
    node: Node
    weight: str
    axis: int  # of output channels
    window: _Window


class _Correlations:
    """Sums over rows of inputs [rows, depth]. pixels: of every channel, which is what bias correction knows of it."""

    def __init__(self, depth: int, channels: int) -> None:
        self.products = np.zeros((depth, depth), np.float32)
        self.sums = np.zeros(depth)
        self.rows = 0
        self.pixels = np.zeros(channels)
        self.count = 0

    def see(self, window: _Window, values: np.ndarray) -> None:
        rows = patches(values, window.size, window.dilation, window.padded)
        self.products += rows.T @ rows
        self.sums += rows.sum(0, dtype=np.float64)
        self.rows += len(rows)
        flat = values.reshape(-1, values.shape[-1])
        self.pixels += flat.sum(0, dtype=np.float64)
        self.count += len(flat)

    def moments(self, centred: bool) -> np.ndarray:
        """Second moments [depth, depth], around what bias correction takes for the mean if centred."""
        moments = self.products / np.float64(self.rows)
        if centred:
            mean = np.tile(self.pixels / self.count, len(self.sums) // len(self.pixels))
            cross = np.outer(mean, self.sums / self.rows)
            moments += np.outer(mean, mean) - cross - cross.T
        return moments


def compensated_weights(graph: Graph, scheme: WeightScheme, batches: Batches) -> dict[str, QuantizedValue]:
    """name -> codes of weights of an optimised float32 graph, of layers that batches say enough of.

    scheme: symmetric. Weights that several layers read, or that are not finite, are left to quantize_weights().
    """
    found: dict[str, QuantizedValue] = {}
    count = sum(1 for _ in batches())
    told = [layer for layer in _layers(graph) if layer.window.depth <= count * _rows(graph, layer.window)]
    for group in _groups(told):
        windows = {layer.window: _channels(graph, layer.window) for layer in group}
        seen = {window: _Correlations(window.depth, channels) for window, channels in windows.items()}
        readers: dict[Ref, list[_Window]] = {}
        for window in windows:
            readers.setdefault(window.source, []).append(window)

        def see(ref: Ref, values: np.ndarray) -> None:
            for window in readers[ref]:  # noqa: B023 (called in this turn only)
                seen[window].see(window, values)  # noqa: B023

        visit(graph, list(readers), batches, see)
        for layer in group:
            codes = _compensated(graph, layer, scheme, seen[layer.window])
            if codes is not None:
                found[layer.weight] = codes
    return found


def _layers(graph: Graph) -> Iterator[_Layer]:
    axes = quantizable(graph)
    readers: dict[str, int] = {}
    for node in graph.nodes.values():
        for ref in node.inputs:
            readers[ref.node] = readers.get(ref.node, 0) + 1
    for node in graph.topological():
        if layers.op_of(node) not in _LAYERS or node.inputs[1].node not in axes or node.attrs.get("transpose_a"):
            continue
        weight, source = node.inputs[1].node, node.inputs[0]
        if readers[weight] > 1 or not graph.type_of(source).is_static or graph.const_value(source) is not None:
            continue
        window = _window(graph, node)
        if window is not None and window.depth <= _MOST_DEPTH:
            yield _Layer(node, weight, axes[weight], window)


def _window(graph: Graph, node: Node) -> _Window | None:
    """None of grouped convolutions, and of those that do not have their channels last."""
    source = node.inputs[0]
    weight, values = (tuple(int(d or 0) for d in graph.type_of(ref).shape or ()) for ref in (node.inputs[1], source))
    attrs = runtime_attrs(layers.op_of(node), node.attrs)
    if layers.op_of(node) in layers.PRODUCTS:
        return _Window(source, (1, 1), (1, 1), False, values[-1])
    if attrs.get("data_format", b"NHWC") != b"NHWC" or len(values) != 4 or values[3] != weight[2]:
        return None
    dilations = [int(d) for d in attrs.get("dilations") or (1, 1, 1, 1)]
    padded = attrs.get("padding") != b"VALID" and weight[:2] != (1, 1)
    depth = weight[0] * weight[1] * weight[2]
    return _Window(source, (weight[0], weight[1]), (dilations[1], dilations[2]), padded, depth)


def _channels(graph: Graph, window: _Window) -> int:
    return int((graph.type_of(window.source).shape or (1,))[-1] or 1)


def _rows(graph: Graph, window: _Window) -> int:
    """Of inputs in a batch, at most."""
    shape = [int(d or 0) for d in graph.type_of(window.source).shape or ()]
    return min(math.prod(shape[:-1]), _MOST_ROWS)


def _groups(found: Sequence[_Layer]) -> Iterator[list[_Layer]]:
    """Layers whose correlations fit into memory together; those that read the same do not count again."""
    group: list[_Layer] = []
    windows: set[_Window] = set()
    for layer in found:
        size = sum(4 * window.depth**2 for window in windows | {layer.window})
        if group and size > _GROUP_BYTES:
            yield group
            group, windows = [], set()
        group.append(layer)
        windows.add(layer.window)
    if group:
        yield group


def patches(values: np.ndarray, size: tuple[int, int], dilation: tuple[int, int], padded: bool) -> np.ndarray:
    """Rows [n, height * width * channels] of images [b, h, w, c], at every place or, in large ones, on every few lines;
    of anything else, or with a window of 1 x 1, its own rows."""
    if size == (1, 1):
        rows = values.reshape(-1, values.shape[-1])
        return rows[:: -(-len(rows) // _MOST_ROWS) or 1]
    reach = [(length - 1) * step for length, step in zip(size, dilation, strict=True)]
    if padded:
        values = np.pad(values, [(0, 0), *((total // 2, total - total // 2) for total in reach), (0, 0)])
    count, height, width, channels = values.shape
    height, width = height - reach[0], width - reach[1]
    every = max(1, -(-count * height * width // _MOST_ROWS))
    parts = [
        values[:, y * dilation[0] : y * dilation[0] + height : every, x * dilation[1] : x * dilation[1] + width]
        for y in range(size[0])
        for x in range(size[1])
    ]
    return np.concatenate(parts, axis=3).reshape(-1, size[0] * size[1] * channels)


def _compensated(
    graph: Graph, layer: _Layer, scheme: WeightScheme, seen: _Correlations
) -> QuantizedValue | None:
    held = graph.const_value(Ref(layer.weight))
    if held is None or seen.rows < layer.window.depth:
        return None
    weight = held.numpy()
    bias = graph.const_value(layer.node.inputs[2]) if len(layer.node.inputs) > 2 else None
    moments = seen.moments(bias is not None)
    if not np.isfinite(weight).all() or not np.isfinite(moments).all() or not np.trace(moments) > 0:
        return None
    rounded = quantize(weight, scheme, layer.axis)
    moved = np.moveaxis(weight, layer.axis, -1)
    steps = moved.reshape(-1, moved.shape[-1]) / rounded.scale
    low, high = _SHRINKAGE
    shrinkage = min(max(layer.window.depth / seen.rows, low), high)
    codes = compensate(steps, moments, shrinkage, float(2 ** (scheme.bits - 1) - 1))
    codes = np.moveaxis(codes.reshape(moved.shape), -1, layer.axis).astype(rounded.codes.dtype)
    return dataclasses.replace(rounded, codes=np.ascontiguousarray(codes))


def compensate(steps: np.ndarray, moments: np.ndarray, shrinkage: float, top: float) -> np.ndarray:
    """Whole numbers within -top and top for weights [depth, channels] in steps of their scales.

    They make sum(error * moments * error) of every channel small. moments: second ones [depth, depth] of the inputs;
    shrinkage: of their mean, added to the diagonal. The inputs that vary most come first, as most others follow them.
    """
    depth = len(steps)
    order = np.argsort(-np.diagonal(moments), kind="stable")
    sorted_moments = moments[np.ix_(order, order)].astype(np.float64)
    sorted_moments[np.diag_indices(depth)] += shrinkage * np.trace(moments) / depth
    # moments = upper * upper.T: what is left of a channel's error is the sum, over k, of (error[k] + the errors before
    # it, in these shares)^2 * upper[k, k]^2. (Chee et al., QuIP, 2023, section 3: GPTQ's codes, without its inverse.)
    upper = np.linalg.cholesky(sorted_moments[::-1, ::-1])[::-1, ::-1]
    shares = (upper / np.diagonal(upper)).astype(np.float32)
    wanted = steps[order].astype(np.float32)
    codes = np.empty_like(wanted)
    errors = np.empty_like(wanted)
    for begin in range(0, depth, _BLOCK):
        end = min(begin + _BLOCK, depth)
        left = wanted[begin:end] - shares[:begin, begin:end].T @ errors[:begin]
        for k in range(begin, end):
            codes[k] = np.clip(np.rint(left[k - begin] - shares[begin:k, k] @ errors[begin:k]), -top, top)
            errors[k] = codes[k] - wanted[k]
    unsorted = np.empty_like(codes)
    unsorted[order] = codes
    return unsorted
