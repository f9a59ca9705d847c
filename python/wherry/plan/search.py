"""Searches among all orders of a set of steps for the one that needs the least memory.

A state is the set of steps that are done (a downset), which decides what lives. States are taken by the least peak
that leads to them, so the first complete one is the best of all. A step that frees as much as it leaves, and fits
below the peak so far, is taken at once: done earlier, it leaves less to every later state. Where the states are too
many, only the best of each size are kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from wherry.plan.precedence import Counts, Precedence


class Searcher:
    """Orders of `steps`, which are given in one. `left` says how often each block will be read when the first begins.

    Peaks and live bytes count from what lives then.
    """

    def __init__(self, model: Precedence, steps: Sequence[int], left: Counts) -> None:
        self._steps = steps
        place = {step: i for i, step in enumerate(steps)}
        self._before = [sum(1 << place[s] for s in model.before[step] if s in place) for step in steps]
        self._after = [[place[s] for s in model.after[step] if s in place] for step in steps]
        self._written = [sum(model.sizes[b] for b in model.writes[step]) for step in steps]
        readers: dict[int, int] = {}
        for i, step in enumerate(steps):
            for block in model.reads[step]:
                readers[block] = readers.get(block, 0) | 1 << i
        # A block goes with its last reader, if all readers are among the steps.
        frees = {b: mask if mask.bit_count() == left[b] else -1 for b, mask in readers.items()}
        self._frees = [[(frees[b], model.sizes[b]) for b in model.reads[step] if frees[b] >= 0] for step in steps]
        self._dead = [sum(model.sizes[b] for b in model.writes[step] if not model.uses[b]) for step in steps]
        self._heirs = [
            [
                (model.sizes[block], [(heir, frees[heir]) for heir in heirs if frees[heir] >= 0])
                for block, heirs in zip(model.writes[step], model.heirs[step], strict=True)
                if heirs
            ]
            for step in steps
        ]
        self._all = (1 << len(steps)) - 1
        self._first = tuple(i for i, before in enumerate(self._before) if not before)

    def _change(self, i: int, done: int) -> tuple[int, int]:
        with_it = done | 1 << i
        freed = sum(size for readers, size in self._frees[i] if not readers & ~with_it)
        more = self._written[i]
        taken: set[int] = set()
        for size, heirs in self._heirs[i]:
            for heir, readers in heirs:
                if heir not in taken and not readers & ~with_it:
                    taken.add(heir)
                    more -= size
                    break
        return more, self._written[i] - freed - self._dead[i]

    def _moves(
        self, peak: int, live: int, done: int, ready: tuple[int, ...]
    ) -> Iterator[tuple[int, int, int, tuple[int, ...], int]]:
        """The states that follow one: peak, live bytes, steps done, steps ready, and the step that leads there."""
        changes = [self._change(i, done) for i in ready]
        chosen = range(len(ready))
        for k, (more, change) in enumerate(changes):
            if change <= 0 and live + more <= peak:
                chosen = range(k, k + 1)
                break
        for k in chosen:
            i, (more, change) = ready[k], changes[k]
            now = done | 1 << i
            freed = [j for j in self._after[i] if not self._before[j] & ~now]
            yield max(peak, live + more), live + change, now, (*ready[:k], *ready[k + 1 :], *freed), i

    def exact(self, most_states: int, peak: int = 0) -> list[int] | None:
        """An order of the least peak, or None when that takes more states. A peak below `peak` is no better."""
        came: dict[int, tuple[int, int]] = {0: (-1, 0)}  # the step before, and the state before that
        best = {0: peak}
        heap = [(peak, 0, 0, 0, self._first)]
        for _ in range(most_states):
            reached, depth, done, live, ready = heapq.heappop(heap)
            if done == self._all:
                return self._back(done, came)
            if best[done] < reached:
                continue
            for after, now_live, now, now_ready, i in self._moves(reached, live, done, ready):
                if best.get(now, after + 1) > after:
                    best[now] = after
                    came[now] = (i, done)
                    heapq.heappush(heap, (after, depth - 1, now, now_live, now_ready))
        return None

    def beam(self, width: int, peak: int = 0) -> list[int]:
        """A good order: of the states of each size, the `width` best go on."""
        came: list[dict[int, tuple[int, int]]] = []
        states = {0: (peak, 0, self._first)}
        for _ in self._steps:
            found: dict[int, tuple[int, int, tuple[int, ...]]] = {}
            steps: dict[int, tuple[int, int]] = {}
            for done, (reached, live, ready) in states.items():
                for after, now_live, now, now_ready, i in self._moves(reached, live, done, ready):
                    if now not in found or found[now][0] > after:
                        found[now] = (after, now_live, now_ready)
                        steps[now] = (i, done)
            kept = heapq.nsmallest(width, found, key=lambda now: found[now][:2]) if len(found) > width else list(found)
            states = {now: found[now] for now in kept}
            came.append({now: steps[now] for now in kept})
        order: list[int] = []
        done = self._all
        for level in reversed(came):
            i, done = level[done]
            order.append(self._steps[i])
        return order[::-1]

    def _back(self, done: int, came: dict[int, tuple[int, int]]) -> list[int]:
        order: list[int] = []
        while done:
            i, done = came[done]
            order.append(self._steps[i])
        return order[::-1]
