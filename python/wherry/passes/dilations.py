"""Dilated convolutions that TensorFlow spells SpaceToBatchND, convolution, BatchToSpaceND become one convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, TensorType
from wherry.passes.canonicalise import add_reshape
from wherry.passes.rewrite import Uses, become, bodies, small_const, static_shape

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_RESHAPES = ("Reshape", "ExpandDims", "Squeeze")


def fold_dilations(graph: Graph) -> int:
    """Folds in the graph and in the functions it calls. Returns how many convolutions got dilations."""
    return sum(_fold_one(body) for body in bodies(graph))


def _fold_one(graph: Graph) -> int:
    uses = Uses(graph)
    changed = 0
    for node in graph.by_op("BatchToSpaceND"):
        changed += _fold(graph, uses, node)
    graph.remove_unreachable()
    return changed


def _fold(graph: Graph, uses: Uses, last: Node) -> bool:
    """Rewrites one SpaceToBatchND ... BatchToSpaceND. The convolution's kernel never sees more than a row of blocks."""
    found = _convolution_before(graph, uses, last.inputs[0])
    if found is None:
        return False
    convolution, first = found
    source = first.inputs[0]
    shape, result = static_shape(graph, source), static_shape(graph, Ref(last.name))
    block, crops = small_const(graph, last.inputs[1]), small_const(graph, last.inputs[2])
    same_block, paddings = small_const(graph, first.inputs[1]), small_const(graph, first.inputs[2])
    weights = static_shape(graph, convolution.inputs[1])
    if shape is None or result is None or weights is None or block is None or same_block is None:
        return False
    if crops is None or paddings is None or block.tolist() != same_block.tolist():
        return False
    if convolution.attrs["padding"] != b"VALID" or any(s != 1 for s in convolution.attrs["strides"]):
        return False
    if any(d != 1 for d in convolution.attrs.get("dilations") or [1]):
        return False
    spatial = len(block)
    if len(shape) != spatial + 2 or spatial > 2 or len(result) != len(shape):
        return False
    rates = [1] * (2 - spatial) + [int(b) for b in block]
    before = [0] * (2 - spatial) + [int(p) for p in paddings[:, 0]]
    after = _padding_after(weights[:2], rates, before, (1,) * (2 - spatial) + shape[1:-1],
                           (1,) * (2 - spatial) + result[1:-1])  # fmt: skip
    if after is None or crops[:, 0].any():
        return False
    attrs = {**convolution.attrs, "dilations": [1, *rates, 1], "explicit_paddings": []}
    amounts = list(zip(before, after, strict=True))
    same = [((k - 1) * d // 2, (k - 1) * d - (k - 1) * d // 2) for k, d in zip(weights[:2], rates, strict=True)]
    attrs["padding"] = b"SAME" if amounts == same else b"VALID"
    padding = amounts if attrs["padding"] == b"VALID" and any(before + after) else None
    _write(graph, last, convolution, source, padding, attrs)
    return True


def _padding_after(
    kernel: tuple[int, ...], rates: list[int], before: list[int], size: tuple[int, ...], result: tuple[int, ...]
) -> list[int] | None:
    """The padding at the end that gives `result` with stride one, or None where it would have to be negative."""
    after = [r + (k - 1) * d - s - b for k, d, b, s, r in zip(kernel, rates, before, size, result, strict=True)]
    return after if min(after) >= 0 else None


def _convolution_before(graph: Graph, uses: Uses, ref: Ref) -> tuple[Node, Node] | None:
    """The convolution that feeds a BatchToSpaceND and the SpaceToBatchND that feeds it, through reshapes only."""
    convolution = _through_reshapes(graph, uses, ref)
    if convolution is None or convolution.op not in _CONVOLUTIONS or convolution.controls:
        return None
    first = _through_reshapes(graph, uses, convolution.inputs[0])
    return (convolution, first) if first is not None and first.op == "SpaceToBatchND" else None


def _through_reshapes(graph: Graph, uses: Uses, ref: Ref) -> Node | None:
    while uses.count(ref) == 1:
        node = graph.nodes[ref.node]
        if node.op not in _RESHAPES:
            return node
        ref = node.inputs[0]
    return None


def _write(
    graph: Graph, last: Node, convolution: Node, source: Ref, padding: list[tuple[int, int]] | None,
    attrs: dict[str, Any],
) -> None:  # fmt: skip
    """Puts [Reshape to two spatial dimensions], [Pad], convolution, [Reshape back] in the place of `last`."""
    dtype, result = last.types[0].dtype, static_shape(graph, Ref(last.name))
    shape = static_shape(graph, source)
    assert shape is not None and result is not None
    if len(shape) == 3:
        shape = (shape[0], 1, *shape[1:])
        source = add_reshape(graph, f"{last.name}/wide", source, shape, dtype)
    if padding is not None:
        amounts = graph.add_const(f"{last.name}/paddings", np.array([(0, 0), *padding, (0, 0)], np.int32))
        pad = Node(graph.unique_name(f"{last.name}/pad"), "Pad", [source, amounts],
                   attrs={"T": dtype, "Tpaddings": DType.INT32})  # fmt: skip
        sizes = [size + sum(p) for size, p in zip(shape[1:3], padding, strict=True)]
        pad.types, pad.num_outputs = [TensorType(dtype, (shape[0], *sizes, shape[3]))], 1
        source = Ref(graph.add(pad).name)
    if len(result) == 4:
        become(last, convolution.op, [source, convolution.inputs[1]], attrs)
        return
    name = graph.unique_name(f"{last.name}/convolution")
    added = Node(name, convolution.op, [source, convolution.inputs[1]], attrs=attrs)
    added.types, added.num_outputs = [TensorType(dtype, (result[0], 1, *result[1:]))], 1
    graph.add(added)
    to = graph.add_const(f"{last.name}/shape", np.array(result, np.int32))
    become(last, "Reshape", [Ref(name), to], {"T": dtype, "Tshape": DType.INT32})
