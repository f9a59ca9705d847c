"""Simplify: drops ops that change nothing and turns costly spellings of a reshape into Reshape.

Everything here is exact, except that division by a constant becomes multiplication by its reciprocal, which is one
rounding apart. (x + 0 turns -0 into 0; the two compare equal.)
"""

from __future__ import annotations

import numpy as np

from wherry.graph import DType, Graph, Node, Ref
from wherry.passes.rewrite import become, bodies, small_const, static_shape


def simplify(graph: Graph) -> int:
    """Simplifies the graph and the functions it calls. Returns how many nodes changed or went."""
    return sum(_simplify_one(body, body is graph) for body in bodies(graph))


def _simplify_one(graph: Graph, is_model: bool) -> int:
    replacements: dict[Ref, Ref] = {}
    changed = 0
    outputs = set(graph.outputs.values())
    for node in graph.topological():
        if node.controls or node.op not in _RULES:
            continue
        node.inputs = [replacements.get(ref, ref) for ref in node.inputs]
        kept = _RULES[node.op](graph, node)
        if kept is node:
            changed += 1
        elif isinstance(kept, Ref):
            source = graph.nodes[kept.node]
            if Ref(node.name) in outputs and is_model and source.op in ("Const", "Placeholder"):
                continue
            replacements[Ref(node.name)] = kept
            changed += 1
    graph.replace_uses(replacements)
    if changed:
        graph.remove_unreachable()
    return changed


# A rule returns the tensor that stands for the node's output, the node itself when it was rewritten, or None.
_Result = Node | Ref | None


def _same_type(graph: Graph, node: Node, ref: Ref) -> bool:
    held = graph.nodes[ref.node].types
    return bool(node.types) and node.types[0].is_static and ref.index < len(held) and held[ref.index] == node.types[0]


def _unless_changed(graph: Graph, node: Node) -> _Result:
    return node.inputs[0] if _same_type(graph, node, node.inputs[0]) else None


def _to_reshape(graph: Graph, node: Node) -> _Result:
    """ExpandDims, Squeeze and Reshape as Reshape to a constant shape, of the tensor before any other Reshape."""
    if (kept := _unless_changed(graph, node)) is not None:
        return kept
    shape = _shape_with_one_unknown(node)
    if shape is None:
        return None
    source = node.inputs[0]
    before = graph.nodes[source.node]
    while before.op == "Reshape" and not before.controls:
        source = before.inputs[0]
        before = graph.nodes[source.node]
    if _same_type(graph, node, source):
        return source
    if node.op == "Reshape" and source == node.inputs[0] and graph.const_value(node.inputs[1]) is not None:
        return None
    to = graph.add_const(f"{node.name}/shape", np.array(shape, np.int32))
    become(node, "Reshape", [source, to], {"T": node.types[0].dtype, "Tshape": DType.INT32})
    return node


def _shape_with_one_unknown(node: Node) -> list[int] | None:
    if not node.types or node.types[0].shape is None:
        return None
    shape = [-1 if d is None else d for d in node.types[0].shape]
    return shape if shape.count(-1) <= 1 and (0 not in shape or -1 not in shape) else None


def _transpose(graph: Graph, node: Node) -> _Result:
    """A Transpose that moves only dimensions of size one is a Reshape."""
    order, shape = small_const(graph, node.inputs[1]), static_shape(graph, node.inputs[0])
    if order is None:
        return None
    if order.tolist() == list(range(order.size)):
        return node.inputs[0]
    if shape is None:
        return None
    moved = [axis for axis in order.tolist() if shape[axis] != 1]
    return _to_reshape(graph, node) if moved == sorted(moved) else None


def _pad(graph: Graph, node: Node) -> _Result:
    paddings = small_const(graph, node.inputs[1])
    return node.inputs[0] if paddings is not None and not paddings.any() else None


def _cast(graph: Graph, node: Node) -> _Result:
    return node.inputs[0] if node.attrs["SrcT"] == node.attrs["DstT"] else None


def _tile(graph: Graph, node: Node) -> _Result:
    multiples = small_const(graph, node.inputs[1])
    return node.inputs[0] if multiples is not None and (multiples == 1).all() else None


def _strided_slice(graph: Graph, node: Node) -> _Result:
    """A slice of everything, forwards."""
    strides = small_const(graph, node.inputs[3])
    forwards = strides is not None and (strides == 1).all()
    return node.inputs[0] if forwards and _same_type(graph, node, node.inputs[0]) else None


def _select(graph: Graph, node: Node) -> _Result:
    condition = small_const(graph, node.inputs[0])
    if condition is None or condition.size == 0 or condition.any() != condition.all():
        return None
    kept = node.inputs[1 if condition.all() else 2]
    return kept if _same_type(graph, node, kept) else None


def _neutral(graph: Graph, node: Node, element: float, sides: tuple[int, ...]) -> _Result:
    """The other operand where one is a constant full of the neutral element."""
    for side in sides:
        array = small_const(graph, node.inputs[side])
        if array is not None and array.size and (array == element).all():
            other = node.inputs[1 - side]
            return other if _same_type(graph, node, other) else None
    return None


def _mul(graph: Graph, node: Node) -> _Result:
    return _neutral(graph, node, 1, (0, 1))


def _add(graph: Graph, node: Node) -> _Result:
    return _neutral(graph, node, 0, (0, 1))


def _sub(graph: Graph, node: Node) -> _Result:
    return _neutral(graph, node, 0, (1,))


def _div(graph: Graph, node: Node) -> _Result:
    if (kept := _neutral(graph, node, 1, (1,))) is not None:
        return kept
    divisor = small_const(graph, node.inputs[1])
    if node.attrs["T"] is not DType.FLOAT or divisor is None:
        return None
    with np.errstate(all="ignore"):
        factor = (1.0 / divisor.astype(np.float64)).astype(np.float32)
    usual = np.isfinite(factor) & (np.abs(factor) >= np.finfo(np.float32).tiny)
    if not usual.all():
        return None
    become(node, "Mul", [node.inputs[0], graph.add_const(f"{node.name}/reciprocal", factor)], {"T": DType.FLOAT})
    return node


_RULES = {
    "AddV2": _add,
    "BroadcastTo": _unless_changed,
    "Cast": _cast,
    "ExpandDims": _to_reshape,
    "MirrorPad": _pad,
    "Mul": _mul,
    "Pad": _pad,
    "PadV2": _pad,
    "RealDiv": _div,
    "Reshape": _to_reshape,
    "Select": _select,
    "SelectV2": _select,
    "Slice": _unless_changed,
    "Squeeze": _to_reshape,
    "StridedSlice": _strided_slice,
    "Sub": _sub,
    "Tile": _tile,
    "Transpose": _transpose,
}
