"""Weights that a budget has no window for lie in the arena, where tensors leave room while their step runs."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import support
import wherry
from wherry.errors import BudgetError, PackError
from wherry.pack.reader import read_pack

from benchmarks.memory.lower_bound import lower_bound

WIDE = 256  # pixels of the first image's side


@pytest.fixture(scope="module")
def narrowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with large images and small weights in the beginning, and the other way round at its end."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(4)
    layers = keras.layers
    y = image = keras.Input((WIDE, WIDE, 3), batch_size=1, name="x")
    for channels in (32, 64, 128, 256, 256):
        y = layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu")(y)
    y = layers.Conv2D(256, 3, padding="same")(y)
    y = layers.Dense(64)(layers.Flatten()(y))
    path = tmp_path_factory.mktemp("narrowing") / "narrowing.wherry"
    wherry.compile(keras.Model(image, y, name="narrowing"), path, quantize="int8", partitions=4, measure_outputs=False)
    return path


def given() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((1, WIDE, WIDE, 3)).astype(np.float32)}


@pytest.fixture(scope="module")
def wanted(narrowing: Path) -> dict[str, np.ndarray]:
    with wherry.Executor(narrowing, threads=1) as executor:
        return executor.run(given())


@pytest.mark.parametrize("page_cache", ["use", "leave"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_budget_need_not_hold_tensors_and_weights_that_are_never_needed_together(
    narrowing: Path, wanted: dict[str, np.ndarray], threads: int, page_cache: str
) -> None:
    pack = read_pack(narrowing)
    with wherry.Executor(narrowing, threads=threads, page_cache=page_cache) as executor:
        least = executor.stats.memory_needed
        assert pack.arena_bytes < least < executor.stats.peak_bytes  # which is without any weights
        assert least < 1.25 * lower_bound(pack)
        for budget in (least, least + 5000, least + 100_000, least + pack.largest_step_bytes, None, least):
            executor.set_memory_budget(budget)
            for _ in range(2):
                assert support.same_bits(executor.run(given()), wanted)
                executor.trim_memory()
        with pytest.raises(BudgetError, match=f"this pack needs {least} "):
            executor.set_memory_budget(least - 1)
    with wherry.Executor(narrowing, threads=threads, memory_budget=least, page_cache=page_cache) as executor:
        assert support.same_bits(executor.run(given()), wanted)
        assert executor.stats.peak_bytes <= least


def test_what_was_held_at_most_is_of_one_plan(narrowing: Path) -> None:
    """Small budgets have less scratch memory and more weights that come and go: the largest of either is no sum."""
    with wherry.Executor(narrowing) as executor:
        executor.run(given())
        least, whole = executor.stats.memory_needed, executor.stats.peak_bytes
        executor.set_memory_budget(least)
        executor.run(given())
        assert executor.stats.peak_bytes <= least < whole
    with wherry.Executor(narrowing, memory_budget=least) as executor:
        executor.run(given())
        assert executor.stats.peak_bytes <= least
        executor.set_memory_budget(wherry.NO_LIMIT)
        executor.run(given())
        assert executor.stats.peak_bytes == whole


@pytest.fixture(scope="module", params=["float32", "int8"])
def sequences(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recurrent layers whose gates take more than all else, and a convolution of two images."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(6)
    layers = keras.layers
    a, b = keras.Input((90, 24), batch_size=1, name="a"), keras.Input((20, 30, 8), batch_size=2, name="b")
    y = layers.LSTM(32, return_sequences=True)(a)
    y = layers.GRU(32, return_sequences=True)(layers.LSTM(32, return_sequences=True)(y))
    z = layers.Conv2D(16, (3, 5), strides=(2, 1), padding="same", activation="relu")(b)
    z = layers.Conv2D(24, 1, strides=2)(layers.Conv2D(16, 3)(z))
    path = tmp_path_factory.mktemp("sequences") / "sequences.wherry"
    format = None if request.param == "float32" else request.param
    wherry.compile(keras.Model([a, b], [y, z], name="sequences"), path, quantize=format, measure_outputs=False)
    return path


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_kernels_get_by_with_the_scratch_memory_that_a_budget_leaves(sequences: Path, threads: int) -> None:
    generator = np.random.default_rng(2)
    with wherry.Executor(sequences, threads=threads) as executor:
        given = {name: generator.standard_normal(of.shape).astype(np.float32) for name, of in executor.inputs.items()}
        wanted = executor.run(given)
        least, whole = executor.stats.memory_needed, executor.stats.peak_bytes
        assert least < 0.85 * whole
        for budget in (*range(least, whole, (whole - least) // 9), None, least):
            executor.set_memory_budget(budget)
            assert support.same_bits(executor.run(given), wanted)
    for budget in range(least, whole, (whole - least) // 5):
        with wherry.Executor(sequences, threads=threads, memory_budget=budget) as executor:
            assert support.same_bits(executor.run(given), wanted)
            assert executor.stats.peak_bytes <= budget


def test_trimming_meanwhile_changes_no_bit(narrowing: Path, wanted: dict[str, np.ndarray]) -> None:
    stop = threading.Event()
    with wherry.Executor(narrowing, threads=2) as executor:
        executor.set_memory_budget(executor.stats.memory_needed)

        def trim() -> None:
            while not stop.is_set():
                executor.trim_memory()

        thread = threading.Thread(target=trim)
        thread.start()
        try:
            for _ in range(30):
                assert support.same_bits(executor.run(given()), wanted)
        finally:
            stop.set()
            thread.join()


def test_a_run_goes_on_from_a_checkpoint(narrowing: Path, wanted: dict[str, np.ndarray], tmp_path: Path) -> None:
    with wherry.Executor(narrowing, threads=2) as executor:
        least = executor.stats.memory_needed
    kept = tmp_path / "run.checkpoint"
    for stop in (1, 2, 3):
        kept.unlink(missing_ok=True)
        with wherry.Executor(narrowing, threads=2, memory_budget=least, checkpoint=kept) as executor:
            executor.on_progress(lambda done, _, stop=stop: done == stop)
            with pytest.raises(wherry.RuntimeFailure):
                executor.run(given())
        with wherry.Executor(narrowing, threads=2, memory_budget=least, checkpoint=kept) as executor:
            assert support.same_bits(executor.run(given()), wanted)
            assert executor.stats.first_partition == stop


def test_damage_is_found_there_too(narrowing: Path, tmp_path: Path) -> None:
    pack = read_pack(narrowing)
    victim = max(pack.segments, key=lambda segment: segment.nbytes)
    data = bytearray(narrowing.read_bytes())
    data[victim.offset + victim.nbytes // 2] ^= 16
    path = tmp_path / "damaged.wherry"
    path.write_bytes(data)
    with wherry.Executor(path, threads=2) as executor:
        executor.set_memory_budget(executor.stats.memory_needed)
        for _ in range(2):
            with pytest.raises(PackError, match=r"damaged\.wherry: the pack is damaged: segment \d+ does not match"):
                executor.run(given())
