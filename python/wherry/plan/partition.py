"""Cuts a program into partitions: runs of steps after which a run can report, be resumed, and be cut for TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from wherry.errors import BudgetError, UsageError
from wherry.plan.program import Program
from wherry.text import counted


@dataclass(frozen=True)
class Partition:
    """Steps first to first + count of the program, and the bytes of weights that they stream."""

    first: int
    count: int
    weight_bytes: int


def _step_weights(program: Program) -> list[dict[int, int]]:
    return [{id(w): w.stored_bytes for w in step.weights} for step in program.steps]


def _cut(weights: list[dict[int, int]], limit: int) -> list[Partition]:
    """Fills each partition as far as `limit` bytes allow. A single step may exceed it."""
    partitions: list[Partition] = []
    first, total = 0, 0
    held: set[int] = set()
    for i, step in enumerate(weights):
        new = sum(size for key, size in step.items() if key not in held)
        if i > first and total + new > limit:
            partitions.append(Partition(first, i - first, total))
            first, total, held = i, 0, set()
            new = sum(step.values())
        total += new
        held.update(step)
    partitions.append(Partition(first, len(weights) - first, total))
    return partitions


def by_count(program: Program, count: int) -> list[Partition]:
    """`count` partitions whose largest is as small as can be. Raises UsageError when there are too few steps."""
    if count < 1:
        raise UsageError(f"partitions must be 1 or more, not {count}")
    steps = len(program.steps)
    if count > max(steps, 1):
        has = counted(steps, "step")
        raise UsageError(f"{program.name} has {has}, it cannot be cut into {count} partitions; ask for fewer")
    weights = _step_weights(program)
    low = max((sum(step.values()) for step in weights), default=0)
    high = max(sum(sum(step.values()) for step in weights), low)
    while low < high:
        middle = (low + high) // 2
        if len(_cut(weights, middle)) <= count:
            high = middle
        else:
            low = middle + 1
    partitions = _cut(weights, low)
    while len(partitions) < count:  # fewer do: split the one with the most steps
        i = max(range(len(partitions)), key=lambda k: partitions[k].count)
        whole = partitions[i]
        half = whole.count // 2
        parts = ((whole.first, half), (whole.first + half, whole.count - half))
        partitions[i : i + 1] = [
            Partition(a, n, sum({k: v for s in weights[a : a + n] for k, v in s.items()}.values())) for a, n in parts
        ]
    return partitions


def by_limit(program: Program, limit: int) -> list[Partition]:
    """Partitions of at most `limit` bytes of weights. Raises BudgetError when one step alone has more."""
    weights = _step_weights(program)
    for step, sizes in zip(program.steps, weights, strict=True):
        if sum(sizes.values()) > limit:
            raise BudgetError(
                f"step {step.name!r} alone reads {sum(sizes.values())} bytes of weights, {limit} are left for them"
            )
    return _cut(weights, limit)
