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
        all_but_weights = executor.stats.peak_bytes
        assert pack.arena_bytes < all_but_weights < least < all_but_weights + 0.6 * pack.largest_step_bytes
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
