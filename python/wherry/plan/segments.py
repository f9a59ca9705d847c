"""Merges orders of independent parts so that the most memory that lives at a time is least.

A part's order is cut into segments that are best run without a break, from hill to valley (J. Liu, "An application of
generalized tree pebbling to sparse matrix factorization", 1987); all parts' segments are then sorted: first those
that free memory, the lowest hill first, then those that keep some, the largest fall from the hill first. Segments of
one part are in that order already, so sorting is merging. For series-parallel sets this gives the best order of all
(H. Abdel-Wahab and T. Kameda, "Scheduling to minimize maximum cumulative cost subject to series-parallel precedence
constraints", 1978; for memory: E. Kayaaslan et al., "Scheduling series-parallel task graphs to minimize peak memory",
2018).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass
class Segment:
    """steps in order; hill: bytes needed at the worst moment beyond those at its begin; change: those at its end."""

    steps: list[int]
    hill: int
    change: int

    @property
    def key(self) -> tuple[int, int]:
        return (0, self.hill) if self.change < 0 else (1, self.change - self.hill)


def segments(profile: Iterable[tuple[int, int, int]]) -> list[Segment]:
    """Of (step, bytes needed, change of bytes) in execution order."""
    stack: list[Segment] = []
    for step, hill, change in profile:
        top = Segment([step], max(hill, change, 0), change)
        while stack and top.key < stack[-1].key:
            lower = stack.pop()
            lower.hill = max(lower.hill, lower.change + top.hill)
            lower.change += top.change
            lower.steps = _joined(lower.steps, top.steps)
            top = lower
        stack.append(top)
    return stack


def _joined(a: list[int], b: list[int]) -> list[int]:
    """a then b, in time of the shorter."""
    if len(a) >= len(b):
        a.extend(b)
        return a
    b[:0] = a
    return b


def merge(parts: Sequence[Sequence[Segment]]) -> list[int]:
    """Steps of all parts in the best order; among equals the earlier part's first."""
    merged = heapq.merge(*parts, key=lambda segment: segment.key)
    return [step for segment in merged for step in segment.steps]
