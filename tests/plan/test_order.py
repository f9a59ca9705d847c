"""The order of steps: the best of all orders where a search can tell, and for series-parallel programs without one."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import pytest
import support
from wherry.plan import order as order_module
from wherry.plan.arena import plan_arena
from wherry.plan.lifetimes import set_lifetimes
from wherry.plan.order import best_order, choose_order
from wherry.plan.precedence import Precedence, precedence
from wherry.plan.program import Program

from benchmarks.generated import Builder, branches, layers, series_parallel


def _orders(model: Precedence, done: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """All topological orders."""
    count = len(model.before)
    if len(done) == count:
        yield done
    for step in range(count):
        if step not in done and all(before in done for before in model.before[step]):
            yield from _orders(model, (*done, step))


def _live(program: Program, order: tuple[int, ...]) -> int:
    """The largest live set of an order, as the arena counts it."""
    ordered = copy.deepcopy(program)
    ordered.steps = [ordered.steps[i] for i in order]
    set_lifetimes(ordered)
    plan_arena(ordered)
    return ordered.arena_lower_bound


def _random(seed: int, steps: int) -> Program:
    """Steps of all kinds, in place and not, with tensors that several read and that nobody reads."""
    draw, builder = random.Random(seed), Builder("random")
    held = [builder.input]
    sizes = [draw.randrange(16, 400) for _ in range(3)]
    for _ in range(steps):
        op = draw.choice(["Relu", "AddV2", "Conv2D", "Split"])
        inputs = draw.sample(held, min(len(held), draw.randint(1, 2)))
        if op in ("Relu", "AddV2"):
            held += builder.step(op, inputs, inputs[0].shape[0])
        else:
            held += builder.step(op, inputs, *(draw.choice(sizes) for _ in range(1 + (op == "Split"))))
    return builder.done(draw.sample(held[1:], draw.randint(1, 2)))


def _shuffled(program: Program, seed: int) -> Program:
    """The program with its steps in another topological order."""
    draw, model = random.Random(seed), precedence(program)
    done: list[int] = []
    ready = [i for i, before in enumerate(model.before) if not before]
    waits = [len(before) for before in model.before]
    while ready:
        step = ready.pop(draw.randrange(len(ready)))
        done.append(step)
        for after in model.after[step]:
            waits[after] -= 1
            if not waits[after]:
                ready.append(after)
    program.steps = [program.steps[i] for i in done]
    return program


@pytest.mark.parametrize("seed", range(60))
def test_no_order_is_better(seed: int) -> None:
    program = _random(seed, 7)
    model = precedence(program)
    order, bound = best_order(model)
    assert sorted(order) == list(range(len(program.steps)))
    best = min(_live(program, other) for other in _orders(model))
    assert _live(program, tuple(order)) == best == bound


@pytest.mark.parametrize("seed", range(60))
def test_peaks_are_what_the_arena_counts(seed: int) -> None:
    program = _random(seed, 12)
    for number in range(5):
        program = _shuffled(program, number)
        assert max(precedence(program).peaks(range(12))) == _live(program, tuple(range(12)))


@pytest.mark.parametrize("seed", range(60))
def test_series_parallel_programs_need_no_search(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_module, "Searcher", None)
    program = _shuffled(series_parallel(8 + seed % 3, seed), seed)
    model = precedence(program)
    order, bound = best_order(model)
    best = min(max(model.peaks(other)) for other in _orders(model))
    assert max(model.peaks(order)) == best == bound


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [branches, layers, series_parallel])
def test_large_programs(make: object, seed: int) -> None:
    assert callable(make)
    program = _shuffled(make(2000, seed), seed)
    model = precedence(program)
    before = max(model.peaks(range(len(program.steps))))
    order, bound = best_order(model)
    place = {step: i for i, step in enumerate(order)}
    assert len(place) == len(program.steps)
    assert all(place[a] < place[b] for b, befores in enumerate(model.before) for a in befores)
    assert bound <= max(model.peaks(order)) <= before
    if make is series_parallel:
        assert max(model.peaks(order)) == bound


def test_branches_run_one_by_one() -> None:
    program = _shuffled(branches(2000), 1)
    choose_order(program)
    set_lifetimes(program)
    plan_arena(program)
    assert program.arena_lower_bound <= 1.05 * program.order_lower_bound


def test_an_order_that_nothing_beats_stays() -> None:
    program = branches(500)
    choose_order(program)
    steps = [step.name for step in program.steps]
    choose_order(program)
    assert [step.name for step in program.steps] == steps


def test_the_bound_of_a_network() -> None:
    program = support.program()
    assert 0 < program.order_lower_bound <= program.arena_lower_bound
