"""The least memory that a pack's plan can run in, however it is streamed.

    tables + the largest over all steps of (live bytes of the arena + the step's own weights)

Tables are the pack's metadata as it stands in the file: what the runtime builds from it, its scratch memory, its
threads and its code count against it, not for it. A byte of the arena is live in a step that reads or writes it, and
from a write to the last read of what was written. Tensors may share addresses (views, results written in place,
parts of a concatenation), so this is asked of addresses, not of tensors: the live-variable analysis of compilers,
backwards over the steps (Aho, Lam, Sethi and Ullman, Compilers, 2nd edition, section 9.2.5). Weights that several
inputs of a step share count once.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from wherry.pack.format import Place
from wherry.pack.reader import Pack, PackStep


def lower_bound(pack: Pack) -> int:
    """In bytes."""
    live = live_bytes(pack)
    most = max((at + step_weight_bytes(pack, step) for at, step in zip(live, pack.steps, strict=True)), default=0)
    return pack.metadata_bytes + most


def step_weight_bytes(pack: Pack, step: PackStep) -> int:
    """Of its weights as they are stored, scales among them."""
    numbers = {t for t in step.inputs if t is not None and pack.tensors[t].place is Place.SEGMENT}
    return sum(pack.tensors[t].stored_bytes for t in numbers)


def live_bytes(pack: Pack) -> list[int]:
    """Of the arena, during each step."""
    places = [(t.offset, t.offset + t.nbytes) if t.place is Place.ARENA else None for t in pack.tensors]
    cuts = np.array(sorted({cut for place in places if place for cut in place}), np.int64)
    if len(cuts) == 0:
        return [0] * len(pack.steps)
    sizes = np.diff(cuts)

    def covered(numbers: Iterable[int | None]) -> NDArray[np.bool_]:
        """Which of the ranges between the cuts these tensors take."""
        mask = np.zeros(len(sizes), np.bool_)
        for number in numbers:
            place = None if number is None else places[number]
            if place is not None:
                begin, end = np.searchsorted(cuts, place)
                mask[begin:end] = True
        return mask

    held = {id(tensor) for tensor in pack.outputs.values()}
    live = covered(number for number, tensor in enumerate(pack.tensors) if id(tensor) in held)
    found: list[int] = []
    for step in reversed(pack.steps):
        read, written = covered(step.inputs), covered(step.outputs)
        found.append(int(sizes[live | read | written].sum()))
        live = (live & ~written) | read
    return found[::-1]
