"""Takes an order of steps apart into steps that follow one another and steps that do not depend on each other.

A set of steps is in series where all of its first part precede all of the rest, and in parallel where nothing joins its
parts; taken apart until nothing is left, that is series-parallel. Other sets have a core that is neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.plan.precedence import Precedence


class Decomposer:
    """Splits sets of steps, each an ascending list of which every path between two of its steps is a part."""

    def __init__(self, model: Precedence) -> None:
        self._model = model
        self._set_of = [-1] * len(model.before)
        self._sets = 0

    def _mark(self, steps: Sequence[int]) -> int:
        self._sets += 1
        for step in steps:
            self._set_of[step] = self._sets
        return self._sets

    def series(self, steps: Sequence[int]) -> list[list[int]]:
        """The pieces of a set that precede one another.

        Between places i and i + 1 of any topological order the set can be cut if each of the first part's ends has an
        edge to each of the rest's beginnings. Their numbers are counted at all places at once, by where they change.
        """
        mark, count = self._mark(steps), len(steps)
        place = {step: i for i, step in enumerate(steps)}
        ends, begins, edges = ([0] * (count + 1) for _ in range(3))
        next_of, last_of = [count] * count, [-1] * count
        for i, step in enumerate(steps):
            after = [place[s] for s in self._model.after[step] if self._set_of[s] == mark]
            before = [place[s] for s in self._model.before[step] if self._set_of[s] == mark]
            next_of[i] = min(after, default=count)
            last_of[i] = max(before, default=-1)
            ends[i] += 1
            ends[next_of[i]] -= 1
            begins[max(last_of[i], 0)] += 1
            begins[i] -= 1
        for i, step in enumerate(steps):
            for s in self._model.after[step]:
                if self._set_of[s] == mark and last_of[place[s]] < next_of[i]:
                    edges[last_of[place[s]]] += 1
                    edges[next_of[i]] -= 1
        pieces: list[list[int]] = []
        first = 0
        num_ends = num_begins = num_edges = 0
        for i in range(count - 1):
            num_ends += ends[i]
            num_begins += begins[i]
            num_edges += edges[i]
            if num_edges == num_ends * num_begins:
                pieces.append(list(steps[first : i + 1]))
                first = i + 1
        pieces.append(list(steps[first:]))
        return pieces

    def parallel(self, steps: Sequence[int]) -> list[list[int]]:
        """The pieces of a set that no edge joins, by their first step."""
        mark = self._mark(steps)
        pieces: list[list[int]] = []
        for root in steps:
            if self._set_of[root] != mark:
                continue
            self._set_of[root] = 0
            piece, at = [root], 0
            while at < len(piece):
                for s in self._model.after[piece[at]] + self._model.before[piece[at]]:
                    if self._set_of[s] == mark:
                        self._set_of[s] = 0
                        piece.append(s)
                at += 1
            pieces.append(sorted(piece))
        return pieces
