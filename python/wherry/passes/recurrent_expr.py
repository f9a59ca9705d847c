"""Symbolic expressions of a loop body: what one step computes, whichever nodes it was written with.

Equal expressions are one object. Sums and products are flat and in a fixed order, so commutativity and
association do not matter; gates that are sliced out of one wide matrix product become products with columns
of the weights; whatever is done to constants alone (split, slice, unpack, reshape) is remembered and done
when the weights are read.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wherry.graph import ArrayValue, Value

PASS_THROUGH = frozenset({"Identity", "StopGradient", "PreventGradient", "EnsureShape", "Snapshot"})
_ELEMENTWISE = frozenset({"Add", "Mul", "Sub", "Sigmoid", "Tanh"})

# One way to look at a constant: ("index", numpy index), ("reshape", shape) or ("transpose", perm).
Step = tuple[str, Any]


@dataclass(eq=False)
class Expr:
    """One value of the body.

    op: "Leaf" (detail: number of the argument), "Const" (detail: Constant), "Item" (a step's slice of the
        sequence: list and index), "Add" and "Mul" of any number of terms, or the op of a node.
    width: size of the last dimension, None where it is not known. What is not a constant has rank 2.
    """

    op: str
    args: tuple[Expr, ...]
    detail: Any
    width: int | None
    uid: int

    @property
    def constant(self) -> Constant:
        assert isinstance(self.detail, Constant)
        return self.detail


@dataclass(frozen=True)
class Constant:
    """A value and the steps to take with it, none of which changes an element."""

    value: Value
    steps: tuple[Step, ...] = ()

    def array(self) -> np.ndarray:
        return walk(self.value.numpy(), self.steps)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape after all steps, found without reading the value."""
        shape = self.value.type.shape
        assert shape is not None
        return walk(np.broadcast_to(np.False_, tuple(d or 0 for d in shape)), self.steps).shape

    def then(self, *step: Any) -> Constant:
        return Constant(self.value, (*self.steps, (step[0], step[1])))


class Algebra:
    """Makes expressions. batch: rows of everything that is not a constant."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self._known: dict[Hashable, Expr] = {}
        self.one = self.constant(Constant(ArrayValue(np.float32(1))))

    def make(
        self, op: str, args: Sequence[Expr] = (), detail: Hashable = None, width: int | None = None
    ) -> Expr:
        key = (op, tuple(arg.uid for arg in args), detail)
        expr = self._known.get(key)
        if expr is None:
            expr = self._known[key] = Expr(op, tuple(args), detail, width, len(self._known))
        return expr

    def constant(self, value: Constant) -> Expr:
        shape = value.shape
        return self.make("Const", (), value, shape[-1] if shape else None)

    def flat(self, op: str, args: Sequence[Expr]) -> Expr:
        """A sum ("Add") or product ("Mul") of any number of terms."""
        terms = [inner for arg in args for inner in (arg.args if arg.op == op else (arg,))]
        if op == "Mul":  # Keras leaves dropout masks of ones behind
            terms = [term for term in terms if not _is_ones(term)] or terms[:1]
        if len(terms) == 1:
            return terms[0]
        return self.make(op, sorted(terms, key=lambda term: term.uid), None, common_width(terms))

    def columns(self, expr: Expr, start: int, stop: int) -> Expr:
        """Columns start..stop of an expression, pushed down to the constants where that is possible."""
        if expr.op == "Const":
            same = expr.width in (None, 1)  # broadcast
            return (
                expr if same else self.constant(expr.constant.then("index", (..., ("slice", start, stop, 1))))
            )
        if start == 0 and stop == expr.width:
            return expr
        if expr.op == "MatMul":
            return self.make(
                "MatMul", (expr.args[0], self.columns(expr.args[1], start, stop)), None, stop - start
            )
        if expr.op in _ELEMENTWISE and all(a.op == "Const" or a.width == expr.width for a in expr.args):
            parts = [self.columns(arg, start, stop) for arg in expr.args]
            if expr.op in ("Add", "Mul"):
                return self.flat(expr.op, parts)
            return self.make(expr.op, parts, None, stop - start)
        return self.make("Columns", (expr,), (start, stop), stop - start)


def scalar(expr: Expr) -> Any:
    """The number behind a constant of one element, else None."""
    if expr.op != "Const" or int(np.prod(expr.constant.shape)) != 1:
        return None
    return expr.constant.array().reshape(()).item()


def _is_ones(expr: Expr) -> bool:
    if expr.op != "Const" or np.prod(expr.constant.shape, dtype=np.int64) > 1 << 16:
        return False
    return bool((expr.constant.array() == 1).all())


def common_width(args: Sequence[Expr]) -> int | None:
    widths = {arg.width for arg in args if arg.op != "Const" or arg.width is not None}
    if None in widths:
        return None
    return max((width for width in widths if width is not None), default=None)


def walk(array: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """Takes the steps, as views of the array where numpy can."""
    for kind, how in steps:
        if kind == "index":
            array = array[tuple(slice(*i[1:]) if isinstance(i, tuple) else i for i in how)]
        elif kind == "reshape":
            array = array.reshape(how)
        else:
            array = array.transpose(how)
    return array
