"""From when to when each block of memory is needed, and which outputs take over the memory of an input."""

from __future__ import annotations

from wherry.ops.rules import rule_for
from wherry.plan.program import Program, ProgramTensor, Step, Storage


def may_take_over(step: Step, position: int, output: ProgramTensor) -> bool:
    """Whether an output may lie where an input lies, once nobody else needs that input. Parts of tensors stay apart."""
    inplace = rule_for(step.op).inplace
    if position not in inplace or position >= len(step.inputs):
        return False
    tensor = step.inputs[position]
    storage = tensor.storage
    return (
        storage is not None
        and storage.external is None
        and output.storage is not None
        and tensor.dtype == output.dtype
        and tensor.shape == output.shape
        and tensor.is_whole
        and output.is_whole
        and all(
            t.storage is not storage or (number in inplace and t.shape == output.shape and t.is_whole)
            for number, t in enumerate(step.inputs)
        )
    )


def set_lifetimes(program: Program) -> None:
    """Fills first and last of every storage, and lets outputs take over inputs' memory where the op allows it.

    May be called again when steps have been replaced; outputs that took over an input's memory keep it.
    """
    for storage in {id(t.storage): t.storage for s in program.steps for t in (*s.inputs, *s.outputs)}.values():
        if storage is not None:
            storage.first = storage.last = -1
    last_use: dict[int, int] = {}
    for i, step in enumerate(program.steps):
        for tensor in (*step.inputs, *step.outputs):
            if tensor.storage is not None:
                last_use[id(tensor.storage)] = i
    for tensor in program.outputs.values():
        last_use[id(tensor.storage)] = len(program.steps)
    merged: dict[int, Storage] = {}
    for i, step in enumerate(program.steps):
        for tensor in step.inputs:
            if tensor.storage is not None:
                tensor.storage = merged.get(id(tensor.storage), tensor.storage)
        taken: set[int] = set()
        for tensor in step.outputs:
            if tensor.storage is None:
                continue
            own = tensor.storage
            in_place = any(other.storage is own for other in step.inputs)  # found before
            heir = None if in_place else _inheritable(step, tensor, i, last_use, taken)
            if heir is not None:
                taken.add(id(heir))
                last_use[id(heir)] = last_use[id(own)]
                merged[id(own)] = heir
                tensor.storage = heir
            elif own.first < 0:
                own.first = i
    for tensor in program.outputs.values():
        if tensor.storage is not None:
            tensor.storage = merged.get(id(tensor.storage), tensor.storage)
    for step in program.steps:
        for tensor in (*step.inputs, *step.outputs):
            if tensor.storage is not None:
                tensor.storage.last = max(tensor.storage.last, last_use[id(tensor.storage)])
    for tensor in program.outputs.values():
        if tensor.storage is not None:
            tensor.storage.last = len(program.steps)


def _inheritable(
    step: Step, output: ProgramTensor, i: int, last_use: dict[int, int], taken: set[int]
) -> Storage | None:
    for position in rule_for(step.op).inplace:
        if not may_take_over(step, position, output):
            continue
        storage = step.inputs[position].storage
        if storage is not None and id(storage) not in taken and last_use[id(storage)] == i:
            return storage
    return None
