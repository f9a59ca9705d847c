"""Where in the arena each tensor lies, and how close that comes to the bytes that have to live together."""

from __future__ import annotations

from wherry.plan.placement import Block, largest_live_set, place
from wherry.plan.program import Program, Storage

ALIGNMENT = 64


def storages_of(program: Program) -> list[Storage]:
    """The arena's blocks, each once, in the order in which they are first used."""
    seen: dict[int, Storage] = {}

    def visit(storage: Storage | None) -> None:
        if storage is not None and storage.external is None:
            seen.setdefault(id(storage), storage)

    for step in program.steps:
        for tensor in (*step.inputs, *step.outputs):
            visit(tensor.storage)
    for tensor in program.outputs.values():
        visit(tensor.storage)
    return list(seen.values())


def rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


def plan_arena(program: Program) -> None:
    """Sets the offset of every block, and the program's arena_bytes and arena_lower_bound."""
    storages = storages_of(program)
    blocks = [Block(rounded(storage.nbytes), storage.first, storage.last) for storage in storages]
    placement = place(blocks)
    for storage, offset in zip(storages, placement.offsets, strict=True):
        storage.offset = offset
    program.arena_bytes = placement.top
    program.arena_lower_bound = largest_live_set(blocks)
