"""Layers that are cut into steps of some output columns each: less memory, and no other bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
import wherry
from wherry.errors import BudgetError
from wherry.graph import DType, TensorType, Value
from wherry.pack.reader import read_pack
from wherry.plan import slices
from wherry.plan.slices import FIRST_COLUMN, columns_of

IMAGE = (1, 12, 12, 64)
SCHEMES = [
    "none", "float16", "float16-arithmetic", "int8", "int8-weights", "minmax:5:channel", "minmax:4", "int8-static",
]  # fmt: skip


def network() -> Any:
    """Winograd's and direct convolutions, with all that a product can do to its results; columns of no multiple."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = keras.Input(IMAGE[1:], batch_size=1, name="x")
    y = layers.Conv2D(200, 3, padding="same", activation="relu")(image)
    z = layers.Conv2D(200, 1, activation="tanh")(y)
    y = layers.ReLU()(layers.Add()([y, layers.Conv2D(200, 3, padding="same")(z)]))
    y = layers.Add()([y, layers.Conv2D(200, 3, padding="same", use_bias=False)(layers.MaxPooling2D(1)(y))])
    y = layers.Conv2D(140, 3, strides=2, activation="swish")(y)
    y = layers.Conv2D(144, 3, groups=2, padding="same")(layers.Conv2D(144, 1)(y))
    y = layers.Dense(300, activation="relu")(layers.Flatten()(y))
    return keras.Model(image, layers.Dense(150)(layers.Concatenate(axis=0)([y, -y])), name="cut")


def given() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).standard_normal(IMAGE).astype(np.float32)}


def compiled(path: Path, scheme: str, part_bytes: int, monkeypatch: pytest.MonkeyPatch) -> wherry.CompileReport:
    monkeypatch.setattr(slices, "PART_BYTES", part_bytes)
    samples = {"x": np.random.default_rng(5).standard_normal((8, *IMAGE[1:])).astype(np.float32)}
    options = {"calibrate": samples} if scheme == "int8-static" else {}
    quantize = None if scheme == "none" else scheme
    return wherry.compile(network(), path, quantize=quantize, measure_outputs=False, partitions=4, **options)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_cutting_takes_memory_and_leaves_every_bit(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole.wherry", tmp_path / "cut.wherry"
    before = compiled(whole, scheme, 1 << 40, monkeypatch)
    after = compiled(cut, scheme, 20_000, monkeypatch)
    assert before.steps + 10 < after.steps
    assert after.arena_bytes == before.arena_bytes
    assert after.memory_needed < before.memory_needed
    assert read_pack(cut).largest_step_bytes < 0.6 * read_pack(whole).largest_step_bytes
    with wherry.Executor(whole, threads=1) as executor:
        wanted = executor.run(given())
    for threads, budget in ((1, None), (2, None), (3, None), (1, after.memory_needed), (2, after.memory_needed)):
        with wherry.Executor(cut, threads=threads, memory_budget=budget) as executor:
            for _ in range(2):
                assert support.same_bits(executor.run(given()), wanted), f"{threads} threads, {budget}"


def test_every_column_is_computed_once_and_grouped_filters_stay_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cut.wherry"
    compiled(path, "none", 20_000, monkeypatch)
    pack = read_pack(path)
    layers: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for step in pack.steps:
        if FIRST_COLUMN in step.attributes:
            first = int(step.attributes[FIRST_COLUMN])
            layers.setdefault(tuple(step.outputs), []).append((first, pack.tensors[step.inputs[1]].shape[-1]))
    ends = []
    for parts in layers.values():
        assert [first for first, _ in parts] == [0, *np.cumsum([count for _, count in parts])[:-1]]
        ends.append(sum(count for _, count in parts))
    assert sorted(ends) == [140, 144, 150, 200, 200, 200, 200, 300], "all but the grouped one"
    assert pack.largest_step_bytes < pack.weight_bytes / 4
    compiled(path, "none", 1 << 40, monkeypatch)
    whole = wherry.scan(path)
    compiled(path, "none", 20_000, monkeypatch)
    assert sum(use.macs for use in wherry.scan(path).kernels) == sum(use.macs for use in whole.kernels)


def test_a_checkpoint_between_the_parts_of_a_layer_has_the_columns_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "PART_BYTES", 20_000)
    path = tmp_path / "cut.wherry"
    report = wherry.compile(network(), path)
    wherry.compile(network(), path, partitions=report.steps)
    support.resumes(path, given(), range(1, report.steps, 3), tmp_path)


def test_a_recurrent_layer_stays_whole_and_a_budget_below_it_names_it(tmp_path: Path) -> None:
    import keras

    keras.backend.clear_session()
    x = keras.Input((3, 300), batch_size=1, name="x")
    model = keras.Model(x, keras.layers.LSTM(1200, name="wide")(x))
    with pytest.raises(BudgetError, match=r"the weights of '.*wide.*', which are read together, [0-9]+, .* will do"):
        wherry.compile(model, tmp_path / "lstm.wherry", memory_budget="8MB")


class Counted(Value):
    """A value in a file."""

    def __init__(self, array: np.ndarray) -> None:
        self.type = TensorType(DType.FLOAT, array.shape)
        self.array, self.reads = array, 0

    def numpy(self) -> np.ndarray:
        self.reads += 1
        return self.array


def test_a_weight_in_a_file_is_read_once_for_all_its_parts() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    value = Counted(array)
    held = slices._HeldValue(value, 3)
    parts = [columns_of(held, -1, begin, begin + 2) for begin in (0, 2, 4)]
    for _ in range(2):
        assert np.array_equal(np.concatenate([part.numpy() for part in parts], axis=1), array)
    assert value.reads == 2, "once for each pack"
