"""Where in the arena each tensor lies.

Greedy by size (Y. Pisarchyk and J. Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, section
5.2): the largest block first, each at the lowest gap that no block alive at the same time takes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

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


def _rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


def largest_live_set(storages: Iterable[Storage]) -> int:
    """Bytes of the blocks that are alive together at the worst moment: no plan can do with less."""
    changes: dict[int, int] = {}
    for storage in storages:
        size = _rounded(storage.nbytes)
        changes[storage.first] = changes.get(storage.first, 0) + size
        changes[storage.last + 1] = changes.get(storage.last + 1, 0) - size
    live = most = 0
    for step in sorted(changes):
        live += changes[step]
        most = max(most, live)
    return most


def plan_arena(program: Program) -> None:
    """Sets the offset of every block, and the program's arena_bytes and arena_lower_bound."""
    storages = storages_of(program)
    order = sorted(range(len(storages)), key=lambda i: (-storages[i].nbytes, storages[i].first))
    count = len(storages)
    first, last, begin, end = (np.zeros(count, np.int64) for _ in range(4))
    for placed, i in enumerate(order):
        storage = storages[i]
        size = _rounded(storage.nbytes)
        clash = (first[:placed] <= storage.last) & (last[:placed] >= storage.first)
        starts, ends = begin[:placed][clash], end[:placed][clash]
        at = 0
        for k in np.argsort(starts, kind="stable"):
            if starts[k] - at >= size:
                break
            at = max(at, int(ends[k]))
        storage.offset = at
        first[placed], last[placed] = storage.first, storage.last
        begin[placed], end[placed] = at, at + size
    program.arena_bytes = int(end.max(initial=0))
    program.arena_lower_bound = largest_live_set(storages)
