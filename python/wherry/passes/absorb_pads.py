"""Padding with zeros goes into the convolution behind it, or into a max pool of what is never negative.

Stock TensorFlow runs Conv2D and MaxPool with padding=EXPLICIT on the CPU. It has the kernel of an explicitly padded
DepthwiseConv2dNative too, but its graph rewriting (on by default, TensorFlow 2.21) aborts the process while it infers
that op's shape; so there the padding goes into a composite, see `fuse_activations`.
"""

from __future__ import annotations

import numpy as np

from wherry.graph import Graph, Node, Ref
from wherry.passes.rewrite import bodies, small_const

_NOT_NEGATIVE = frozenset({"Abs", "Exp", "Relu", "Relu6", "Sigmoid", "Softmax", "Softplus", "Square"})
_KEEPS_SIGN = frozenset({"AvgPool", "ConcatV2", "MaxPool", "Pad", "Reshape", "Transpose"})


def absorb_pads(graph: Graph) -> int:
    """Absorbs in the graph and in the functions it calls. Returns how many ops took a Pad over."""
    return sum(_absorb_one(body) for body in bodies(graph))


def _absorb_one(graph: Graph) -> int:
    changed = 0
    for node in graph.by_op("Conv2D", "MaxPool"):
        if node.attrs.get("data_format", b"NHWC") != b"NHWC":
            continue
        while (found := zeros_around(graph, node.inputs[0])) is not None:
            source, amounts = found
            before = _explicit_paddings(node)
            if before is None or (node.op == "MaxPool" and not is_never_negative(graph, source)):
                break
            total = [a + b for a, b in zip(before, amounts, strict=True)]
            if node.op == "MaxPool" and not _fits_pool(node, total):
                break
            node.attrs["padding"], node.attrs["explicit_paddings"] = b"EXPLICIT", total
            node.inputs[0] = source
            changed += 1
    graph.remove_unreachable()
    return changed


def zeros_around(graph: Graph, ref: Ref) -> tuple[Ref, list[int]] | None:
    """What a spatial padding with zeros pads, and [0, 0, top, bottom, left, right, 0, 0]."""
    pad = graph.nodes[ref.node]
    if pad.op not in ("Pad", "PadV2") or pad.controls:
        return None
    amounts = small_const(graph, pad.inputs[1])
    if amounts is None or amounts.shape != (4, 2) or amounts[[0, 3]].any() or (amounts < 0).any():
        return None
    if pad.op == "PadV2":
        fill = small_const(graph, pad.inputs[2])
        if fill is None or np.any(fill != 0):
            return None
    return pad.inputs[0], amounts.reshape(-1).tolist()


def _explicit_paddings(node: Node) -> list[int] | None:
    """The padding that a node has already, where that is independent of the size of its input."""
    padding = node.attrs.get("padding")
    if padding == b"VALID":
        return [0] * 8
    return list(node.attrs["explicit_paddings"]) if padding == b"EXPLICIT" else None


def _fits_pool(node: Node, paddings: list[int]) -> bool:
    """TensorFlow wants a pool's padding to be smaller than its window."""
    _, height, width, _ = node.attrs["ksize"]
    return max(paddings[2:4]) < height and max(paddings[4:6]) < width


def is_never_negative(graph: Graph, ref: Ref, depth: int = 8) -> bool:
    """Whether a tensor provably holds no negative number."""
    node = graph.nodes[ref.node]
    if node.op in _NOT_NEGATIVE:
        return True
    if node.op in ("_FusedConv2D", "_FusedMatMul"):
        return node.attrs["fused_ops"][-1] in (b"Relu", b"Relu6", b"Sigmoid")
    if node.op in _KEEPS_SIGN and depth > 0:
        data = node.inputs[:-1] if node.op == "ConcatV2" else node.inputs[:1]
        return all(is_never_negative(graph, source, depth - 1) for source in data)
    return False
