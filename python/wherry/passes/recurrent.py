"""Turns the loops that Keras makes of LSTM and GRU layers into block ops.

A loop is read (recurrent_loop), its step recognised (recurrent_cell), the replacement run against the loop in
TensorFlow (recurrent_verify), and only then put in its place. A loop that is anything else stays as it is:
other activations, masking, several cells in one loop, a length that is not known.

What the runtime's kernels get:

    BlockLSTMV2, TensorFlow's op
        inputs      seq_len_max: int64 scalar, the constant T; x [T, B, I]; cs_prev [B, H]; h_prev [B, H];
                    w [I + H, 4H]: rows of x, then of h, columns i, f, c, o; wci, wcf, wco [H]: zeros; b [4H]
        attributes  T=float, cell_clip=0.0 (off), use_peephole=False
        outputs     i, cs, f, o, ci, co, h, each [T, B, H]. Only h (6) and cs (1) are ever used; cs where the
                    last cell state is wanted.
    GRUSequence, a composite (passes/composite.py)
        inputs      x [T, B, I]; h0 [B, H]; w [I, 3H]; u [H, 3H]; b_input [3H]; b_recurrent [3H];
                    columns z, r, h
        attributes  _wherry_reset_after: bool
        outputs     h [T, B, H]: z, r = sigmoid(x w + b_input + h u + b_recurrent), h' = z h + (1 - z) n,
                    with reset_after     n = tanh(x w + b_input + r (h u + b_recurrent)),
                    without              n = tanh(x w + b_input + (r h) u + b_recurrent).
                    What can be added up is in b_input: b_recurrent is zero but for h with reset_after.

Layers that run backwards keep their ReverseV2 around the op. The last step is a StridedSlice of the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, TensorType
from wherry.passes.fold_constants import fold_constants
from wherry.passes.infer_shapes import infer_shapes
from wherry.passes.recurrent_cell import GruCell, LstmCell, joined, joined_bias, match_cell
from wherry.passes.recurrent_expr import PASS_THROUGH
from wherry.passes.recurrent_gru import add_gru_sequence
from wherry.passes.recurrent_loop import LOOP_OPS, Loop, read_loop
from wherry.passes.recurrent_rules import strided_index
from wherry.passes.recurrent_verify import agrees
from wherry.passes.rewrite import remove_unused_functions, small_const

Consumers = Mapping[Ref, list[tuple[Node, int]]]


@dataclass(frozen=True)
class _Wanted:
    """A tensor that the replacement must provide, of loop variable `state`.

    what: "all" after every step, [T, B, H]; "last" after the last one, [B, H]; "last_kept" that as [1, B, H].
    """

    state: int
    what: str


def fuse_recurrent(graph: Graph, verify: bool = True) -> int:
    """Replaces recurrent loops by BlockLSTMV2 and GRUSequence, in place. Returns how many.

    Types must be known (`infer_shapes`) and shapes folded (`fold_constants`); both are kept so here.
    verify: run each loop and its replacement in TensorFlow, and leave the loop where they differ.
    Raises KeyError where types are missing.
    """
    total = 0
    while fused := _fuse_readable(graph, verify):
        total += fused
        infer_shapes(graph)
        if not graph.by_op(*LOOP_OPS):
            break
        fold_constants(graph)  # a loop hides its result's shape from the layers after it
    return total


def _fuse_readable(graph: Graph, verify: bool) -> int:
    """Replaces the loops whose sequence has a known shape by now."""
    loops = graph.by_op(*LOOP_OPS)
    if not loops:
        return 0
    consumers = graph.consumers()
    fetched = set(graph.outputs.values())
    replacements: dict[Ref, Ref] = {}
    controls: dict[str, str] = {}
    for node in loops:
        loop = read_loop(graph, node)
        cell = match_cell(loop) if loop is not None else None
        if loop is None or cell is None:
            continue
        wanted = _wanted(graph, loop, cell, consumers, fetched)
        if wanted is None:
            continue

        def rewrite(
            target: Graph, there: Loop, cell: LstmCell | GruCell = cell, wanted: dict[Ref, _Wanted] = wanted
        ) -> dict[Ref, Ref]:
            return _rewrite(target, there, cell, wanted)

        if verify and not agrees(graph, loop, list(wanted), rewrite):
            continue
        made = rewrite(graph, loop)
        replacements |= made | _constant_outputs(graph, loop)
        controls[node.name] = next(iter(made.values())).node
    if not controls:
        return 0
    graph.replace_uses(replacements)
    for other in graph.nodes.values():
        other.controls = [controls.get(name, name) for name in other.controls]
    graph.remove_unreachable()
    remove_unused_functions(graph)
    return len(controls)


def _wanted(
    graph: Graph, loop: Loop, cell: LstmCell | GruCell, consumers: Consumers, fetched: set[Ref]
) -> dict[Ref, _Wanted] | None:
    """What the graph uses of the loop, by reference. None where it uses something that no block op gives."""
    value_of = {loop.updates[state].uid: state for state in loop.updates}
    wanted: dict[Ref, _Wanted] = {}
    for i in range(len(loop.node.inputs)):
        ref = Ref(loop.node.name, i)
        if i in loop.counters or i in loop.invariants or (ref not in consumers and ref not in fetched):
            continue
        if i in loop.states:
            wanted[ref] = _Wanted(i, "last")
            continue
        state = value_of.get(loop.results[i].value.uid)
        stacks = _stacks(ref, consumers, fetched)
        if state is None or stacks is None:
            return None
        for stack in stacks:
            slices = None if loop.results[i].every_step else _only_slices(graph, stack, consumers, fetched)
            if slices:
                wanted |= dict.fromkeys(slices, _Wanted(state, "last"))
            else:
                wanted[stack] = _Wanted(state, "all" if loop.results[i].every_step else "last_kept")
    return wanted if wanted else None


def _only_slices(graph: Graph, stack: Ref, consumers: Consumers, fetched: set[Ref]) -> list[Ref] | None:
    """The consumers of a stack of one, where all of them take the one element out of it."""
    found = []
    for node, position in consumers.get(stack, []):
        bounds = [small_const(graph, ref) for ref in node.inputs[1:]]
        index = strided_index(node.attrs, bounds) if node.op == "StridedSlice" and position == 0 else None
        if index not in ((0,), (-1,)):
            return None
        found.append(Ref(node.name))
    return found if stack not in fetched else None


def _stacks(ref: Ref, consumers: Consumers, fetched: set[Ref]) -> list[Ref] | None:
    """The tensors that a list is stacked into. None where the list is used in another way."""
    found: list[Ref] = []
    pending = [ref]
    while pending:
        ref = pending.pop()
        if ref in fetched:
            return None
        for node, _ in consumers.get(ref, []):
            if node.op == "TensorListStack":
                found.append(Ref(node.name))
            elif node.op in PASS_THROUGH:
                pending.append(Ref(node.name))
            else:
                return None
    return found


def _rewrite(
    graph: Graph, loop: Loop, cell: LstmCell | GruCell, wanted: Mapping[Ref, _Wanted]
) -> dict[Ref, Ref]:
    """Adds the block op and the slices of it that are wanted. Returns what each wanted tensor is now."""
    sequences = _add_lstm(graph, loop, cell) if isinstance(cell, LstmCell) else _add_gru(graph, loop, cell)
    made: dict[_Wanted, Ref] = {}
    for want in wanted.values():
        if want not in made:
            sequence = sequences[want.state]
            made[want] = sequence if want.what == "all" else _last(graph, loop, sequence, want.what == "last")
    return {ref: made[want] for ref, want in wanted.items()}


def _add_lstm(graph: Graph, loop: Loop, cell: LstmCell) -> dict[int, Ref]:
    """Adds a BlockLSTMV2. Returns the sequence of each state."""
    units = loop.states[cell.hidden].width or 0
    name = graph.unique_name(f"{loop.node.name}/BlockLSTMV2")
    weights = joined([[g.kernel for g in cell.gates], [g.recurrent for g in cell.gates]])
    peephole = graph.add_const(f"{name}/no_peephole", np.zeros(units, np.float32))
    inputs = [
        graph.add_const(f"{name}/seq_len_max", np.int64(loop.steps)),
        loop.sequence,
        loop.initial[cell.cell],
        loop.initial[cell.hidden],
        graph.add_const(f"{name}/w", weights),
        peephole,
        peephole,
        peephole,
        graph.add_const(f"{name}/b", joined_bias([g.bias + g.recurrent_bias for g in cell.gates], units)),
    ]
    attrs: dict[str, Any] = {"T": DType.FLOAT, "cell_clip": 0.0, "use_peephole": False}
    held = TensorType(DType.FLOAT, (loop.steps, loop.batch, units))
    graph.add(Node(name, "BlockLSTMV2", inputs, attrs=attrs, types=[held] * 7, num_outputs=7))
    return {cell.hidden: Ref(name, 6), cell.cell: Ref(name, 1)}


def _add_gru(graph: Graph, loop: Loop, cell: GruCell) -> dict[int, Ref]:
    """Adds a GRUSequence. Returns the sequence of its state."""
    units = loop.states[cell.hidden].width or 0
    name = graph.unique_name(f"{loop.node.name}/GRUSequence")
    call = add_gru_sequence(
        graph,
        name,
        loop.sequence,
        loop.initial[cell.hidden],
        graph.add_const(f"{name}/w", joined([[g.kernel for g in cell.gates]])),
        graph.add_const(f"{name}/u", joined([[g.recurrent for g in cell.gates]])),
        graph.add_const(f"{name}/b_input", joined_bias([g.bias for g in cell.gates], units)),
        graph.add_const(f"{name}/b_recurrent", joined_bias([g.recurrent_bias for g in cell.gates], units)),
        cell.reset_after,
    )
    return {cell.hidden: Ref(call.name)}


def _last(graph: Graph, loop: Loop, sequence: Ref, shrink: bool) -> Ref:
    """The last step of [T, B, H]: [B, H] if shrink, else [1, B, H]."""
    name = graph.unique_name(f"{sequence.node}/last")
    bounds = [
        graph.add_const(f"{name}/{what}", np.array([value], np.int32))
        for what, value in (("begin", loop.steps - 1), ("end", loop.steps), ("strides", 1))
    ]
    attrs = {
        "T": DType.FLOAT,
        "Index": DType.INT32,
        "shrink_axis_mask": int(shrink),
        "begin_mask": 0,
        "end_mask": 0,
        "ellipsis_mask": 0,
        "new_axis_mask": 0,
    }
    shape = graph.type_of(sequence).shape or ()
    held = TensorType(DType.FLOAT, shape[1:] if shrink else (1, *shape[1:]))
    node = graph.add(
        Node(name, "StridedSlice", [sequence, *bounds], attrs=attrs, types=[held], num_outputs=1)
    )
    return Ref(node.name)


def _constant_outputs(graph: Graph, loop: Loop) -> dict[Ref, Ref]:
    """Variables that are what they were, or counters that have run out."""
    result = {Ref(loop.node.name, i): loop.node.inputs[i] for i in loop.invariants}
    for i, value in loop.counters.items():
        result[Ref(loop.node.name, i)] = graph.add_const(f"{loop.node.name}/after", value)
    return result
