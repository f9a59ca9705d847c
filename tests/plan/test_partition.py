"""Partitions cover all steps in order, keep to their limit, and are as even as can be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wherry.errors import BudgetError, UsageError
from wherry.graph import ArrayValue, DType
from wherry.ops.rules import WeightUse
from wherry.plan.partition import Partition, by_count, by_limit
from wherry.plan.program import Program, ProgramTensor, Step, Weight


def _program(steps: list[list[int]], sizes: list[int]) -> Program:
    """steps: for each, the numbers of the weights that it reads; sizes: their bytes."""
    value = ArrayValue(np.zeros(1, np.float32))
    weights = [
        ProgramTensor(f"w{i}", DType.FLOAT, (1,), weight=Weight(value, WeightUse.PLAIN, False, size))
        for i, size in enumerate(sizes)
    ]
    program = Program("random", {}, {})
    for number, reads in enumerate(steps):
        program.steps.append(Step(f"s{number}", "Op", "Op_f32", [weights[i] for i in reads], [], {}))
    return program


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    sizes = draw(st.lists(st.integers(0, 1000), min_size=1, max_size=12))
    reads = st.lists(st.integers(0, len(sizes) - 1), max_size=3)
    return draw(st.lists(reads, min_size=1, max_size=16)), sizes


def _bytes(program: Program, first: int, count: int) -> int:
    held = {id(w): w.stored_bytes for step in program.steps[first : first + count] for w in step.weights}
    return sum(held.values())


def _check(program: Program, cut: list[Partition]) -> None:
    assert cut[0].first == 0
    assert all(a.first + a.count == b.first for a, b in itertools.pairwise(cut))
    assert cut[-1].first + cut[-1].count == len(program.steps)
    for part in cut:
        assert part.weight_bytes == _bytes(program, part.first, part.count)


@settings(max_examples=200, deadline=None)
@given(programs(), st.data())
def test_by_count(made: tuple[list[list[int]], list[int]], data: st.DataObject) -> None:
    program = _program(*made)
    count = data.draw(st.integers(1, len(program.steps)))
    cut = by_count(program, count)
    _check(program, cut)
    assert len(cut) == count
    assert all(part.count >= 1 for part in cut)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=2), min_size=1, max_size=8), st.integers(1, 4))
def test_the_largest_partition_is_as_small_as_can_be(steps: list[list[int]], count: int) -> None:
    program = _program(steps, [100, 7, 250, 33, 90, 160])
    count = min(count, len(steps))
    best = min(
        max(_bytes(program, a, b - a) for a, b in itertools.pairwise((0, *cuts, len(steps))))
        for cuts in itertools.combinations(range(1, len(steps)), count - 1)
    )
    assert max(part.weight_bytes for part in by_count(program, count)) == best


@settings(max_examples=200, deadline=None)
@given(programs(), st.integers(0, 3000))
def test_by_limit(made: tuple[list[list[int]], list[int]], limit: int) -> None:
    program = _program(*made)
    largest = max(_bytes(program, i, 1) for i in range(len(program.steps)))
    if largest > limit:
        with pytest.raises(BudgetError, match="alone reads"):
            by_limit(program, limit)
        return
    cut = by_limit(program, limit)
    _check(program, cut)
    assert all(part.weight_bytes <= limit for part in cut)


def test_a_program_without_steps_is_one_partition() -> None:
    assert by_count(_program([], [1]), 1) == [Partition(0, 0, 0)]


@pytest.mark.parametrize(("count", "message"), [(0, "1 or more"), (-3, "1 or more"), (4, "has 3 steps.*ask for fewer")])
def test_impossible_counts(count: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        by_count(_program([[0], [0], [0]], [10]), count)
