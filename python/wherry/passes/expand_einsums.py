"""Einsum of one or two tensors becomes transposes and a matrix product, for which the runtime has kernels.

Every label of the equation is one of four kinds, as in TensorFlow's own kernel: in both operands and the result
(batch), in both operands only (shared), in one operand and the result (free), in one operand only (summed). With the
labels of a kind beside each other an operand is a batch of matrices. Of all ways to get there the one is taken that
moves the fewest elements: operands may change places, and a product reads either of them transposed for nothing.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, TensorType
from wherry.passes.canonicalise import add_reshape
from wherry.passes.rewrite import become, bodies, static_shape

_ELLIPSIS = "..."


def expand_einsums(graph: Graph) -> int:
    """Expands in the graph and in the functions it calls; what it cannot expand stays. Returns how many."""
    return sum(_expand(body, node) for body in bodies(graph) for node in body.by_op("Einsum"))


@dataclass(frozen=True)
class _Operand:
    """A tensor with a letter for each dimension."""

    ref: Ref
    labels: str


@dataclass(frozen=True)
class _Way:
    """One way to make the product: the operands' places, and the labels of each kind in order.

    rows and columns: the free ones of x and of y. adj_x, adj_y: the product reads that operand transposed.
    """

    x: _Operand
    y: _Operand
    batch: str
    rows: str
    columns: str
    shared: str
    adj_x: bool
    adj_y: bool

    @property
    def x_labels(self) -> str:
        return self.batch + (self.shared + self.rows if self.adj_x else self.rows + self.shared)

    @property
    def y_labels(self) -> str:
        return self.batch + (self.columns + self.shared if self.adj_y else self.shared + self.columns)

    @property
    def labels(self) -> str:
        """Of what comes out."""
        return self.batch + self.rows + self.columns

    def moved(self, result: str, sizes: Mapping[str, int], weights: Collection[Ref]) -> tuple[int, int]:
        """Elements that are transposed as the model runs, and of how many tensors the innermost dimension moves too."""
        moves = [(result, self.labels)]
        operands = ((self.x, self.x_labels), (self.y, self.y_labels))
        moves += [(one.labels, wanted) for one, wanted in operands if one.ref not in weights]
        moves = [(own, wanted) for own, wanted in moves if own != wanted]
        elements = sum(math.prod(sizes[c] for c in own) for own, _ in moves)
        return elements, sum(own[-1] != wanted[-1] for own, wanted in moves)


def _expand(graph: Graph, node: Node) -> bool:
    shapes = [static_shape(graph, ref) for ref in node.inputs]
    if node.attrs.get("T") is not DType.FLOAT or not 1 <= len(shapes) <= 2:
        return False
    known = [shape for shape in shapes if shape is not None]
    terms = _terms(node.attrs["equation"].decode(), known) if len(known) == len(shapes) else None
    if terms is None:
        return False
    result = terms[-1]
    sizes: dict[str, int] = {}
    for labels, shape in zip(terms, known, strict=False):
        for label, size in zip(labels, shape, strict=True):
            if sizes.setdefault(label, size) != size:  # one of them is 1, and is broadcast
                return False
    operands = [_Operand(ref, labels) for ref, labels in zip(node.inputs, terms, strict=False)]
    build = _Builder(graph, node.name, sizes)
    if len(operands) == 1:
        source = build.summed(operands[0], result)
        build.finish(node, source, source.labels, result)
        return True
    x, y = (build.summed(one, result + other.labels) for one, other in (operands, operands[::-1]))
    # Weights are moved at compile time, and belong on the right.
    weights = {one.ref for one in (x, y) if graph.const_value(one.ref) is not None}
    way = min(_ways(x, y, result), key=lambda each: (each.x.ref in weights, each.moved(result, sizes, weights)))
    build.finish(node, build.product(way), way.labels, result)
    return True


def _terms(equation: str, shapes: list[tuple[int, ...]]) -> list[str] | None:
    """Labels of the operands and the result, those of "..." written out; None where a label is twice in one of them."""
    left, _, right = equation.partition("->")
    terms = left.split(",")
    spare = [c for c in string.ascii_letters if c not in equation]
    hidden = [
        len(shape) - len(term.replace(_ELLIPSIS, "")) if _ELLIPSIS in term else 0
        for term, shape in zip(terms, shapes, strict=True)
    ]
    letters = "".join(spare[: max(hidden)])
    written = [t.replace(_ELLIPSIS, letters[len(letters) - h :]) for t, h in zip(terms, hidden, strict=True)]
    written.append(right.replace(_ELLIPSIS, letters))
    return None if any(len(set(term)) != len(term) for term in written) else written


def _ways(x: _Operand, y: _Operand, result: str) -> Iterator[_Way]:
    for a, b in ((x, y), (y, x)):
        common = set(a.labels) & set(b.labels)
        batch = "".join(c for c in result if c in common)
        rows, columns = ("".join(c for c in result if c in own.labels and c not in common) for own in (a, b))
        orders = {"".join(c for c in own.labels if c in common and c not in result) for own in (a, b)}
        for shared, adj_x, adj_y in itertools.product(sorted(orders), (False, True), (False, True)):
            yield _Way(a, b, batch, rows, columns, shared, adj_x, adj_y)


class _Builder:
    """Adds the nodes that take an Einsum's place."""

    def __init__(self, graph: Graph, name: str, sizes: dict[str, int]) -> None:
        self.graph, self.name, self.sizes = graph, name, sizes
        self.old = frozenset(graph.nodes)

    def _shape(self, labels: str) -> tuple[int, ...]:
        return tuple(self.sizes[c] for c in labels)

    def _size(self, labels: str) -> int:
        return math.prod(self._shape(labels))

    def _add(self, kind: str, op: str, inputs: list[Ref], attrs: Mapping[str, Any], shape: tuple[int, ...]) -> Ref:
        node = Node(
            self.graph.unique_name(f"{self.name}/{kind}"), op, inputs, attrs={"T": DType.FLOAT, **attrs},
            types=[TensorType(DType.FLOAT, shape)], num_outputs=1,
        )  # fmt: skip
        return Ref(self.graph.add(node).name)

    def _const(self, kind: str, values: list[int]) -> Ref:
        return self.graph.add_const(self.graph.unique_name(f"{self.name}/{kind}"), np.array(values, np.int32))

    def _permutation(self, own: str, wanted: str) -> Ref:
        return self._const("perm", [own.index(c) for c in wanted])

    def _transposed(self, ref: Ref, own: str, wanted: str) -> Ref:
        if own == wanted:
            return ref
        inputs = [ref, self._permutation(own, wanted)]
        return self._add("transpose", "Transpose", inputs, {"Tperm": DType.INT32}, self._shape(wanted))

    def _reshaped(self, ref: Ref, own: tuple[int, ...], wanted: tuple[int, ...]) -> Ref:
        return ref if own == wanted else add_reshape(self.graph, f"{self.name}/matrices", ref, wanted, DType.FLOAT)

    def summed(self, operand: _Operand, used: str) -> _Operand:
        """The operand without the labels that nothing else has."""
        left = "".join(c for c in operand.labels if c in used)
        if left == operand.labels:
            return operand
        axes = self._const("axes", [i for i, c in enumerate(operand.labels) if c not in used])
        attrs = {"Tidx": DType.INT32, "keep_dims": False}
        return _Operand(self._add("sum", "Sum", [operand.ref, axes], attrs, self._shape(left)), left)

    def product(self, way: _Way) -> _Operand:
        """The product, with a dimension for each of the way's labels."""
        rows, columns, depth = (self._size(labels) for labels in (way.rows, way.columns, way.shared))
        lead = self._shape(way.batch)
        inputs = []
        for own, labels, matrix in (
            (way.x, way.x_labels, (depth, rows) if way.adj_x else (rows, depth)),
            (way.y, way.y_labels, (columns, depth) if way.adj_y else (depth, columns)),
        ):
            moved = self._transposed(own.ref, own.labels, labels)
            inputs.append(self._reshaped(moved, self._shape(labels), (*lead, *matrix)))
        flags = ("adj_x", "adj_y") if way.batch else ("transpose_a", "transpose_b")
        attrs = dict(zip(flags, (way.adj_x, way.adj_y), strict=True))
        shape = (*lead, rows, columns)
        out = self._add("product", "BatchMatMulV2" if way.batch else "MatMul", inputs, attrs, shape)
        return _Operand(self._reshaped(out, shape, self._shape(way.labels)), way.labels)

    def finish(self, node: Node, source: _Operand, labels: str, result: str) -> None:
        """The Einsum itself becomes the last step, so that it keeps its name."""
        if labels != result:
            perm = self._permutation(labels, result)
            become(node, "Transpose", [source.ref, perm], {"T": DType.FLOAT, "Tperm": DType.INT32})
        elif source.ref.node in self.old:
            become(node, "Identity", [source.ref], {"T": DType.FLOAT})
        else:
            last = self.graph.nodes.pop(source.ref.node)
            become(node, last.op, last.inputs, last.attrs)
