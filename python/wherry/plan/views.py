"""Lets tensors that are joined or split be parts of one another in memory, so that nothing is copied.

The parts of a concatenation are computed straight into their places in the result, and what is cut from a tensor is
read where it lies. Three kinds of parts come out:

    in one piece     the axis is the outermost that is not 1: any kernel writes and reads them, at an offset
    columns          the axis is the last (channels): each row of the part lies in a longer row of the result, and only
                     kernels that take a pitch (`OpRule.pitched_inputs`, `pitched_output`) write and read it
    neither          they are copied

A part is copied too where it cannot lie in the result: it is an input of the caller or a constant, part of another
concatenation, or in columns what some kernel, or the caller of the model, wants without gaps. A join with more to copy
than to share stays as it is.

A storage that is written in parts lives from the first of them to the last reader of any. That can take more memory
than copies that live shortly, so the order search says what the program needs with and without, and the joins of the
largest storage at the worst moment are given up until it needs no more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wherry.ops.catalog import Catalog
from wherry.ops.rules import rule_for
from wherry.ops.suffixes import width_suffix
from wherry.plan.order import best_order
from wherry.plan.precedence import precedence
from wherry.plan.program import Program, ProgramTensor, Step, Storage

_MOST_TRIALS = 8

_Index = tuple[Any, ...]  # as numpy takes it


@dataclass(frozen=True)
class _Part:
    """Where in another tensor a tensor's elements lie: bytes from its start; whether there are gaps between rows."""

    tensor: ProgramTensor
    offset: int
    pitched: bool


def join_views(program: Program, kernels: Catalog) -> None:
    """Replaces joins and cuts by views where that takes no more memory. The order is not chosen yet."""
    if not any(_is_join(step) or _is_cut(step) for step in program.steps):
        return
    steps = program.steps
    held = {id(t): t for step in steps for t in (*step.inputs, *step.outputs)}
    held |= {id(t): t for t in program.outputs.values()}
    places = [(t, t.storage, t.offset, t.base) for t in held.values()]
    _, most = _worst_moment(program, {})
    given_up: set[str] = set()
    for _ in range(_MOST_TRIALS):
        views = _Views(program, kernels, given_up)
        views.run()
        names, needed = _worst_moment(program, views.names)
        if needed <= most:
            return
        program.steps = steps
        for tensor, storage, offset, base in places:
            tensor.storage, tensor.offset, tensor.base = storage, offset, base
        if not names:
            return
        given_up |= names


def _worst_moment(program: Program, names: dict[int, set[str]]) -> tuple[set[str], int]:
    """The names of the largest storage that lives at the worst moment of the best order; the bytes that then live.

    names: by storage; it is one that has some
    """
    model = precedence(program)
    order, _ = best_order(model)
    peaks = model.peaks(order)
    worst = max(range(len(peaks)), key=peaks.__getitem__, default=0)
    seen: dict[int, Storage] = {}
    for place, number in enumerate(order):
        step = program.steps[number]
        for tensor in (*step.inputs, *step.outputs):
            storage = tensor.storage
            if storage is not None and id(storage) in names and (place <= worst or id(storage) in seen):
                seen[id(storage)] = storage
                storage.last = place
    alive = [s for s in seen.values() if s.last >= worst]
    largest = max(alive, key=lambda storage: storage.nbytes, default=None)
    return (names[id(largest)] if largest is not None else set()), max(peaks, default=0)


class _Views:
    def __init__(self, program: Program, kernels: Catalog, given_up: set[str]) -> None:
        self._program = program
        self._kernels = kernels
        self._given_up = given_up
        self.names: dict[int, set[str]] = {}  # of the steps that were replaced, by the storage that they now share
        self._tensors: dict[int, dict[int, ProgramTensor]] = {}  # by storage
        self._uses: dict[int, list[tuple[Step, int]]] = {}  # step and position of each input
        self._makers: dict[int, Step] = {}
        self._wanted = {id(tensor) for tensor in program.outputs.values()}
        for step in program.steps:
            for position, tensor in enumerate(step.inputs):
                self._uses.setdefault(id(tensor), []).append((step, position))
                self._add(tensor)
            for tensor in step.outputs:
                self._makers[id(tensor)] = step
                self._add(tensor)
        for tensor in program.outputs.values():
            self._add(tensor)

    def _add(self, tensor: ProgramTensor) -> None:
        if tensor.storage is not None:
            self._tensors.setdefault(id(tensor.storage), {})[id(tensor)] = tensor

    def run(self) -> None:
        """Replaces what it can, from the last step to the first: a result has its place before its parts get theirs."""
        steps: list[Step] = []
        for step in reversed(self._program.steps):
            steps += reversed(self._instead_of(step))
        self._program.steps = steps[::-1]

    def _instead_of(self, step: Step) -> list[Step]:
        if step.name in self._given_up:
            return [step]
        if _is_join(step):
            whole = step.outputs[0]
            parts = [_Part(t, *p) if p else None for t, p in zip(_joined(step), _places(step, whole), strict=True)]
        elif _is_cut(step):
            whole = _source(step)
            outputs = [t for t in step.outputs if t.storage is not None]
            parts = [_Part(t, *p) if p else None for t, p in zip(outputs, _places(step, whole), strict=True)]
        else:
            return [step]
        known = [part for part in parts if part is not None]
        if whole.storage is None or len(known) < len(parts) or not all(t.nbytes for t in (p.tensor for p in known)):
            return [step]
        return self._join(step, whole, known) if _is_join(step) else self._cut(step, whole, known)

    def _join(self, step: Step, whole: ProgramTensor, parts: Sequence[_Part]) -> list[Step]:
        fits, taken = [], set[int]()
        for part in parts:
            fits.append(self._fits(step, whole, part) and id(part.tensor.storage) not in taken)
            taken.add(id(part.tensor.storage))
        if 2 * sum(p.tensor.nbytes for p, fit in zip(parts, fits, strict=True) if fit) < whole.nbytes:
            return [step]
        steps: list[Step] = []
        for number, (part, fit) in enumerate(zip(parts, fits, strict=True)):
            if fit:
                self._embed(whole, part)
                continue
            kind = part.tensor
            place = ProgramTensor(f"{step.name}/part{number}", kind.dtype, kind.shape, whole.storage)
            place.offset, place.base = _located(whole, part)
            kernel = self._kernels.by_key(f"Copy_{width_suffix(kind.dtype)}")
            steps.append(Step(place.name, "Copy", kernel.key, [kind], [place], {}))
            self._add(place)
        self.names.setdefault(id(whole.storage), set()).add(step.name)
        return steps

    def _cut(self, step: Step, whole: ProgramTensor, parts: Sequence[_Part]) -> list[Step]:
        if not all(self._fits(step, whole, part) for part in parts):
            return [step]
        for part in parts:
            self._embed(whole, part)
        self.names.setdefault(id(whole.storage), set()).add(step.name)
        return []

    def _fits(self, step: Step, whole: ProgramTensor, part: _Part) -> bool:
        """Whether all that lies in a part's storage can lie in the whole, as far as `step` is replaced."""
        storage = part.tensor.storage
        if storage is None or storage.external is not None or not part.tensor.is_whole or storage is whole.storage:
            return False
        if whole.storage is not None and whole.storage.external is not None:
            return False  # which the caller owns, and may lend from anywhere
        if not part.pitched and whole.base is None:
            return True
        columns = part.tensor.shape[-1] if part.tensor.shape else 0
        return all(self._takes_pitch(step, t, columns) for t in self._tensors[id(storage)].values())

    def _takes_pitch(self, step: Step, tensor: ProgramTensor, columns: int) -> bool:
        """Whether a tensor, in a storage with rows of `columns`, may have gaps between them for all but `step`."""
        if id(tensor) in self._wanted or not tensor.shape:
            return False
        rows_fit = tensor.shape[-1] == columns if tensor.base is None else tensor.base.shape[-1] == columns
        maker = self._makers.get(id(tensor))
        if not rows_fit or (maker is not None and maker is not step and not _gives_pitch(maker)):
            return False
        return all(user is step or _reads_pitch(user, position) for user, position in self._uses.get(id(tensor), []))

    def _embed(self, whole: ProgramTensor, part: _Part) -> None:
        """Moves what lies in the part's storage into the whole's."""
        storage = part.tensor.storage
        offset, base = _located(whole, part)
        row = part.tensor.shape[-1] * part.tensor.dtype.size if base is not None else 0
        for tensor in self._tensors.pop(id(storage)).values():
            if base is None:
                tensor.offset += offset
            else:
                pitch = base.shape[-1] * base.dtype.size
                tensor.offset = offset + tensor.offset // row * pitch + tensor.offset % row
                tensor.base = base
            tensor.storage = whole.storage
            self._add(tensor)
        if id(storage) in self.names:
            self.names.setdefault(id(whole.storage), set()).update(self.names.pop(id(storage)))


def _located(whole: ProgramTensor, part: _Part) -> tuple[int, ProgramTensor | None]:
    """Where a part lies in the storage of the whole, and of which tensor's rows it is columns."""
    if whole.base is None:
        return whole.offset + part.offset, whole if part.pitched else None
    row, column = divmod(part.offset, whole.shape[-1] * whole.dtype.size)
    return whole.offset + row * whole.base.shape[-1] * whole.dtype.size + column, whole.base


def _gives_pitch(step: Step) -> bool:
    return rule_for(step.op).pitched_output or _joins_rows(step)


def _reads_pitch(step: Step, position: int) -> bool:
    return position in rule_for(step.op).pitched_inputs or (_joins_rows(step) and position < len(step.inputs) - 1)


def _joins_rows(step: Step) -> bool:
    """Along the last axis a concatenation takes rows with gaps between them, and makes such."""
    rank = len(step.outputs[0].shape)
    return step.op == "ConcatV2" and _axis(_constant(step.inputs[-1]), rank) == rank - 1


def _is_join(step: Step) -> bool:
    return step.op in ("ConcatV2", "Pack")


def _is_cut(step: Step) -> bool:
    return step.op in ("Split", "SplitV", "Unpack", "Slice", "StridedSlice")


def _joined(step: Step) -> list[ProgramTensor]:
    return step.inputs[:-1] if step.op == "ConcatV2" else step.inputs


def _source(step: Step) -> ProgramTensor:
    return step.inputs[1 if step.op == "Split" else 0]


def _constant(tensor: ProgramTensor) -> np.ndarray | None:
    return tensor.weight.value.numpy() if tensor.weight is not None else None


def _axis(value: np.ndarray | int | None, rank: int) -> int:
    axis = int(np.asarray(0 if value is None else value).reshape(-1)[0])
    return axis + rank if axis < 0 else axis


def _places(step: Step, whole: ProgramTensor) -> list[tuple[int, bool] | None]:
    """For each part (of a cut: that is read) its offset and whether it is pitched, or None where it must be copied."""
    indices = list(_indices(step, whole))
    tensors = _joined(step) if _is_join(step) else step.outputs
    pairs = zip(indices, tensors, strict=True)
    return [_place(whole, index, t.shape) for index, t in pairs if _is_join(step) or t.storage is not None]


def _indices(step: Step, whole: ProgramTensor) -> Iterator[_Index]:
    """For each part the index that takes it out of the whole."""
    rank = len(whole.shape)
    if step.op in ("Pack", "Unpack"):
        axis = _axis(step.attrs.get("axis", 0), rank)
        yield from ((*[slice(None)] * axis, i) for i in range(whole.shape[axis]))
    elif step.op == "Slice":
        begin, size = (_constant(t) for t in step.inputs[1:3])
        assert begin is not None and size is not None
        ends = (None if n == -1 else b + n for b, n in zip(begin.tolist(), size.tolist(), strict=True))
        yield tuple(slice(b, e) for b, e in zip(begin.tolist(), ends, strict=True))
    elif step.op == "StridedSlice":
        yield _strided_index(step)
    else:
        axes = {"ConcatV2": -1, "Split": 0, "SplitV": 2}
        axis = _axis(_constant(step.inputs[axes[step.op]]), rank)
        at = 0
        for tensor in _joined(step) if step.op == "ConcatV2" else step.outputs:
            yield (*[slice(None)] * axis, slice(at, at + tensor.shape[axis]))
            at += tensor.shape[axis]


def _strided_index(step: Step) -> _Index:
    begin, end, strides = (np.asarray(_constant(t)).tolist() for t in step.inputs[1:4])
    names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    masks = {name: int(step.attrs.get(f"{name}_mask", 0)) for name in names}
    index: list[Any] = []
    for i in range(len(begin)):
        bits = {name: bool(mask >> i & 1) for name, mask in masks.items()}
        if bits["ellipsis"]:
            index.append(Ellipsis)
        elif bits["new_axis"]:
            index.append(None)
        elif bits["shrink_axis"]:
            index.append(begin[i])
        else:
            first = None if bits["begin"] else begin[i]
            index.append(slice(first, None if bits["end"] else end[i], strides[i]))
    return tuple(index)


def _place(whole: ProgramTensor, index: _Index, shape: Sequence[int]) -> tuple[int, bool] | None:
    """numpy finds out, on an array of the shape that has no memory."""
    if not math.prod(whole.shape):
        return None
    size = whole.dtype.size
    strides = [math.prod(whole.shape[d + 1 :]) * size for d in range(len(whole.shape))]
    array = np.lib.stride_tricks.as_strided(np.empty(1, f"V{size}"), whole.shape, strides)
    part = array[index if Ellipsis in index else (*index, Ellipsis)]
    if part.shape != tuple(shape):
        return None
    offset = part.__array_interface__["data"][0] - array.__array_interface__["data"][0]
    if _has_strides(part.shape, part.strides, size):
        return offset, False
    row = whole.shape[-1] * size
    columns = part.shape[-1:] == (1,) or part.strides[-1:] == (size,)
    if columns and part.shape[-1] <= whole.shape[-1] and _has_strides(part.shape[:-1], part.strides[:-1], row):
        return offset, True
    return None


def _has_strides(shape: Sequence[int], strides: Sequence[int], last: int) -> bool:
    """Whether dimensions lie one behind the other, the innermost `last` bytes apart."""
    for dim, stride in zip(reversed(shape), reversed(strides), strict=True):
        if dim > 1 and stride != last:
            return False
        last *= dim
    return True
