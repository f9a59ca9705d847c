"""Addresses of blocks: those that live together lie apart, however they are placed."""

from __future__ import annotations

import random

import pytest
from wherry.plan import placement
from wherry.plan.arena import plan_arena
from wherry.plan.lifetimes import set_lifetimes
from wherry.plan.order import choose_order
from wherry.plan.placement import Block, Placement, as_they_come, largest_live_set, place

from benchmarks.generated import branches


def _blocks(seed: int, count: int) -> list[Block]:
    draw = random.Random(seed)
    blocks = []
    for _ in range(count):
        first = draw.randrange(count)
        length = draw.choice([1, 2, 3, draw.randint(1, count)])
        blocks.append(Block(64 * draw.choice([1, 2, draw.randint(1, 50)]), first, first + length))
    return blocks


def _check(blocks: list[Block], found: Placement) -> None:
    for i, a in enumerate(blocks):
        assert found.offsets[i] >= 0 and found.offsets[i] + a.size <= found.top
        for k, b in enumerate(blocks[:i]):
            if a.first <= b.last and b.first <= a.last:
                assert (
                    found.offsets[i] + a.size <= found.offsets[k] or found.offsets[k] + b.size <= found.offsets[i]
                ), (a, b)
    assert found.top >= largest_live_set(blocks)


@pytest.mark.parametrize("seed", range(40))
def test_blocks_that_live_together_lie_apart(seed: int) -> None:
    blocks = _blocks(seed, 1 + 3 * seed)
    _check(blocks, place(blocks))
    _check(blocks, as_they_come(blocks))


def test_too_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_MOST_PAIRS", 10)
    blocks = _blocks(3, 60)
    _check(blocks, place(blocks))


def test_no_blocks() -> None:
    assert place([]) == Placement([], 0) == as_they_come([])


def test_improving_finds_what_greedy_misses() -> None:
    missed = improved = 0
    for seed in range(40):
        blocks = _blocks(seed, 12)
        bound, best = largest_live_set(blocks), place(blocks).top
        together = placement._together(blocks)
        orders = placement._orders(blocks, placement.live_bytes(blocks))
        tops = [placement.greedy(blocks, order, together).top for order in orders]
        assert best <= min(tops)
        missed += min(tops) > bound
        improved += best < min(tops)
    assert improved > missed / 2


def test_branches_fit_into_what_lives_together() -> None:
    """Their ends live long, in the way of everything."""
    program = branches(1000)
    choose_order(program)
    set_lifetimes(program)
    plan_arena(program)
    assert program.arena_bytes <= 1.05 * program.arena_lower_bound
