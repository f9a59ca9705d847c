"""The ops of a loop body as expressions: one rule for each op that recurrent layers are written with.

A rule returns the node's outputs, or None where it does not apply; then the node stays what it is, and no
cell is recognised that depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from wherry.graph import DType, Graph, Node, Ref
from wherry.passes.recurrent_expr import PASS_THROUGH, Algebra, Constant, Expr, common_width, scalar

_SUMS = frozenset({"Add", "AddV2", "BiasAdd"})


def evaluate(graph: Graph, known: Mapping[str, Expr], wanted: Sequence[Ref], algebra: Algebra) -> list[Expr]:
    """The expressions of `wanted` in a function's body. known: expressions of the arguments, by node name."""
    done: dict[str, list[Expr]] = {name: [expr] for name, expr in known.items()}
    stack = [ref.node for ref in wanted]
    while stack:
        name = stack[-1]
        node = graph.nodes[name]
        missing = [] if name in done else [ref.node for ref in node.inputs if ref.node not in done]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        if name not in done:
            done[name] = _apply(node, [_output(done, node_ref) for node_ref in node.inputs], algebra)
    return [_output(done, ref) for ref in wanted]


def _output(done: Mapping[str, list[Expr]], ref: Ref) -> Expr:
    outputs = done[ref.node]
    return outputs[ref.index]


class _Opaque(list[Expr]):
    """The outputs of a node that the algebra has no rule for: as many as are asked for."""

    def __init__(self, node: Node, args: Sequence[Expr], algebra: Algebra) -> None:
        super().__init__()
        self._make = lambda index: algebra.make(node.op, args, (node.name, index))

    def __getitem__(self, index: Any) -> Any:
        return self._make(index)


def _apply(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr]:
    rule = _RULES.get(node.op)
    outputs = rule(node, args, algebra) if rule is not None else None
    return outputs if outputs is not None else _Opaque(node, args, algebra)


def _const(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return [algebra.constant(Constant(node.value))] if node.value is not None else None


def _same(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return args[:1]


def _sum(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return [algebra.flat("Add", args)]


def _product(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return [algebra.flat("Mul", args)]


def _elementwise(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return [algebra.make(node.op, args, None, common_width(args))]


def _plain(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return [algebra.make(node.op, args)]


def _matmul(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    left, right = args
    flipped = node.attrs.get("transpose_b") or node.attrs.get("adj_y")
    if node.attrs.get("transpose_a") or node.attrs.get("adj_x") or right.op != "Const" or left.op == "Const":
        return None
    if len(right.constant.shape) != 2:
        return None
    if flipped:
        right = algebra.constant(right.constant.then("transpose", (1, 0)))
    return [algebra.make("MatMul", (left, right), None, right.width)]


def _item(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return [algebra.make("Item", args[:2])]


def _set_item(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return [algebra.make("SetItem", args)]


def _split(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    axis, shape, count = scalar(args[0]), _shape(args[1], algebra), node.attrs["num_split"]
    if axis is None or shape is None:
        return None
    return _pieces(args[1], int(axis), [shape[int(axis)] // count] * count, algebra)


def _split_v(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    axis = scalar(args[2])
    sizes = _array(args[1])
    return None if axis is None or sizes is None else _pieces(args[0], int(axis), sizes.tolist(), algebra)


def _ones(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    return [algebra.one] if node.attrs.get("T") is DType.FLOAT else None


def _pieces(source: Expr, axis: int, sizes: Sequence[int], algebra: Algebra) -> list[Expr] | None:
    """The source cut into sizes, one of which may be -1: what the others leave."""
    shape = _shape(source, algebra)
    if shape is None:
        return None
    axis %= len(shape)
    rest = shape[axis] - sum(size for size in sizes if size >= 0)
    starts = np.cumsum([0, *(rest if size < 0 else size for size in sizes)]).tolist()
    index = (slice(None),) * axis
    pieces = [_take(source, (*index, slice(a, b)), algebra) for a, b in pairwise(starts)]
    found = [piece for piece in pieces if piece is not None]
    return found if len(found) == len(sizes) else None


def _unpack(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    if args[0].op != "Const":
        return None
    axis = int(node.attrs.get("axis", 0)) % len(args[0].constant.shape)
    indices = [(*(slice(None),) * axis, i) for i in range(args[0].constant.shape[axis])]
    return [algebra.constant(args[0].constant.then("index", _hashable(index))) for index in indices]


def _strided_slice(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    index = strided_index(node.attrs, [_array(arg) for arg in args[1:4]])
    taken = None if index is None else _take(args[0], index, algebra)
    return None if taken is None else [taken]


def _slice_op(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    begin, size = _array(args[1]), _array(args[2])
    if begin is None or size is None:
        return None
    index = tuple(slice(int(b), None if n < 0 else int(b + n)) for b, n in zip(begin, size, strict=True))
    taken = _take(args[0], index, algebra)
    return None if taken is None else [taken]


def _take(source: Expr, index: tuple[Any, ...], algebra: Algebra) -> Expr | None:
    """An expression indexed like a numpy array; of what is not a constant, only columns can be taken."""
    if source.op == "Const":
        return algebra.constant(source.constant.then("index", _hashable(index)))
    shape = _shape(source, algebra)
    if ... in index:
        at = index.index(...)
        index = (*index[:at], *(slice(None),) * (3 - len(index)), *index[at + 1 :])
    if shape is None or len(index) > 2 or not all(isinstance(i, slice) for i in index):
        return None
    index = (*index, slice(None), slice(None))[:2]
    rows, columns = (slice(*i.indices(n)) for i, n in zip(index, shape, strict=True))
    if (rows.start, rows.stop, rows.step) != (0, shape[0], 1) or columns.step != 1:
        return None
    return algebra.columns(source, columns.start, columns.stop)


def _squeeze(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    axes = [int(a) for a in node.attrs.get("squeeze_dims", node.attrs.get("axis", ()))]
    source = args[0]
    if source.op == "Const":
        shape = source.constant.shape
        gone = {a % len(shape) for a in axes} or {i for i, d in enumerate(shape) if d == 1}
        return _reshaped(source, [d for i, d in enumerate(shape) if i not in gone], algebra)
    # Keras squeezes a batch of one before it adds; the next sum broadcasts it back.
    return [source] if algebra.batch == 1 and source.width not in (None, 1) and axes in ([], [0]) else None


def _expand_dims(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    axis = scalar(args[1])
    if axis is None or args[0].op != "Const":
        return None
    shape = list(args[0].constant.shape)
    shape.insert(int(axis) % (len(shape) + 1), 1)
    return _reshaped(args[0], shape, algebra)


def _reshape(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    target = _array(args[1])
    if target is None:
        return None
    if args[0].op == "Const":
        return _reshaped(args[0], target.tolist(), algebra)
    width, rows = args[0].width, [int(d) for d in target[:-1]]
    if width in (None, 1) or not len(target) or target[-1] not in (-1, width):
        return None
    return [args[0]] if rows in ([algebra.batch], [-1]) or (not rows and algebra.batch == 1) else None


def _reshaped(source: Expr, shape: Sequence[int], algebra: Algebra) -> list[Expr]:
    return [algebra.constant(source.constant.then("reshape", tuple(int(d) for d in shape)))]


def _transpose(node: Node, args: list[Expr], algebra: Algebra) -> list[Expr] | None:
    perm = _array(args[1])
    if perm is None or args[0].op != "Const":
        return None
    return [algebra.constant(args[0].constant.then("transpose", tuple(int(p) for p in perm)))]


_RULES: dict[str, Callable[[Node, list[Expr], Algebra], list[Expr] | None]] = {
    "Const": _const,
    "Mul": _product,
    "Sub": _elementwise,
    "Sigmoid": _elementwise,
    "Tanh": _elementwise,
    "MatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "TensorListGetItem": _item,
    "TensorListSetItem": _set_item,
    "Split": _split,
    "SplitV": _split_v,
    "Unpack": _unpack,
    "StridedSlice": _strided_slice,
    "Slice": _slice_op,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "OnesLike": _ones,
    "Less": _plain,
    "LogicalAnd": _plain,
    **dict.fromkeys(PASS_THROUGH, _same),
    **dict.fromkeys(_SUMS, _sum),
}


def strided_index(attrs: Mapping[str, Any], bounds: Sequence[np.ndarray | None]) -> tuple[Any, ...] | None:
    """The numpy index of a StridedSlice, given begin, end and strides. None where it is not a simple one."""
    begin, end, strides = bounds
    if begin is None or end is None or strides is None or attrs.get("new_axis_mask"):
        return None
    index: list[Any] = []
    for i in range(len(begin)):
        bit = 1 << i
        if attrs.get("ellipsis_mask", 0) & bit:
            index.append(...)
        elif attrs.get("shrink_axis_mask", 0) & bit:
            index.append(int(begin[i]))
        else:
            first = None if attrs.get("begin_mask", 0) & bit else int(begin[i])
            last = None if attrs.get("end_mask", 0) & bit else int(end[i])
            index.append(slice(first, last, int(strides[i])))
    return tuple(index)


def _array(expr: Expr) -> np.ndarray | None:
    return np.atleast_1d(expr.constant.array()) if expr.op == "Const" else None


def _shape(expr: Expr, algebra: Algebra) -> tuple[int, ...] | None:
    if expr.op == "Const":
        return expr.constant.shape
    return None if expr.width is None else (algebra.batch, expr.width)


def _hashable(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """An index that can be part of a key: slices are not hashable in every Python."""
    return tuple(("slice", i.start, i.stop, i.step) if isinstance(i, slice) else i for i in index)
