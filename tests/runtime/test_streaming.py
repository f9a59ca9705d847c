"""Weights that do not fit into the budget: read ahead of the computation, mapped or past the page cache."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import streamed
import support
import wherry
from streamed import LAYERS, UNITS
from wherry import _native
from wherry.devices.profile import Device
from wherry.errors import BudgetError, PackError, UsageError
from wherry.pack.reader import read_pack


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deep") / "deep.wherry"
    wherry.compile(streamed.deep(), path, partitions=3)
    return path


def given() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((1, UNITS)).astype(np.float32)}


def forget(path: Path) -> None:
    """Takes a file out of the system's page cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_a_step_has_its_segment_and_a_shared_weight_one_of_its_own(deep: Path) -> None:
    pack = read_pack(deep)
    users: dict[int, set[int]] = {}
    for number, step in enumerate(pack.steps):
        for tensor in step.inputs:
            if tensor is not None and pack.tensors[tensor].place.name == "SEGMENT":
                users.setdefault(pack.tensors[tensor].owner, set()).add(number)
    weights = {segment: steps for segment, steps in users.items() if not pack.segments[segment].resident}
    assert sorted(len(steps) for steps in weights.values()) == [1] * (LAYERS - 3) + [3, LAYERS]  # all biases are zeros
    firsts = [min(weights[segment]) for segment in sorted(weights)]
    assert firsts == sorted(firsts), "segments lie in the order in which steps first need them"


@pytest.mark.parametrize("page_cache", ["auto", "use", "leave"])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_budget_gives_the_same_bits_and_is_kept(deep: Path, threads: int, page_cache: str) -> None:
    with wherry.Executor(deep, threads=threads) as executor:
        wanted = executor.run(given())
        least, whole = executor.stats.memory_needed, executor.stats.peak_bytes
    assert least < 2_000_000 < 20_000_000 < whole
    for budget in (least, least + 1, 2 * least, 3 * least + 7, 8_000_000, 20_000_000, 22_000_000, whole - 4096):
        if page_cache == "leave":
            forget(deep)
        with wherry.Executor(deep, threads=threads, memory_budget=budget, page_cache=page_cache) as executor:
            for _ in range(3):
                assert support.same_bits(executor.run(given()), wanted)
            stats = executor.stats
            assert stats.peak_bytes <= budget
            assert stats.peak_bytes > budget / 3, "the budget is there to be used"


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_a_file_of_which_the_cache_has_a_part(deep: Path, tmp_path: Path, share: float) -> None:
    with wherry.Executor(deep, threads=2) as executor:
        wanted = executor.run(given())
        least = executor.stats.memory_needed
    path = tmp_path / "part.wherry"
    path.write_bytes(deep.read_bytes())
    for kept in (3, 5):
        forget(path)
        with path.open("rb") as file:  # every third or fifth piece of 600 kB
            for at in range(0, path.stat().st_size, kept * 600_000):
                file.seek(at)
                file.read(600_000)
        budget = int(least * (1 + share))
        with wherry.Executor(path, threads=2, memory_budget=budget, page_cache="leave") as executor:
            for _ in range(3):
                assert support.same_bits(executor.run(given()), wanted)
            assert executor.stats.peak_bytes <= budget


@pytest.mark.parametrize("page_cache", ["auto", "leave"])
@pytest.mark.parametrize("budget", [12_000_000, 20_000_000])
def test_weights_leave_the_page_cache_and_come_back(deep: Path, tmp_path: Path, page_cache: str, budget: int) -> None:
    path = tmp_path / "moving.wherry"
    path.write_bytes(deep.read_bytes())
    with wherry.Executor(path, threads=2) as executor:
        wanted = executor.run(given())
    with wherry.Executor(path, threads=2, memory_budget=budget, page_cache=page_cache) as executor:
        for turn in range(4):
            for _ in range(3):
                assert support.same_bits(executor.run(given()), wanted)
            assert executor.stats.peak_bytes <= budget
            if turn == 1:
                executor.trim_memory()
            if turn < 3:
                forget(path)
            if turn == 2:
                path.read_bytes()


def test_reading_past_the_cache_leaves_it_alone(deep: Path, tmp_path: Path) -> None:
    path = tmp_path / "fresh.wherry"
    path.write_bytes(deep.read_bytes())
    forget(path)
    before = cached_bytes(path)
    with wherry.Executor(path, memory_budget="4MB", page_cache="leave") as executor:
        for _ in range(3):
            executor.run(given())
    assert cached_bytes(path) - before < 6_000_000, "24 MB were read three times"


def cached_bytes(path: Path) -> int:
    """What of a file is in the page cache, by mincore."""
    import ctypes
    import mmap

    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        flags = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        buffer = np.frombuffer(mapped, np.uint8)
        assert libc.mincore(ctypes.c_void_p(buffer.ctypes.data), ctypes.c_size_t(len(mapped)), flags) == 0
        del buffer
        return sum(flag & 1 for flag in flags) * mmap.PAGESIZE


def test_a_budget_changes_between_runs(deep: Path) -> None:
    with wherry.Executor(deep, threads=2) as executor:
        wanted = executor.run(given())
        for budget in ("20MB", "3MB", None, "6MB", "2.5MB"):
            executor.set_memory_budget(budget)
            assert support.same_bits(executor.run(given()), wanted)
        with pytest.raises(BudgetError, match=r"deep\.wherry: a memory budget of 1000 bytes is too small"):
            executor.set_memory_budget(1000)
        assert support.same_bits(executor.run(given()), wanted)


def test_memory_is_given_back_between_runs_and_during_one(deep: Path) -> None:
    for budget in (None, "6MB"):
        with wherry.Executor(deep, threads=2, memory_budget=budget) as executor:
            wanted = executor.run(given())
            executor.trim_memory()
            assert support.same_bits(executor.run(given()), wanted)
            done: list[int] = []

            def trim(partitions: int, _: int, executor: wherry.Executor = executor, done: list[int] = done) -> None:
                done.append(partitions)
                thread = threading.Thread(target=executor.trim_memory)
                thread.start()
                thread.join()

            executor.on_progress(trim)
            for _ in range(3):
                assert support.same_bits(executor.run(given()), wanted)
            assert done == [1, 2, 3] * 3
            executor.on_progress(None)
            assert support.same_bits(executor.run(given()), wanted)


@pytest.mark.parametrize("pause", [0, 0.0005])
@pytest.mark.parametrize("budget", ["5MB", None])
def test_trimming_all_the_time_changes_no_bit(deep: Path, budget: str | None, pause: float) -> None:
    stop = threading.Event()
    with wherry.Executor(deep, threads=2, memory_budget=budget) as executor:
        wanted = executor.run(given())

        def trim() -> None:
            while not stop.is_set():
                executor.trim_memory()
                time.sleep(pause)

        thread = threading.Thread(target=trim)
        thread.start()
        try:
            for turn in range(30):
                if turn % 10 == 9:
                    executor.set_memory_budget(budget)
                assert support.same_bits(executor.run(given()), wanted)
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("page_cache", ["use", "leave"])
def test_damaged_weights_are_found_while_they_are_streamed(deep: Path, tmp_path: Path, page_cache: str) -> None:
    pack = read_pack(deep)
    data = bytearray(deep.read_bytes())
    victim = pack.segments[len(pack.segments) * 2 // 3]
    data[victim.offset + victim.nbytes // 2] ^= 16
    path = tmp_path / "damaged.wherry"
    path.write_bytes(data)
    forget(path)
    with wherry.Executor(path, threads=2, memory_budget="4MB", page_cache=page_cache) as executor:
        for _ in range(2):
            with pytest.raises(PackError, match=r"damaged\.wherry: the pack is damaged: segment \d+ does not match"):
                executor.run(given())


def test_a_run_that_was_cancelled_is_followed_by_whole_ones(deep: Path) -> None:
    with wherry.Executor(deep, threads=2, memory_budget="4MB") as executor:
        wanted = executor.run(given())
        for stop_after in (1, 2):
            executor.on_progress(lambda done, _, last=stop_after: done == last)
            with pytest.raises(wherry.RuntimeFailure):
                executor.run(given())
            executor.on_progress(None)
            assert support.same_bits(executor.run(given()), wanted)


def test_a_pack_in_memory_needs_no_budget_for_weights(deep: Path) -> None:
    with wherry.Executor(deep) as executor:
        wanted = executor.run(given())
    with wherry.Executor(deep.read_bytes(), memory_budget="1MB") as executor:
        assert support.same_bits(executor.run(given()), wanted)
        assert executor.stats.peak_bytes < 1_000_000


def test_a_page_cache_that_there_is_not(deep: Path) -> None:
    with pytest.raises(UsageError, match="page_cache must be one of auto, use, leave, not 'never'"):
        wherry.Executor(deep, page_cache="never")


def test_what_a_budget_may_be() -> None:
    memory = wherry.memory()
    assert 0 < memory.available <= memory.physical
    assert memory.safe_budget == min(memory.physical // 2, memory.available)


def test_the_first_plan_is_made_for_the_device_that_is_given(deep: Path) -> None:
    forget(deep)
    streamed = {}
    for storage in (1e6, 1e12):  # bytes a second
        device = Device("test", "", 2, 4 << 30, 1e10, storage, {"float32": 1e10, "float16": 1e10, "int8": 4e10})
        with wherry.Executor(deep, memory_budget="8MB", page_cache="leave", device=device) as executor:
            streamed[storage] = executor.stats.streamed_bytes
            wanted = executor.run(given())
            assert executor.stats.peak_bytes <= 8_000_000
            executor.set_memory_budget(None)
            assert executor.stats.streamed_bytes == 0
            assert support.same_bits(executor.run(given()), wanted)
    assert 0 < streamed[1e6] < streamed[1e12], "what is read slowly stays, and the window is small"


def test_small_weights_that_steps_share_stay() -> None:
    """However quickly larger ones were worth it: in a window each of them would hold a page, or 2 MiB, all the time."""
    steps, large, small = 40, 1 << 20, 512
    uses = [pair for step in range(steps) for pair in ((step, step), (step, steps))]
    _, window, resident, _, stays = _native.plan_residency(
        uses, [large] * steps + [small], [1.0] * steps, bytes_per_second=1e12, seconds_per_read=0.0, limit=16 * large
    )
    assert stays[steps]
    assert window + resident <= 16 * large
