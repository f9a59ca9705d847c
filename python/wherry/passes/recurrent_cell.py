"""Recognises what one step of a loop computes: an LSTM cell or a GRU cell, with its weights as constants.

LSTM    i, f, o = sigmoid(x W + h U + b), g = tanh(x W + h U + b), c' = f c + i g, h' = o tanh(c')
GRU     z, r = sigmoid(x W + h U + b), h' = z h + (1 - z) n
        n = tanh(x W + b + r (h U + b'))   with reset_after
        n = tanh(x W + b + (r h) U)        without
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wherry.graph import ArrayValue, DType, TensorType, Value
from wherry.passes.lazy_values import DerivedValue
from wherry.passes.recurrent_expr import Constant, Expr, scalar, walk
from wherry.passes.recurrent_loop import Loop


@dataclass(eq=False)
class Gate:
    """x [B, I] @ kernel [I, H] + h [B, H] @ recurrent [H, H] + sum of bias + sum of recurrent_bias."""

    kernel: Constant
    recurrent: Constant
    bias: list[Constant]
    recurrent_bias: list[Constant]


@dataclass(eq=False)
class LstmCell:
    """hidden, cell: loop variables of h and c; gates in the order i, f, c, o of Keras and BlockLSTMV2."""

    hidden: int
    cell: int
    gates: list[Gate]


@dataclass(eq=False)
class GruCell:
    """hidden: the loop variable of h; gates in the order z, r, h of Keras."""

    hidden: int
    reset_after: bool
    gates: list[Gate]


def match_cell(loop: Loop) -> LstmCell | GruCell | None:
    """The cell that the loop steps, or None where it is another one."""
    if len(loop.states) == 2:
        for hidden, cell in itertools.permutations(loop.states):
            found = _lstm(loop, hidden, cell)
            if found is not None:
                return found
    if len(loop.states) == 1:
        return _gru(loop, *loop.states)
    return None


def _lstm(loop: Loop, hidden: int, cell: int) -> LstmCell | None:
    h, c, new_h, new_c = loop.states[hidden], loop.states[cell], loop.updates[hidden], loop.updates[cell]
    out = _other(new_h, loop.algebra.make("Tanh", (new_c,)))
    if out is None or new_c.op != "Add" or len(new_c.args) != 2:
        return None
    for kept, fresh in itertools.permutations(new_c.args):
        forget = _other(kept, c)
        for inside, proposal in itertools.permutations(fresh.args if _is_pair(fresh) else ()):
            if forget is None or proposal.op != "Tanh":
                continue
            sigmoids = [_inside(part, "Sigmoid") for part in (inside, forget, out)]
            gates = [_gate(p, loop.item, h) for p in (*sigmoids[:2], proposal.args[0], sigmoids[2])]
            if _complete(gates, loop, h):
                return LstmCell(hidden, cell, [gate for gate in gates if gate is not None])
    return None


def _gru(loop: Loop, hidden: int) -> GruCell | None:
    h, new_h = loop.states[hidden], loop.updates[hidden]
    if new_h.op != "Add" or len(new_h.args) != 2:
        return None
    for kept, fresh in itertools.permutations(new_h.args):
        update = _other(kept, h)
        for rest, proposal in itertools.permutations(fresh.args if _is_pair(fresh) else ()):
            if update is None or proposal.op != "Tanh" or rest.op != "Sub":
                continue
            if scalar(rest.args[0]) != 1 or rest.args[1] is not update:
                continue
            z = _gate(_inside(update, "Sigmoid"), loop.item, h)
            pre = proposal.args[0]
            found = _reset_after(pre, loop.item, h) or _reset_before(pre, loop.item, h)
            if found is None:
                continue
            reset_after, reset, n = found
            gates = [z, _gate(_inside(reset, "Sigmoid"), loop.item, h), n]
            if _complete(gates, loop, h):
                return GruCell(hidden, reset_after, [gate for gate in gates if gate is not None])
    return None


def _reset_after(pre: Expr, x: Expr, h: Expr) -> tuple[bool, Expr, Gate] | None:
    """n = x W + b + r (h U + b'): the reset gate works on the product."""
    inner = [term for term in _terms(pre) if _is_pair(term)]
    if len(inner) != 1:
        return None
    outer = _products([term for term in _terms(pre) if term is not inner[0]], x)
    for reset, product in itertools.permutations(inner[0].args):
        recurrent = _products(_terms(product), h)
        if reset.op == "Sigmoid" and outer is not None and recurrent is not None:
            return True, reset, Gate(outer[0], recurrent[0], outer[1], recurrent[1])
    return None


def _reset_before(pre: Expr, x: Expr, h: Expr) -> tuple[bool, Expr, Gate] | None:
    """n = x W + b + (r h) U: the reset gate works on the state."""
    for term in _terms(pre):
        reset = _other(term.args[0], h) if term.op == "MatMul" else None
        outer = _products([other for other in _terms(pre) if other is not term], x)
        if reset is not None and outer is not None:
            return False, reset, Gate(outer[0], term.args[1].constant, outer[1], [])
    return None


def _gate(pre: Expr | None, x: Expr, h: Expr) -> Gate | None:
    """The gate with pre-activation `pre`. None where that is not products with x and with h, and biases."""
    terms = _terms(pre) if pre is not None else []
    of_h = [term for term in terms if term.op == "MatMul" and term.args[0] is h]
    rest = _products([term for term in terms if term not in of_h], x)
    if len(of_h) != 1 or rest is None:
        return None
    return Gate(rest[0], of_h[0].args[1].constant, rest[1], [])


def _products(terms: Sequence[Expr], source: Expr) -> tuple[Constant, list[Constant]] | None:
    """Terms as one product of `source` with a constant, and constants to add."""
    products = [term for term in terms if term.op == "MatMul" and term.args[0] is source]
    biases = [term.constant for term in terms if term.op == "Const"]
    if len(products) != 1 or len(products) + len(biases) != len(terms):
        return None
    return products[0].args[1].constant, biases


def _complete(gates: Sequence[Gate | None], loop: Loop, h: Expr) -> bool:
    """Whether every gate was found and all weights fit together."""
    units = h.width
    return all(
        gate is not None
        and gate.kernel.shape == (loop.features, units)
        and gate.recurrent.shape == (units, units)
        and all(int(np.prod(bias.shape)) in (1, units) for bias in gate.bias + gate.recurrent_bias)
        for gate in gates
    )


def _terms(expr: Expr) -> Sequence[Expr]:
    return expr.args if expr.op == "Add" else (expr,)


def _is_pair(expr: Expr) -> bool:
    return expr.op == "Mul" and len(expr.args) == 2


def _other(product: Expr, factor: Expr) -> Expr | None:
    """The other factor of a product of two."""
    if not _is_pair(product) or factor not in product.args:
        return None
    return product.args[1] if product.args[0] is factor else product.args[0]


def _inside(expr: Expr, op: str) -> Expr | None:
    return expr.args[0] if expr.op == op else None


def joined(blocks: Sequence[Sequence[Constant]]) -> Value:
    """A matrix of blocks, given row of blocks by row of blocks; computed when it is asked for."""
    rows = sum(row[0].shape[0] for row in blocks)
    columns = sum(block.shape[1] for block in blocks[0])
    sources = list(dict.fromkeys(block.value for row in blocks for block in row))

    def compute(*arrays: np.ndarray) -> np.ndarray:
        held = dict(zip(sources, arrays, strict=True))
        parts = [[walk(held[block.value], block.steps) for block in row] for row in blocks]
        return np.concatenate([np.concatenate(row, axis=1) for row in parts])

    return DerivedValue(TensorType(DType.FLOAT, (rows, columns)), compute, *sources)


def joined_bias(biases: Sequence[Sequence[Constant]], units: int) -> Value:
    """One vector of `units` per gate, each the sum of that gate's biases: zero where it has none."""
    parts = [np.zeros(units, np.float32) for _ in biases]
    for part, terms in zip(parts, biases, strict=True):
        for term in terms:
            part += term.array().reshape(-1)
    return ArrayValue(np.concatenate(parts))
