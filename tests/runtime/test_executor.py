"""Executor: the same bits whatever the plan, errors that say what to do, and runs that other threads may watch."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import support
import wherry
from wherry.errors import BudgetError, PackError, RuntimeFailure, UsageError

FORMATS = (None, "int8", "minmax:5:channel")


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None, int], Path]:
    """quantize, partitions -> a pack, compiled once."""
    folder = tmp_path_factory.mktemp("packs")

    def get(quantize: str | None, partitions: int) -> Path:
        name = f"{quantize}_{partitions}.wherry".replace(":", "_")
        if not (folder / name).exists():
            support.pack(folder, name, quantize=quantize, partitions=partitions)
        return folder / name

    return get


Packs = Callable[[str | None, int], Path]


@pytest.mark.parametrize("quantize", FORMATS)
def test_partitions_threads_and_budgets_never_change_a_bit(packs: Packs, quantize: str | None) -> None:
    wanted = support.run(packs(quantize, 1))
    for partitions in (1, 2, 11, 50):
        path = packs(quantize, partitions)
        for threads in (1, 2, 3):
            with wherry.Executor(path, threads=threads) as executor:
                assert executor.stats.partitions == partitions
                least = executor.stats.memory_needed
                assert support.same_bits(executor.run(support.inputs()), wanted)
                whole = executor.stats.peak_bytes
            for budget in {least, least + 1, (least + whole) // 2, whole - 1, whole, 10 * whole}:
                if budget < least:
                    continue
                with wherry.Executor(path, threads=threads, memory_budget=budget) as executor:
                    for _ in range(2):
                        assert support.same_bits(executor.run(support.inputs()), wanted)
                    assert executor.stats.peak_bytes <= budget
                    assert executor.stats.runs == 2


def test_the_answer_is_tensorflows(packs: Packs) -> None:
    from wherry.runtime.tensorflow_runner import run_graph

    wanted = run_graph(support.graph(), support.inputs())
    found = support.run(packs(None, 11))
    for name, array in wanted.items():
        assert np.abs(found[name] - array).max() <= 1e-5 * np.abs(array).max()


def test_partitions_do_not_matter_to_memory(packs: Packs) -> None:
    needed = []
    for partitions in (1, 2, 11, 50):
        with wherry.Executor(packs(None, partitions)) as executor:
            needed.append(executor.stats.memory_needed)
    assert max(needed) - min(needed) <= 4096, "a partition's own record takes room"


@pytest.mark.parametrize("threads", [1, 4])
def test_a_budget_too_small_names_one_that_will_do(packs: Packs, threads: int) -> None:
    path = packs("int8", 11)
    with pytest.raises(BudgetError) as caught:
        wherry.Executor(path, threads=threads, memory_budget=10_000)
    message = str(caught.value)
    needed = int(message.split("needs ")[1].split()[0])
    assert "\n" not in message
    with pytest.raises(BudgetError):
        wherry.Executor(path, threads=threads, memory_budget=needed - 1)
    with wherry.Executor(path, threads=threads, memory_budget=needed) as executor:
        executor.run(support.inputs())
        assert executor.stats.peak_bytes <= needed


def test_wrong_inputs(packs: Packs) -> None:
    good = support.inputs()
    with wherry.Executor(packs(None, 2)) as executor:
        cases = [
            ({"image": good["image"]}, "the input 'words' .* is missing"),
            ({**good, "other": good["image"]}, "there is no input 'other'.*'image', 'words'"),
            ({**good, "image": good["image"][0]}, r"'image' has shape \(16, 16, 3\)"),
            ({**good, "image": good["image"].astype(np.float64)}, "'image' is of type float64.*float32"),
            ({**good, "words": good["words"].astype(np.int64)}, "'words' is of type int64"),
            ({**good, "image": good["image"].astype(">f4")}, "'image' is of type >f4"),
            ([good["image"], good["words"]], "give the inputs by name"),
        ]
        for inputs, message in cases:
            with pytest.raises(UsageError, match=message):
                executor.run(inputs)  # type: ignore[arg-type]
        assert executor.stats.runs == 0
        assert support.same_bits(executor.run(good), support.run(packs(None, 2)))


def test_an_index_out_of_range_ends_the_run(packs: Packs) -> None:
    """Embedding rows: TensorFlow fails too. The executor lives on."""
    with wherry.Executor(packs(None, 2)) as executor:
        bad = support.inputs()
        bad["words"][0, 3] = 9999
        with pytest.raises(RuntimeFailure, match="9999"):
            executor.run(bad)
        assert support.same_bits(executor.run(support.inputs()), support.run(packs(None, 2)))


def test_inputs_need_not_be_contiguous(packs: Packs) -> None:
    inputs = support.inputs()
    strided = np.asfortranarray(inputs["image"])
    wide = np.zeros((1, 12), np.int32)
    wide[:, ::2] = inputs["words"]
    with wherry.Executor(packs(None, 2)) as executor:
        assert support.same_bits(executor.run({"image": strided, "words": wide[:, ::2]}), support.run(packs(None, 2)))


def test_outputs_outlive_everything(packs: Packs) -> None:
    executor = wherry.Executor(packs(None, 2))
    first = executor.run(support.inputs())
    kept = {name: array.copy() for name, array in first.items()}
    executor.run(support.inputs(seed=6))
    executor.close()
    del executor
    gc.collect()
    assert support.same_bits(first, kept)
    first["state"][:] = 0  # they are the caller's


def test_closed_executor(packs: Packs) -> None:
    executor = wherry.Executor(packs(None, 2))
    executor.close()
    executor.close()
    for call in (lambda: executor.run(support.inputs()), lambda: executor.stats, executor.cancel):
        with pytest.raises(UsageError, match="the executor is closed"):
            call()


def test_types_are_those_of_the_signature(packs: Packs) -> None:
    with wherry.Executor(packs(None, 2)) as executor:
        assert {name: str(kind) for name, kind in executor.inputs.items()} == {
            "image": "f32[1x16x16x3]", "words": "i32[1x6]",
        }
        assert {name: str(kind) for name, kind in executor.outputs.items()} == {
            "classes": "f32[1x10]", "state": "f32[1x32]",
        }


@pytest.mark.parametrize("offset", [0, 1])
def test_bytes_are_a_source(packs: Packs, offset: int) -> None:
    data = packs("int8", 11).read_bytes()
    executor = wherry.Executor(data, threads=2)
    del data
    gc.collect()
    padding = [bytes(1 << 20) for _ in range(4)]  # takes the place of freed memory
    with executor:
        assert support.same_bits(executor.run(support.inputs()), support.run(packs("int8", 11)))
    assert padding


def test_a_pack_may_be_deleted_while_it_is_open(packs: Packs, tmp_path: Path) -> None:
    path = tmp_path / "gone.wherry"
    path.write_bytes(packs(None, 11).read_bytes())
    with wherry.Executor(path) as executor:
        path.unlink()
        assert support.same_bits(executor.run(support.inputs()), support.run(packs(None, 11)))


def test_odd_arguments(packs: Packs, tmp_path: Path) -> None:
    path = packs(None, 2)
    for threads in (-1, "x", 1.5, None):
        with pytest.raises(UsageError, match="threads must be a whole number, 0 or more"):
            wherry.Executor(path, threads=threads)  # type: ignore[arg-type]
    for budget in ("12 parsecs", "0MB", "-5MB", True, -1):
        with pytest.raises(UsageError, match="size"):
            wherry.Executor(path, memory_budget=budget)
    with pytest.raises(UsageError, match="not a path"):
        wherry.Executor("a\0b")
    with pytest.raises(PackError, match=r"missing\.wherry: there is no such file$"):
        wherry.Executor(tmp_path / "missing.wherry")
    with pytest.raises(PackError, match="this is a folder"):
        wherry.Executor(tmp_path)
    for threads in (0, 5000, 1 << 40):
        assert support.same_bits(support.run(path, threads=threads, memory_budget=1 << 70), support.run(path))


def test_a_name_that_is_not_utf8(packs: Packs, tmp_path: Path) -> None:
    import os

    path = os.fsdecode(os.fsencode(tmp_path) + b"/na\xefve.wherry")
    Path(path).write_bytes(packs(None, 2).read_bytes())
    assert support.same_bits(support.run(Path(path)), support.run(packs(None, 2)))
    Path(path).write_bytes(b"no pack")
    with pytest.raises(PackError, match="not a Wherry pack"):
        wherry.Executor(path)


# ------------------------------------------------------------------------------------------- threads and callbacks
def test_executors_run_beside_one_another(packs: Packs) -> None:
    wanted = {seed: _run_seed(packs(None, 11), seed) for seed in (1, 2)}
    failures: list[str] = []

    def work(seed: int) -> None:
        with wherry.Executor(packs(None, 11), threads=2) as executor:
            for _ in range(30):
                if not support.same_bits(executor.run(support.inputs(seed)), wanted[seed]):
                    failures.append(f"seed {seed}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def _run_seed(path: Path, seed: int) -> dict[str, np.ndarray]:
    with wherry.Executor(path) as executor:
        return executor.run(support.inputs(seed))


def test_the_interpreter_is_free_while_a_run_computes(tmp_path: Path) -> None:
    """Another thread counts while one single step, which never comes back to Python, computes."""
    import tensorflow as tf

    @tf.function
    def products(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, x)}

    side = 1024
    wherry.compile(products.get_concrete_function(tf.TensorSpec([side, side], tf.float32, "x")), tmp_path / "m.wherry")
    counted = 0
    done = threading.Event()

    def count() -> None:
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0.001)

    with wherry.Executor(tmp_path / "m.wherry") as executor:
        array = np.ones((side, side), np.float32)
        executor.run({"x": array})
        counter = threading.Thread(target=count)
        counter.start()
        start, before = time.perf_counter(), counted
        for _ in range(5):
            executor.run({"x": array})
        seconds, ticks = time.perf_counter() - start, counted - before
        done.set()
        counter.join()
    assert ticks >= 3, f"{ticks} ticks in {seconds:.3f} s"


def test_progress(packs: Packs) -> None:
    calls: list[tuple[int, int]] = []
    with wherry.Executor(packs(None, 11)) as executor:
        executor.on_progress(lambda done, count: calls.append((done, count)))
        executor.run(support.inputs())
        assert calls == [(i + 1, 11) for i in range(11)]
        executor.on_progress(None)
        executor.run(support.inputs())
        assert len(calls) == 11


def test_progress_can_cancel(packs: Packs) -> None:
    with wherry.Executor(packs(None, 11)) as executor:
        executor.on_progress(lambda done, count: done == 4)
        with pytest.raises(RuntimeFailure, match="cancelled"):
            executor.run(support.inputs())
        assert executor.stats.runs == 0
        executor.on_progress(None)
        assert support.same_bits(executor.run(support.inputs()), support.run(packs(None, 11)))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_what_a_callback_raises_is_raised(packs: Packs, error: BaseException) -> None:
    def fail(done: int, count: int) -> None:
        raise error

    with wherry.Executor(packs(None, 11)) as executor:
        executor.on_progress(fail)
        with pytest.raises(type(error)):
            executor.run(support.inputs())
        executor.on_progress(lambda *_: np.bool_(False))
        executor.run(support.inputs())
        executor.on_progress(lambda *_: np.zeros(2))  # neither true nor false
        with pytest.raises(ValueError, match="ambiguous"):
            executor.run(support.inputs())


def test_one_executor_runs_once_at_a_time(packs: Packs) -> None:
    errors: list[str] = []

    with wherry.Executor(packs(None, 11)) as executor:

        def meddle(done: int, count: int) -> None:
            for call in (lambda: executor.run(support.inputs()), executor.close, lambda: executor.on_progress(None)):
                try:
                    call()
                except UsageError as error:
                    errors.append(str(error))

        executor.on_progress(meddle)
        executor.run(support.inputs())
    assert len(errors) == 33
    assert all("is running" in error for error in errors)


def test_cancel_from_another_thread(packs: Packs) -> None:
    with wherry.Executor(packs(None, 50)) as executor:
        executor.cancel()  # no run: nothing to cancel
        executor.run(support.inputs())
        executor.on_progress(lambda *_: time.sleep(0.01))
        timer = threading.Timer(0.1, executor.cancel)
        timer.start()
        with pytest.raises(RuntimeFailure, match="cancelled"):
            executor.run(support.inputs())
        timer.join()
        executor.on_progress(None)
        assert support.same_bits(executor.run(support.inputs()), support.run(packs(None, 50)))


def test_all_that_the_package_offers_is_listed() -> None:
    assert set(wherry.__all__) <= set(dir(wherry))


def test_an_empty_path_is_named_as_such() -> None:
    with pytest.raises(UsageError, match=r"^the path of the pack is empty"):
        wherry.Executor("")
