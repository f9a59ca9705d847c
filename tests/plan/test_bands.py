"""Convolutions and pools in bands of rows, where tensors between them set the peak: less memory, the same answer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
import wherry
from wherry.pack.reader import read_pack
from wherry.plan import bands

SIDE = 64


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands serve networks as small as those here."""
    monkeypatch.setattr(bands, "_LEAST_SAVED", 0)
    monkeypatch.setattr(bands, "_MOST_WORK", 1.5)


def network(batch: int = 1, two_readers: bool = False) -> Any:
    """All that a band has to get right: paddings, strides, dilations, pools that leave a row out, depthwise filters."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(2)
    layers = keras.layers
    x = keras.Input((SIDE, SIDE, 16), batch_size=batch, name="x")
    y = layers.Conv2D(48, 3, padding="same", activation="relu")(x)
    y = z = layers.Conv2D(48, 3, padding="same", activation="swish")(y)
    y = layers.MaxPooling2D(2)(y)
    y = layers.Conv2D(64, 5, strides=2, padding="same", activation="relu")(y)
    y = layers.Conv2D(160, 3, dilation_rate=2, padding="same")(y)
    y = layers.DepthwiseConv2D(3, padding="valid", activation="relu")(y)
    y = layers.MaxPooling2D(3, 2)(y)
    y = layers.Conv2D(8, 1)(y)
    outputs = [y, layers.GlobalMaxPooling2D()(z)] if two_readers else [y]
    return keras.Model(x, outputs, name="early")


def given(batch: int = 1) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(3).standard_normal((batch, SIDE, SIDE, 16)).astype(np.float32)}


def compiled(path: Path, rounds: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> wherry.CompileReport:
    monkeypatch.setattr(bands, "_MOST_ROUNDS", rounds)
    return wherry.compile(network(), path, **options)


@pytest.mark.parametrize("quantize", [None, "float16", "int8-weights", "minmax:6"])
def test_bands_take_less_memory_and_give_the_same_answer(
    tmp_path: Path, quantize: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole.wherry", tmp_path / "cut.wherry"
    options = {"quantize": quantize, "measure_outputs": False}
    before = compiled(whole, 0, monkeypatch, **options)
    after = compiled(cut, 8, monkeypatch, **options)
    assert after.arena_bytes < 0.6 * before.arena_bytes
    assert after.order_lower_bound <= after.arena_lower_bound <= after.arena_bytes
    with wherry.Executor(whole, threads=1) as executor:
        (expected,) = executor.run(given()).values()
    wanted: dict[str, np.ndarray] | None = None
    for threads, budget in ((1, None), (2, None), (3, None), (1, after.memory_needed), (2, after.memory_needed)):
        with wherry.Executor(cut, threads=threads, memory_budget=budget) as executor:
            outputs = executor.run(given())
            wanted = wanted or outputs
            assert support.same_bits(outputs, wanted)
    assert wanted is not None
    (found,) = wanted.values()
    # a band may be computed by another of Winograd's algorithms than the whole
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


def test_every_row_is_written_once_and_the_input_is_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cut.wherry"
    compiled(path, 8, monkeypatch)
    pack = read_pack(path)
    assert sum(step.kernel == "Copy_x32" for step in pack.steps) == 1
    rows: dict[str, list[tuple[int, int]]] = {}
    for step in pack.steps:
        name, _, band = step.name.partition("[rows ")
        if band and step.kernel == "MaxPool_f32":
            begin, end = band.rstrip("]").split(":")
            rows.setdefault(name, []).append((int(begin), int(end)))
    assert rows
    for parts in rows.values():
        assert parts[0][0] == 0 and all(a[1] == b[0] for a, b in itertools.pairwise(parts))
    assert {parts[-1][1] for parts in rows.values()} <= {SIDE // 2, 6}


def test_a_checkpoint_between_two_bands_has_the_rows_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cut.wherry"
    steps = compiled(path, 8, monkeypatch).steps
    compiled(path, 8, monkeypatch, partitions=steps)
    support.resumes(path, given(), range(1, steps, 2), tmp_path)


def banded(path: Path) -> list[str]:
    return [step.kernel for step in read_pack(path).steps if "[rows " in step.name]


def test_what_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.wherry"
    wherry.compile(network(batch=2), path)
    assert not banded(path), "rows of a batch are not neighbours in memory"
    report = wherry.compile(network(two_readers=True), path)
    assert report.arena_bytes >= SIDE * SIDE * 48 * 4, "a tensor that others read is there as a whole"
    wherry.compile(network(), path, quantize="int8", measure_outputs=False)
    assert "Conv2D_f32_di8" not in banded(path), "an image is quantized in one range"


def test_a_scan_of_the_model_knows_what_its_pack_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cut.wherry"
    compiled(path, 8, monkeypatch)
    assert {use.key for use in wherry.scan(path).kernels} <= {use.key for use in wherry.scan(network()).kernels}


def test_what_lowers_no_peak_is_left_alone(tmp_path: Path) -> None:
    """Three branches that cannot be cut otherwise hold the peak."""
    import keras

    keras.backend.clear_session()
    layers = keras.layers
    x = keras.Input((SIDE, SIDE, 16), batch_size=1, name="x")
    early = layers.MaxPooling2D(2)(layers.Conv2D(48, 3, padding="same")(layers.Conv2D(48, 3, padding="same")(x)))
    wide = layers.Multiply()([layers.Conv2D(96, 1)(x), layers.Conv2D(96, 3, padding="same", activation="tanh")(x)])
    model = keras.Model(x, [early, layers.GlobalAveragePooling2D()(wide)])
    path = tmp_path / "model.wherry"
    wherry.compile(model, path)
    assert not banded(path)
