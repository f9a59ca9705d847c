"""Orders of sets of steps that are too large to search: one step after another, and repairs of short stretches."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from wherry.plan.precedence import Counts, Precedence
from wherry.plan.search import Searcher

_STRETCH = 48  # steps that are ordered anew together
_STRETCHES = 200  # those of an order where most bytes live; a constant, so that time stays linear
_STATES = 300
_WIDTH = 8


def by_change(model: Precedence, steps: Sequence[int], left: Counts) -> list[int]:
    """Always the step that leaves the fewest bytes more than there were; among equals the first of `steps`."""
    counts = {block: left[block] for step in steps for block in model.reads[step]}
    inside = dict.fromkeys(counts, 0)  # the readers that are not done yet: how many, and the sum of their numbers
    numbers = dict.fromkeys(counts, 0)
    waits = dict.fromkeys(steps, 0)
    for step in steps:
        for after in model.after[step]:
            if after in waits:
                waits[after] += 1
        for block in model.reads[step]:
            inside[block] += 1
            numbers[block] += step
    ready = {step: model.change(step, counts)[1] for step in steps if not waits[step]}
    heap = [(change, step) for step, change in ready.items()]
    heapq.heapify(heap)
    order: list[int] = []

    def push(step: int) -> None:
        ready[step] = model.change(step, counts)[1]
        heapq.heappush(heap, (ready[step], step))

    while heap:
        change, step = heapq.heappop(heap)
        if ready.get(step) != change:
            continue
        del ready[step]
        order.append(step)
        for block in model.reads[step]:
            counts[block] -= 1
            inside[block] -= 1
            numbers[block] -= step
            if counts[block] == inside[block] == 1 and numbers[block] in ready:
                push(numbers[block])
        for after in model.after[step]:
            if after in waits:
                waits[after] -= 1
                if not waits[after]:
                    push(after)
    return order


def repaired(model: Precedence, order: Sequence[int], left: Counts, peaks: Sequence[int], enough: int) -> list[int]:
    """The order with its worst stretches in the best order that a short search finds.

    peaks: of each step of the order, beyond what lives before it; stretches of up to `enough` stay as they are
    """
    result = list(order)
    counts = {block: left[block] for step in order for block in model.reads[step]}
    for offset in (0, _STRETCH // 2):
        starts = range(offset, len(result), _STRETCH)
        worst = heapq.nlargest(_STRETCHES, ((max(peaks[i : i + _STRETCH]), -i) for i in starts))
        chosen = {-i for peak, i in worst if peak > enough}
        now, live = dict(counts), 0
        for i in range(0, len(result)):
            if i in chosen:
                part = result[i : i + _STRETCH]
                search = Searcher(model, part, now)
                found = search.exact(_STATES, max(enough - live, 0)) or search.beam(_WIDTH, max(enough - live, 0))
                if _peak(model, found, now) < _peak(model, part, now):
                    result[i : i + _STRETCH] = found
            live += model.change(result[i], now)[1]
            for block in model.reads[result[i]]:
                now[block] -= 1
        peaks = model.peaks(result, counts)
    return result


def _peak(model: Precedence, order: Sequence[int], left: Counts) -> int:
    return max(model.peaks(order, left), default=0)
