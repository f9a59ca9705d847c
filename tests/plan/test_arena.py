"""The arena: blocks that live together lie apart, whatever the program; and little is wasted."""

from __future__ import annotations

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from wherry.graph import DType
from wherry.plan.arena import ALIGNMENT, plan_arena, storages_of
from wherry.plan.lifetimes import set_lifetimes
from wherry.plan.program import Program, ProgramTensor, Step, Storage


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Programs of elementwise and other steps over tensors of few sizes, so that memory is taken over often."""
    sizes = draw(st.lists(st.integers(1, 400), min_size=1, max_size=3))
    size = st.sampled_from(sizes)
    source = draw(size)
    held = [ProgramTensor("x", DType.FLOAT, (source,), Storage(4 * source, external=0))]
    program = Program("random", {"x": held[0]}, {})
    for number in range(draw(st.integers(1, 14))):
        op = draw(st.sampled_from(["Relu", "AddV2", "Conv2D", "Split"]))
        inputs = draw(st.lists(st.sampled_from(held), min_size=1, max_size=2))
        if draw(st.integers(0, 3)) == 0:  # another view of the same memory
            first = inputs[0]
            inputs[0] = ProgramTensor(f"view{number}", first.dtype, (1, *first.shape), first.storage)
        outputs = []
        for index in range(2 if op == "Split" else 1):
            elements = inputs[0].shape[-1] if op in ("Relu", "AddV2") else draw(size)
            shape = inputs[0].shape if op in ("Relu", "AddV2") else (elements,)
            outputs.append(ProgramTensor(f"{number}:{index}", DType.FLOAT, shape, Storage(4 * elements)))
        program.steps.append(Step(f"step{number}", op, op, inputs, outputs, {}))
        held += outputs
    for tensor in draw(st.lists(st.sampled_from(held[1:]), min_size=1, max_size=3)):
        program.outputs[tensor.name] = tensor
    set_lifetimes(program)
    plan_arena(program)
    return program


def _simulate(program: Program) -> None:
    """Runs the program over bytes that carry their writer's name; every read must find what was written last."""
    memory: dict[int, str] = {}
    value_of: dict[str, str] = {}

    def place(tensor: ProgramTensor) -> range:
        assert tensor.storage is not None
        assert tensor.storage.offset % ALIGNMENT == 0
        assert tensor.storage.offset + tensor.storage.nbytes <= program.arena_bytes
        return range(tensor.storage.offset, tensor.storage.offset + tensor.storage.nbytes)

    def check(tensor: ProgramTensor) -> None:
        if tensor.storage is None or tensor.storage.external is not None:
            return
        wanted = value_of.get(tensor.name)
        found = {memory.get(at) for at in place(tensor)}
        assert len(found) == 1, f"{tensor.name} is torn: {found}"
        assert wanted is None or found == {wanted}, f"{tensor.name} was overwritten by {found}"

    for step in program.steps:
        for tensor in step.inputs:
            check(tensor)
        written: set[int] = set()
        outputs = [tensor for tensor in step.outputs if tensor.storage is not None]  # others nobody reads
        for tensor in outputs:
            assert not written & set(place(tensor)), "two outputs of a step overlap"
            written |= set(place(tensor))
            for other in step.inputs:
                inside = other.storage is not None and other.storage.external is None
                if inside and set(place(other)) & set(place(tensor)):
                    assert place(other) == place(tensor), "an output overlaps a part of an input"
        for tensor in outputs:
            value_of[tensor.name] = tensor.name
            memory.update(dict.fromkeys(place(tensor), tensor.name))
    for tensor in program.outputs.values():
        check(tensor)


@settings(max_examples=300, deadline=None)
@given(programs())
def test_nothing_is_overwritten_while_it_is_needed(program: Program) -> None:
    _simulate(program)


@settings(max_examples=150, deadline=None)
@given(programs())
def test_blocks_that_live_together_lie_apart(program: Program) -> None:
    blocks = storages_of(program)
    for i, a in enumerate(blocks):
        for b in blocks[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
    assert program.arena_bytes >= program.arena_lower_bound


def test_elementwise_steps_work_in_place() -> None:
    a, b, c = (ProgramTensor(n, DType.FLOAT, (8,), Storage(32)) for n in "abc")
    x = ProgramTensor("x", DType.FLOAT, (8,), Storage(32, external=0))
    program = Program("chain", {"x": x}, {"c": c})
    for source, target in ((x, a), (a, b), (b, c)):
        program.steps.append(Step(target.name, "Relu", "Relu_f32", [source], [target], {}))
    set_lifetimes(program)
    plan_arena(program)
    assert a.storage is b.storage is c.storage
    assert program.arena_bytes == ALIGNMENT


def test_memory_that_is_read_later_is_not_taken_over() -> None:
    a, b, c = (ProgramTensor(n, DType.FLOAT, (8,), Storage(32)) for n in "abc")
    x = ProgramTensor("x", DType.FLOAT, (8,), Storage(32, external=0))
    program = Program("diamond", {"x": x}, {"c": c, "a": a})
    program.steps += [
        Step("a", "Relu", "Relu_f32", [x], [a], {}),
        Step("b", "Relu", "Relu_f32", [a], [b], {}),
        Step("c", "AddV2", "AddV2_f32", [a, b], [c], {}),
    ]
    set_lifetimes(program)
    plan_arena(program)
    assert a.storage is not b.storage, "a is read by c, and is an output"
    assert c.storage is b.storage
    _simulate(program)


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_little_is_wasted(quantize: str | None) -> None:
    program = support.program(quantize)
    assert program.arena_bytes <= 1.05 * program.arena_lower_bound
    _simulate(program)
