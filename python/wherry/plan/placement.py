"""Addresses for blocks with lifetimes, such that those that live together lie apart and the highest end is low.

Greedy placement takes the blocks in some order, each to the lowest gap between those placed that live at the same
time (Y. Pisarchyk and J. Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, section 5). No order
of blocks is best for all programs, so several are tried, and then improved: those near a block that ends too high are
placed anew. Where too many pairs live together for that, the blocks that live longest get the ground, in gaps as they
come, and the rest lies above. All of it takes n log n: the pairs that it looks at are limited.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_MOST_PAIRS = 1 << 23  # of blocks that live together, in lists
_LONG = (256, 64)  # steps that a block lives, beyond which it may be better on the ground
_MOST_GROUND = 0.05  # of the largest live set, for these
_LOOKS, _MORE_LOOKS = 1 << 17, 1 << 19  # at one block by another, improving a placement; 2^20 take a second
_MOST_MOVED = 24  # blocks that are placed anew together
_TRIED_PAIRS = 1 << 21  # beyond, one order of blocks has to do


@dataclass(frozen=True)
class Block:
    """size in bytes, a multiple of the alignment. Lives from step first to step last, both included."""

    size: int
    first: int
    last: int


@dataclass
class Placement:
    """offsets of the blocks, and where the highest ends."""

    offsets: list[int]
    top: int


def largest_live_set(blocks: Sequence[Block]) -> int:
    """Bytes of the blocks that are alive together at the worst moment: no placement can do with less."""
    return max(live_bytes(blocks).values(), default=0)


def live_bytes(blocks: Sequence[Block]) -> dict[int, int]:
    """By step, in rising order, the bytes that live from then on until the next of the steps."""
    changes: dict[int, int] = {}
    for block in blocks:
        changes[block.first] = changes.get(block.first, 0) + block.size
        changes[block.last + 1] = changes.get(block.last + 1, 0) - block.size
    live = 0
    for step in sorted(changes):
        live += changes[step]
        changes[step] = live
    return dict(sorted(changes.items()))


def place(blocks: Sequence[Block]) -> Placement:
    """The best placement that is found."""
    first = np.fromiter((block.first for block in blocks), np.int64, len(blocks))
    last = np.fromiter((block.last for block in blocks), np.int64, len(blocks))
    lengths = last - first
    if _count_pairs(first, last) > _MOST_PAIRS:
        by_length = np.sort(lengths)
        low, high = 0, len(blocks)
        while low + 1 < high:
            middle = (low + high) // 2
            short = lengths < by_length[middle]
            low, high = (middle, high) if _count_pairs(first[short], last[short]) <= _MOST_PAIRS else (low, middle)
        return min(_layered(blocks, lengths >= by_length[low]), as_they_come(blocks), key=_top)
    best = _tried(blocks)
    bound = largest_live_set(blocks)
    for length in _LONG:
        if best.top == bound:
            break
        long = lengths > length
        if long.any() and largest_live_set([blocks[i] for i in np.flatnonzero(long).tolist()]) <= bound * _MOST_GROUND:
            best = min(best, _layered(blocks, long), key=_top)
    return best


def _layered(blocks: Sequence[Block], long: np.ndarray) -> Placement:
    """Those blocks that live long, and so meet most others, on the ground, and the rest above them."""
    ground, above = np.flatnonzero(long).tolist(), np.flatnonzero(~long).tolist()
    low, high = as_they_come([blocks[i] for i in ground]), _tried([blocks[i] for i in above])
    whole = Placement([0] * len(blocks), low.top + high.top)
    for i, offset in zip(ground, low.offsets, strict=True):
        whole.offsets[i] = offset
    for i, offset in zip(above, high.offsets, strict=True):
        whole.offsets[i] = low.top + offset
    return whole


def _top(placement: Placement) -> int:
    return placement.top


def _count_pairs(first: np.ndarray, last: np.ndarray) -> int:
    """How many pairs of blocks live together."""
    begun = np.arange(len(first))
    ended = np.searchsorted(np.sort(last), np.sort(first), side="left")
    return int((begun - ended).sum())


def _tried(blocks: Sequence[Block]) -> Placement:
    """The best of several placements by a greedy order, each improved where there is time for it."""
    together = _together(blocks)
    pairs = sum(map(len, together))
    bound = largest_live_set(blocks)
    found: list[Placement] = []
    for order in _orders(blocks, live_bytes(blocks)):
        found.append(greedy(blocks, order, together))
        if found[-1].top == bound or pairs > _TRIED_PAIRS:
            return min(found, key=_top)
    better = []
    for start in sorted(found, key=_top):
        better.append(_Repair(blocks, start, together, bound).run(_LOOKS))
        if better[-1].top == bound:
            return better[-1]
    return _Repair(blocks, min(better, key=_top), together, bound).run(_MORE_LOOKS)


def _together(blocks: Sequence[Block]) -> list[list[int]]:
    """For each block those that live at the same time."""
    found: list[list[int]] = [[] for _ in blocks]
    alive: dict[int, None] = {}
    ends: list[tuple[int, int]] = []
    for i in sorted(range(len(blocks)), key=lambda k: blocks[k].first):
        while ends and ends[0][0] < blocks[i].first:
            del alive[heapq.heappop(ends)[1]]
        found[i].extend(alive)
        for k in alive:
            found[k].append(i)
        alive[i] = None
        heapq.heappush(ends, (blocks[i].last, i))
    return found


def _orders(blocks: Sequence[Block], live: dict[int, int]) -> Iterator[list[int]]:
    """Orders in which to place blocks."""
    numbers = range(len(blocks))
    yield sorted(numbers, key=lambda i: (-blocks[i].size, blocks[i].first))
    yield sorted(numbers, key=lambda i: (-blocks[i].size * (blocks[i].last - blocks[i].first + 1), blocks[i].first))
    breadth = _breadths(blocks, live)
    yield sorted(numbers, key=lambda i: (-breadth[i], -blocks[i].size, blocks[i].first))
    yield sorted(numbers, key=lambda i: (blocks[i].first - blocks[i].last, -blocks[i].size, blocks[i].first))
    yield sorted(numbers, key=lambda i: (blocks[i].first, -blocks[i].size))
    yield sorted(numbers, key=lambda i: (-blocks[i].last, -blocks[i].size))


def _breadths(blocks: Sequence[Block], live: dict[int, int]) -> list[int]:
    """For each block the most bytes that live at one time of its life: blocks taken by the fullest moment first."""
    result = [0] * len(blocks)
    ends = sorted(range(len(blocks)), key=lambda k: blocks[k].last)
    # Moments in rising order that no later and fuller one hides: the first since a block began is its fullest.
    moments = list(live.items())
    kept_steps: list[int] = []
    kept_bytes: list[int] = []
    at = 0
    for i in ends:
        while at < len(moments) and moments[at][0] <= blocks[i].last:
            step, size = moments[at]
            while kept_bytes and kept_bytes[-1] <= size:
                kept_bytes.pop()
                kept_steps.pop()
            kept_steps.append(step)
            kept_bytes.append(size)
            at += 1
        result[i] = kept_bytes[bisect_left(kept_steps, blocks[i].first)]  # the first moment kept since it began
    return result


def greedy(blocks: Sequence[Block], order: Sequence[int], together: Sequence[Sequence[int]]) -> Placement:
    """Each block of the order at the lowest place that those before it leave."""
    offsets = [-1] * len(blocks)
    ends = [0] * len(blocks)
    for i in order:
        at = _lowest(sorted([(offsets[k], ends[k]) for k in together[i] if offsets[k] >= 0]), blocks[i].size)
        offsets[i], ends[i] = at, at + blocks[i].size
    return Placement(offsets, max(ends, default=0))


class _Repair:
    """Takes some blocks that stand near one that ends too high, and places them anew, again and again.

    A new placement stays if these blocks end no higher, and no more bytes of them lie above `bound`: so the highest end
    never rises. Blocks find their places from the ground up or from the bound down, as the dice say.
    """

    def __init__(
        self, blocks: Sequence[Block], found: Placement, together: Sequence[Sequence[int]], bound: int
    ) -> None:
        self._blocks = blocks
        self._offsets = list(found.offsets)
        self._together = together
        self._bound = bound
        self._draw = random.Random(0)  # the same plan every time
        self._looks = 0

    def run(self, most_looks: int) -> Placement:
        """The placement when nothing lies above the bound, or when it has taken long enough."""
        blocks, offsets = self._blocks, self._offsets
        heap = [(-self._end(i), i) for i in range(len(blocks)) if self._end(i) > self._bound]
        heapq.heapify(heap)
        while heap and self._looks < most_looks:
            end, i = heap[0]
            if -end != self._end(i):
                heapq.heappop(heap)
                continue
            for k in self._again(i):
                if self._end(k) > self._bound:
                    heapq.heappush(heap, (-self._end(k), k))
        return Placement(offsets, max(map(self._end, range(len(blocks)))))

    def _end(self, i: int) -> int:
        return self._offsets[i] + self._blocks[i].size

    def _again(self, start: int) -> list[int]:
        """Places the blocks near one anew; returns those that moved."""
        draw, offsets, blocks = self._draw, self._offsets, self._blocks
        near = self._near(start, draw.randint(2, _MOST_MOVED))
        before = {i: offsets[i] for i in near}
        worst = self._badness(near)
        for i in near:
            offsets[i] = -1
        weight = {i: blocks[i].size * draw.uniform(0.3, 1) for i in near}
        for i in sorted(near, key=lambda k: -weight[k]):
            offsets[i] = self._place(i, draw.random() < 0.5)
        if any(now > then for now, then in zip(self._badness(near), worst, strict=True)):
            for i, offset in before.items():
                offsets[i] = offset
            return []
        return [i for i, offset in before.items() if offsets[i] != offset]

    def _badness(self, near: Sequence[int]) -> tuple[int, int]:
        ends = [self._end(i) - self._bound for i in near]
        return max(ends), sum(end for end in ends if end > 0)

    def _near(self, start: int, most: int) -> list[int]:
        """Up to `most` blocks that live with one, or with those that do; rarely those that live with very many."""
        found = {start: None}
        pending = [start]
        many = 2 * len(self._together[start]) + 8
        while pending and len(found) < most:
            i = pending.pop(self._draw.randrange(len(pending)))
            self._looks += len(self._together[i])
            for k in self._together[i]:
                if k not in found and (len(self._together[k]) <= many or self._draw.random() < 0.1):
                    found[k] = None
                    pending.append(k)
        return list(found)[:most]

    def _place(self, i: int, from_above: bool) -> int:
        """The lowest place of a block, or the highest below the bound if there is one."""
        size, offsets, blocks = self._blocks[i].size, self._offsets, self._blocks
        self._looks += len(self._together[i]) + 4
        taken = sorted([(offsets[k], offsets[k] + blocks[k].size) for k in self._together[i] if offsets[k] >= 0])
        lowest = _lowest(taken, size)
        if not from_above or lowest + size > self._bound:
            return lowest
        top = self._bound  # the same from above
        for begin, end in sorted(taken, key=lambda piece: -piece[1]):
            if top - end >= size:
                break
            top = min(top, begin)
        return top - size


def _lowest(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The lowest gap between pieces (begin, end), in rising order, that holds so many bytes."""
    at = 0
    for begin, end in taken:
        if begin - at >= size:
            break
        if end > at:
            at = end
    return at


def as_they_come(blocks: Sequence[Block]) -> Placement:
    """Places blocks in the order of their first steps, the largest of a step first, in gaps that others left."""
    offsets = [0] * len(blocks)
    gaps = _Gaps()
    ends: list[tuple[int, int]] = []
    for i in sorted(range(len(blocks)), key=lambda k: (blocks[k].first, -blocks[k].size)):
        while ends and ends[0][0] < blocks[i].first:
            gone = heapq.heappop(ends)[1]
            gaps.give(offsets[gone], blocks[gone].size)
        offsets[i] = gaps.take(blocks[i].size)
        heapq.heappush(ends, (blocks[i].last, i))
    return Placement(offsets, gaps.top)


_CLASSES_PER_DOUBLING = 8


class _Gaps:
    """Free memory below `top`, in classes by size; a heap of each class gives the lowest address.

    A gap that was taken or joined with another stays in its heap until it is met there.
    """

    def __init__(self) -> None:
        self.top = 0
        self._sizes: dict[int, int] = {}
        self._starts: dict[int, int] = {}  # by end
        self._classes: list[list[tuple[int, int]]] = [[] for _ in range(64 * _CLASSES_PER_DOUBLING)]

    @staticmethod
    def _class(size: int) -> int:
        doubling = size.bit_length() - 1
        return doubling * _CLASSES_PER_DOUBLING + (size * _CLASSES_PER_DOUBLING >> doubling) - _CLASSES_PER_DOUBLING

    def give(self, start: int, size: int) -> None:
        """A piece that is free again."""
        after = self._sizes.pop(start + size, None)
        if after is not None:
            size += after
        before = self._starts.pop(start, None)
        if before is not None:
            size += self._sizes[before]
            start = before
        self._sizes[start] = size
        self._starts[start + size] = start
        heapq.heappush(self._classes[self._class(size)], (start, size))

    def take(self, size: int) -> int:
        """The start of a piece, from the smallest class that has one, or from the top."""
        for number in range(self._class(size), len(self._classes)):
            heap = self._classes[number]
            while heap and (self._sizes.get(heap[0][0]) != heap[0][1]):
                heapq.heappop(heap)
            if heap and heap[0][1] >= size:
                start, held = heapq.heappop(heap)
                self._remove(start, held)
                if held > size:
                    self.give(start + size, held - size)
                return start
        start = self._starts.get(self.top, self.top)  # a gap that ends at the top grows
        if start < self.top:
            self._remove(start, self.top - start)
        self.top = start + size
        return start

    def _remove(self, start: int, size: int) -> None:
        del self._sizes[start]
        del self._starts[start + size]
