"""How many bytes of a pack's arena hold something at a time, told from its steps alone."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.pack import format as fmt
from wherry.pack.format import Place
from wherry.pack.reader import Pack, PackTensor
from wherry.plan.slices import FIRST_COLUMN

_Range = tuple[int, int]  # begin and end in the arena


def largest_live_set(pack: Pack) -> int:
    """The bytes that hold something while the step runs for which these are most: no arena can be smaller.

    Goes through the steps backwards: what a step reads lives before it, what it writes does not. A tensor that several
    steps write, by columns, lives as a whole from the first of them on.
    """
    first_writers: dict[int, int] = {}
    for number, step in enumerate(pack.steps):
        for output in step.outputs:
            first_writers.setdefault(pack.tensors[output].whole(output), number)
    live = _union(_ranges(pack, pack.outputs.values()))
    most = _size(live)
    for number in reversed(range(len(pack.steps))):
        step = pack.steps[number]
        reads = _ranges(pack, (pack.tensors[i] for i in step.inputs if i is not None))
        writes = _ranges(pack, (pack.tensors[i] for i in step.outputs))
        made = (i for i in step.outputs if not _in_parts(pack, i) or first_writers[pack.tensors[i].whole(i)] == number)
        begun = step.attributes.get(FIRST_COLUMN, 0) == 0
        most = max(most, _size(_union(live + reads + writes)))
        live = _union(_without(live, _ranges(pack, (pack.tensors[i] for i in made)) if begun else []) + reads)
    return most


def _in_parts(pack: Pack, number: int) -> bool:
    return pack.tensors[number].whole(number) != number


def _ranges(pack: Pack, tensors: Iterable[PackTensor]) -> list[_Range]:
    held = (tensor for tensor in tensors if tensor.place is Place.ARENA)
    wholes = (pack.tensors[t.owner - 1] if t.owner else t for t in held)
    return [(t.offset, t.offset + max(t.nbytes, 1)) for t in wholes]


def _size(ranges: Iterable[_Range]) -> int:
    """Bytes of ranges, with what tensors are padded to."""
    unit = fmt.TENSOR_ALIGNMENT
    rounded = ((begin - begin % unit, fmt.align(end, unit)) for begin, end in ranges)
    return sum(end - begin for begin, end in _union(rounded))


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
