"""How many bytes of a pack's arena hold something at a time, told from its steps alone."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.pack import format as fmt
from wherry.pack.format import Place
from wherry.pack.reader import Pack, PackTensor

_Range = tuple[int, int]  # begin and end in the arena


def largest_live_set(pack: Pack) -> int:
    """The bytes that hold something while the step runs for which these are most: no arena can be smaller.

    Goes through the steps backwards: what a step reads lives before it, what it writes does not.
    """
    live = _ranges(pack.outputs.values())
    most = sum(end - begin for begin, end in live)
    for step in reversed(pack.steps):
        reads = _ranges(pack.tensors[i] for i in step.inputs if i is not None)
        writes = _ranges(pack.tensors[i] for i in step.outputs)
        most = max(most, sum(end - begin for begin, end in _union(live + reads + writes)))
        live = _union(_without(live, writes) + reads)
    return most


def _ranges(tensors: Iterable[PackTensor]) -> list[_Range]:
    held = (tensor for tensor in tensors if tensor.place is Place.ARENA)
    return [(t.offset, t.offset + fmt.align(max(t.nbytes, 1), fmt.TENSOR_ALIGNMENT)) for t in held]


def _union(ranges: Iterable[_Range]) -> list[_Range]:
    result: list[_Range] = []
    for begin, end in sorted(ranges):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return result


def _without(ranges: Iterable[_Range], gone: Iterable[_Range]) -> list[_Range]:
    result = list(ranges)
    for first, last in gone:
        result = [piece for begin, end in result for piece in ((begin, min(end, first)), (max(begin, last), end))
                  if piece[0] < piece[1]]  # fmt: skip
    return result
