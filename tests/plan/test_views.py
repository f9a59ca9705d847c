"""Joins and cuts that copy nothing: the same bits as with copies, fewer steps, no more memory, no torn tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wherry
from fuzz_pack import PackBytes
from hypothesis import given, settings
from hypothesis import strategies as st
from wherry.errors import PackError, RuntimeFailure
from wherry.graph import ArrayValue, DType, Graph
from wherry.ops.catalog import catalog
from wherry.ops.rules import WeightUse
from wherry.pack.format import Place, SectionKind
from wherry.pack.liveness import largest_live_set
from wherry.pack.reader import read_pack
from wherry.plan import lower as lowering
from wherry.plan.arena import plan_arena
from wherry.plan.lifetimes import set_lifetimes
from wherry.plan.order import choose_order
from wherry.plan.program import Program, ProgramTensor, Step, Storage, Weight
from wherry.plan.views import join_views

CUTS = ("Split", "Slice", "Unpack", "StridedSlice")


# ------------------------------------------------------------------------------------------------ random programs
@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Programs that join and cut tensors [1 or 2, rows, columns] along any axis, with other steps between."""
    batch, rows, columns = draw(st.sampled_from([(1, 3, 4), (2, 2, 3), (1, 1, 5)]))
    x = ProgramTensor("x", DType.FLOAT, (batch, rows, columns), Storage(4 * batch * rows * columns, external=0))
    held = [x]
    program = Program("random", {"x": x}, {})

    def constant(number: int, values: Any) -> ProgramTensor:
        value = ArrayValue(np.asarray(values, np.int32))
        weight = Weight(value, WeightUse.PLAIN, True, value.numpy().nbytes)
        return ProgramTensor(f"c{number}", DType.INT32, value.numpy().shape, weight=weight)

    for number in range(draw(st.integers(2, 12))):
        op = draw(st.sampled_from(["Relu", "Tanh", "AddV2", "Conv2D", "Split", "Slice", *["ConcatV2"] * 3]))
        first = draw(st.sampled_from(held))
        inputs, shapes = [first], [first.shape]
        axis = draw(st.integers(0, 2))
        if op == "AddV2":
            inputs.append(draw(st.sampled_from([t for t in held if t.shape == first.shape])))
        elif op == "ConcatV2":
            others = [d for d in range(3) if d != axis]
            alike = [t for t in held if all(t.shape[d] == first.shape[d] for d in others)]
            inputs += draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2))
            total = sum(t.shape[axis] for t in inputs)
            shapes = [(*first.shape[:axis], total, *first.shape[axis + 1 :])]
            inputs.append(constant(number, axis))
        elif op == "Split" and first.shape[axis] % 2 == 0:
            shapes = [(*first.shape[:axis], first.shape[axis] // 2, *first.shape[axis + 1 :])] * 2
            inputs.insert(0, constant(number, axis))
        elif op == "Slice":
            begin = [draw(st.integers(0, dim - 1)) for dim in first.shape]
            shapes = [tuple(draw(st.integers(1, dim - b)) for b, dim in zip(begin, first.shape, strict=True))]
            inputs += [constant(2 * number, begin), constant(2 * number + 1, shapes[0])]
        elif op == "Split":
            op = "Relu"
        outputs = [
            ProgramTensor(f"{number}:{i}", DType.FLOAT, s, Storage(4 * math.prod(s))) for i, s in enumerate(shapes)
        ]
        program.steps.append(Step(f"step{number}", op, op, inputs, outputs, {}))
        held += outputs
    for tensor in draw(st.lists(st.sampled_from(held[1:]), min_size=1, max_size=3)):
        program.outputs[tensor.name] = tensor
    return program


def _elements(program: Program) -> dict[str, list[str]]:
    """What each element of each output of the program is, as a formula; by the steps alone, without addresses."""
    values: dict[int, np.ndarray] = {}

    def value(tensor: ProgramTensor) -> np.ndarray:
        if id(tensor) not in values:
            values[id(tensor)] = np.array([f"{tensor.name}{i}" for i in range(math.prod(tensor.shape))], object)
        return values[id(tensor)].reshape(tensor.shape)

    for step in program.steps:
        for tensor, result in zip(step.outputs, _computed(step, [value(t) for t in step.inputs]), strict=True):
            values[id(tensor)] = result
    return {name: value(tensor).reshape(-1).tolist() for name, tensor in program.outputs.items()}


def _computed(step: Step, inputs: list[np.ndarray]) -> list[np.ndarray]:
    def constant(i: int) -> np.ndarray:
        weight = step.inputs[i].weight
        assert weight is not None
        return weight.value.numpy()

    if step.op == "ConcatV2":
        return [np.concatenate(inputs[:-1], axis=int(constant(-1)))]
    if step.op == "Split":
        return np.split(inputs[1], len(step.outputs), axis=int(constant(0)))
    if step.op == "Slice":
        begin, size = constant(1).tolist(), constant(2).tolist()
        return [inputs[0][tuple(slice(b, b + n) for b, n in zip(begin, size, strict=True))]]
    if step.op == "Copy":
        return [inputs[0]]
    args = [[str(hash((step.op, *pair))) for pair in zip(*(i.reshape(-1) for i in inputs), strict=True)]]
    return [np.array(args[0], object).reshape(step.outputs[0].shape)]


def _run_in_memory(program: Program) -> dict[str, list[str]]:
    """The same by addresses: every read takes what is in the arena then."""
    memory: dict[int, str] = {}

    def places(tensor: ProgramTensor) -> list[int]:
        storage = tensor.storage
        assert storage is not None
        if storage.external is not None:
            assert tensor.offset == 0 and tensor.base is None
            return [-1 - 4 * i for i in range(math.prod(tensor.shape))]
        pitch = tensor.base.shape[-1] if tensor.base is not None else tensor.shape[-1]
        start, columns = storage.offset + tensor.offset, tensor.shape[-1]
        found = [start + 4 * (r * pitch + c) for r in range(math.prod(tensor.shape[:-1])) for c in range(columns)]
        assert all(storage.offset <= at < storage.offset + storage.nbytes for at in found)
        assert storage.offset + storage.nbytes <= program.arena_bytes
        return found

    for name, tensor in program.inputs.items():
        memory.update((at, f"{name}{i}") for i, at in enumerate(places(tensor)))
    for step in program.steps:
        taken = [places(t) if t.weight is None else [] for t in step.inputs]
        inputs = [
            np.array([memory[at] for at in held], object).reshape(t.shape) if t.weight is None else np.zeros(t.shape)
            for t, held in zip(step.inputs, taken, strict=True)
        ]
        for tensor, result in zip(step.outputs, _computed(step, inputs), strict=True):
            written = places(tensor)
            assert all(written == held or not set(written) & set(held) for held in taken), "torn"
            memory.update(zip(written, result.reshape(-1).tolist(), strict=True))
    return {name: [memory[at] for at in places(tensor)] for name, tensor in program.outputs.items()}


@settings(max_examples=400, deadline=None)
@given(programs())
def test_random_programs_compute_the_same(program: Program) -> None:
    wanted = _elements(program)
    join_views(program, catalog())
    choose_order(program)
    set_lifetimes(program)
    plan_arena(program)
    assert _run_in_memory(program) == wanted
    assert all(t.base is None for t in program.outputs.values()), "the caller gets rows without gaps"
    assert program.arena_bytes >= program.arena_lower_bound


# ------------------------------------------------------------------------------------------------------ networks
def _filter(rng: np.random.Generator, size: int, channels: int, outputs: int) -> np.ndarray:
    return rng.normal(size=(size, size, channels, outputs)).astype(np.float32) / np.float32(size * channels**0.5)


def _dense_block(x: Any) -> dict[str, Any]:
    """Every kernel that writes or reads columns; prefixes of results, and parts that must be copied."""
    rng = np.random.default_rng(3)
    scale = rng.normal(size=48).astype(np.float32)

    def conv(y: Any, size: int, outputs: int) -> Any:
        made = tf.nn.conv2d(y, _filter(rng, size, y.shape[-1], outputs), 1, "SAME")
        return tf.nn.relu(tf.nn.bias_add(made, rng.normal(size=outputs).astype(np.float32)))

    y = conv(tf.tile(x, [1, 1, 1, 64]), 1, 8)  # the worst moment is here, so no view needs more memory
    a = conv(y, 3, 24)
    held = tf.concat([tf.nn.max_pool2d(a, 3, 1, "SAME"), conv(a, 1, 24)], -1)
    held = tf.concat([held, conv(held * scale, 3, 16)], -1)
    held = tf.concat([held, conv(tf.nn.relu(held), 3, 16), tf.nn.avg_pool2d(a, 2, 1, "SAME"), x], -1)
    left = held[..., :32]
    both = tf.concat([tf.nn.relu(left) + 0.5, tf.nn.max_pool2d(left, 2, 1, "SAME") - left], -1)
    return {"held": conv(held, 1, 8), "both": both, "left": conv(left, 3, 8), "copy": tf.concat([both, left], -1)}


def _outermost(x: Any) -> dict[str, Any]:
    """Along the outermost axis: joins, cuts, stacks, of odd sizes that no vector is aligned to."""
    rows = tf.unstack(tf.tanh(x)[0], axis=0)
    joined = tf.concat([tf.nn.relu(rows[0][:3]), tf.tanh(rows[1]), rows[2] * 2.0], 0)
    a, b, c = tf.split(tf.exp(joined), [5, 7, joined.shape[0] - 12], 0)
    stacked = tf.stack([a[:5], b[1:6] * c[:5]], 0)
    return {"joined": joined, "stacked": stacked, "b": tf.sigmoid(b), "one": tf.concat([c, x[0, 0]], 0)}


def _named(value: Any) -> str:
    """The same in every process that collects the tests."""
    return str(getattr(value, "__name__", value))


CASES = [(_dense_block, (1, 9, 9, 8)), (_outermost, (1, 4, 13, 3))]


def _graph(function: Callable[..., Any], *shape: int) -> Graph:
    from wherry.compiler import optimised

    return optimised(tf.function(function).get_concrete_function(tf.TensorSpec(shape, tf.float32, "x")))


def _pack(graph: Graph, path: Path, views: bool, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Path:
    with monkeypatch.context() as patch:
        if not views:
            patch.setattr(lowering, "join_views", lambda *_: None)
        wherry.compile(graph, path, measure_outputs=False, **options)
    return path


@pytest.mark.parametrize("quantize", [None, "int8", "int8-weights", "float16-arithmetic", "minmax:6"])
@pytest.mark.parametrize(("function", "shape"), [*CASES, (_dense_block, (2, 6, 5, 8))], ids=_named)
def test_the_same_bits_as_with_copies(
    function: Callable[..., Any], shape: tuple[int, ...], quantize: str | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    packs = [
        _pack(_graph(function, *shape), tmp_path / f"{views}.wherry", views, monkeypatch, quantize=quantize)
        for views in (False, True)
    ]
    copies, views = map(read_pack, packs)
    assert len(views.steps) <= len(copies.steps) - 4
    assert views.arena_bytes <= copies.arena_bytes
    if function is _dense_block:  # in 1 kB what tensors are padded to counts
        assert views.arena_bytes <= 1.05 * largest_live_set(views)
    wanted = None
    for pack, threads in itertools.product(packs, (1, 3)):
        with wherry.Executor(pack, threads=threads) as executor:
            for _ in range(2):
                found = {name: array.tobytes() for name, array in executor.run({"x": x}).items()}
                wanted = wanted or found
                assert found == wanted
    if quantize is None:
        for name, array in function(tf.constant(x)).items():
            np.testing.assert_allclose(np.frombuffer(wanted[name], np.float32), array.numpy().reshape(-1), 1e-4, 1e-5)


@pytest.mark.parametrize(("function", "shape"), CASES, ids=_named)
def test_checkpoints_hold_parts_that_cross(
    function: Callable[..., Any], shape: tuple[int, ...], tmp_path: Path
) -> None:
    graph, pack, file = _graph(function, *shape), tmp_path / "m.wherry", tmp_path / "run.checkpoint"
    count = len(lowering.lower(graph).steps)
    wherry.compile(graph, pack, partitions=count)
    x = {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}
    with wherry.Executor(pack) as executor:
        wanted = executor.run(x)
    for after in range(1, count):
        file.unlink(missing_ok=True)
        with wherry.Executor(pack, checkpoint=file) as executor:
            executor.on_progress(lambda done, _, after=after: done == after)
            with pytest.raises(RuntimeFailure):
                executor.run(x)
        with wherry.Executor(pack, checkpoint=file) as executor:
            found = executor.run(x)
            assert executor.stats.first_partition == after
        assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)


def test_parts_in_one_piece_vanish_from_the_steps() -> None:
    ops = [step.op for step in lowering.lower(_graph(_outermost, 1, 4, 13, 3)).steps]
    assert not set(ops) & {"ConcatV2", "Pack", *CUTS} - {"StridedSlice", "Slice"}, ops
    assert ops.count("Copy") <= 1, "only what the caller gave is copied"


def test_copies_stay_where_views_need_more_memory() -> None:
    """A part that is made early would keep all of the large result in memory while a larger tensor lives."""

    def function(x: Any) -> dict[str, Any]:
        early = tf.tanh(x[:, :1, :1])
        wide = tf.nn.relu(tf.tile(tf.exp(x), [1, 4, 4, 1]))
        rest = tf.exp(tf.reduce_mean(tf.tile(wide * 2.0, [1, 1, 1, 2]), [1, 2, 3]) + early)
        return {"y": tf.tanh(tf.concat([early] + [rest * float(i) for i in range(64)], 0))}

    graph = _graph(function, 1, 8, 8, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering, "join_views", lambda *_: None)
        without = lowering.lower(graph)
    with_views = lowering.lower(graph)
    plan_arena(without)
    plan_arena(with_views)
    assert with_views.arena_bytes <= without.arena_bytes


# -------------------------------------------------------------------------------------------------- hostile packs
def _changed(pack: Path, change: Callable[[np.ndarray, int], None]) -> bytes:
    """A pack whose first tensor that is columns of another was changed."""
    parts = PackBytes(pack.read_bytes())
    tensors = parts.tables[SectionKind.TENSORS]
    number = next(i for i, t in enumerate(tensors) if t["place"] == Place.ARENA and t["owner"])
    change(tensors, number)
    return parts.bytes()


def _set(field: str, value: int) -> Callable[[np.ndarray, int], None]:
    def change(tensors: np.ndarray, number: int) -> None:
        tensors[number][field] = value

    return change


def _of_itself(tensors: np.ndarray, number: int) -> None:
    tensors[number]["owner"] = number + 1


def _of_a_part(tensors: np.ndarray, number: int) -> None:
    tensors[int(tensors[number]["owner"]) - 1]["owner"] = number + 1


def _of_a_constant(tensors: np.ndarray, number: int) -> None:
    tensors[number]["owner"] = 1 + next(i for i, t in enumerate(tensors) if t["place"] == Place.SEGMENT)


def _before_its_tensor(tensors: np.ndarray, number: int) -> None:
    tensors[int(tensors[number]["owner"]) - 1]["offset"] += 64


def _over_the_edge(tensors: np.ndarray, number: int) -> None:
    """Its last columns would be the next row's first."""
    tensors[number]["offset"] = tensors[int(tensors[number]["owner"]) - 1]["offset"] + 4 * (120 - 8)


@pytest.mark.parametrize(
    "change",
    [_set("owner", 0), _set("owner", 0xFFFFFFFF), _set("bytes", 4), _set("offset", 1 << 30), _of_itself, _of_a_part,
     _of_a_constant, _before_its_tensor, _over_the_edge],
)  # fmt: skip
def test_parts_outside_of_their_tensor_are_refused(change: Any, tmp_path: Path) -> None:
    wherry.compile(_graph(_dense_block, 1, 9, 9, 8), tmp_path / "m.wherry")
    with pytest.raises(PackError, match="the pack is damaged"):
        wherry.Executor(_changed(tmp_path / "m.wherry", change))


def test_kernels_that_want_rows_without_gaps_get_no_others(tmp_path: Path) -> None:
    """Names of kernels are changed so that a step with columns has one that cannot take them."""
    wherry.compile(_graph(_dense_block, 1, 9, 9, 8), tmp_path / "m.wherry")
    parts = PackBytes((tmp_path / "m.wherry").read_bytes())
    strings = parts.tables[SectionKind.STRINGS].tobytes()
    at = strings.index(b"Relu_f32")
    parts.tables[SectionKind.STRINGS][at : at + 8] = np.frombuffer(b"Tanh_f32", np.uint8).view(
        parts.tables[SectionKind.STRINGS].dtype
    )
    with pytest.raises(PackError, match="part of another tensor's rows"):
        wherry.Executor(parts.bytes())
