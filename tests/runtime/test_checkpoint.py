"""Checkpoints: a run goes on in another process with the same bits, and a file that is not its own does no harm."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import support
import wherry
from wherry import _native
from wherry.cli import main
from wherry.errors import PackError, RuntimeFailure, UsageError

from benchmarks import kill

PARTITIONS = 11
HEADER = 64
MAGIC = 8


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.pack(tmp_path_factory.mktemp("pack"), partitions=PARTITIONS)


@pytest.fixture(scope="module")
def wanted(pack: Path) -> dict[str, np.ndarray]:
    return support.run(pack)


def interrupt(pack: Path, checkpoint: Path, after: int, seed: int = 5) -> None:
    """Runs so many partitions."""
    with wherry.Executor(pack, checkpoint=checkpoint) as executor:
        executor.on_progress(lambda done, _: done == after)
        with pytest.raises(RuntimeFailure):
            executor.run(support.inputs(seed))


def resume(pack: Path, checkpoint: Path, **options: object) -> tuple[int, dict[str, np.ndarray]]:
    """Where a new executor began, and its outputs. Counts the partitions that it ran."""
    ran: list[int] = []
    with wherry.Executor(pack, checkpoint=checkpoint, **options) as executor:  # type: ignore[arg-type]
        executor.on_progress(lambda done, _: ran.append(done))
        outputs = executor.run(support.inputs())
        first = executor.stats.first_partition
        assert ran == list(range(first + 1, executor.stats.partitions + 1))
        assert executor.checkpoint is not None and executor.checkpoint.completed
    return first, outputs


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_every_partition_can_be_the_last(tmp_path: Path, quantize: str | None) -> None:
    path = support.pack(tmp_path, quantize=quantize, partitions=PARTITIONS)
    wanted = support.run(path)
    file = tmp_path / "run.checkpoint"
    for after in range(1, PARTITIONS):
        file.unlink(missing_ok=True)
        interrupt(path, file, after)
        with wherry.Executor(path, checkpoint=file) as executor:
            assert executor.checkpoint == wherry.Checkpoint(after, PARTITIONS) and not executor.checkpoint.completed
        first, outputs = resume(path, file, threads=1 + after % 3)
        assert first == after and support.same_bits(outputs, wanted)
    assert {each.name for each in tmp_path.iterdir()} == {path.name, file.name}


def test_a_resumed_run_streams_its_weights(pack: Path, tmp_path: Path, wanted: dict[str, np.ndarray]) -> None:
    with wherry.Executor(pack) as executor:
        least = executor.stats.memory_needed
    file = tmp_path / "run.checkpoint"
    for after in (1, 6, PARTITIONS - 1):
        file.unlink(missing_ok=True)
        interrupt(pack, file, after)
        with wherry.Executor(pack, memory_budget=least, checkpoint=file) as executor:
            for first in (after, 0, 0):
                assert support.same_bits(executor.run(support.inputs()), wanted)
                assert executor.stats.first_partition == first


def test_a_completed_run_has_its_outputs_in_the_next_process(
    pack: Path, tmp_path: Path, wanted: dict[str, np.ndarray]
) -> None:
    file = tmp_path / "run.checkpoint"
    assert resume(pack, file)[0] == 0
    first, outputs = resume(pack, file)
    assert first == PARTITIONS and support.same_bits(outputs, wanted)


def test_a_run_that_began_is_not_complete(pack: Path, tmp_path: Path) -> None:
    """Though the one before it, on other inputs, was."""
    file = tmp_path / "run.checkpoint"
    resume(pack, file)
    with wherry.Executor(pack, checkpoint=file) as executor:
        assert executor.checkpoint is not None and executor.checkpoint.completed
        interrupt(pack, file, 1, seed=6)
        assert executor.checkpoint == wherry.Checkpoint(1, PARTITIONS)
        executor.run(support.inputs())
        assert executor.stats.first_partition == 0, "these are other inputs"


def test_a_cancelled_run_goes_on_in_its_own_executor(
    pack: Path, tmp_path: Path, wanted: dict[str, np.ndarray]
) -> None:
    with wherry.Executor(pack, checkpoint=tmp_path / "c") as executor:
        for stop in (4, 7):
            executor.on_progress(lambda done, _, stop=stop: done == stop)
            with pytest.raises(RuntimeFailure):
                executor.run(support.inputs())
        executor.on_progress(None)
        assert support.same_bits(executor.run(support.inputs()), wanted)
        assert executor.stats.first_partition == 7


def test_only_what_later_partitions_read_is_written(pack: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.checkpoint"
    sizes = []
    with wherry.Executor(pack, checkpoint=file) as executor:
        executor.on_progress(lambda *_: sizes.append(file.stat().st_size))
        outputs = executor.run(support.inputs())
    assert sizes[-1] == HEADER + sum(array.nbytes for array in outputs.values())
    assert max(sizes) <= HEADER + 2 * 16 * 16 * 24 * 4 + 4096, "a block's input and its sum, and small ones"
    assert (file.stat().st_mode & 0o777) == 0o600


def test_another_pack_is_not_taken_up(pack: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.checkpoint"
    other = support.pack(tmp_path, "other.wherry", quantize="float16", partitions=PARTITIONS)
    interrupt(other, file, 4)
    with wherry.Executor(pack, checkpoint=file) as executor:
        assert executor.checkpoint is None
    assert resume(pack, file)[0] == 0


def test_damaged_files_count_as_none(pack: Path, tmp_path: Path, wanted: dict[str, np.ndarray]) -> None:
    file = tmp_path / "run.checkpoint"
    interrupt(pack, file, 5)
    sound = file.read_bytes()
    generator = random.Random(3)
    cuts = [sound[:size] for size in (0, 1, HEADER - 1, HEADER, len(sound) - 1)] + [sound + b"x"]
    flips = []
    for at in [*range(MAGIC, HEADER), *(generator.randrange(HEADER, len(sound)) for _ in range(100))]:
        changed = bytearray(sound)
        changed[at] ^= 1 << generator.randrange(8)
        flips.append(bytes(changed))
    for damaged in cuts + flips:
        file.write_bytes(damaged)
        with wherry.Executor(pack, checkpoint=file) as executor:
            assert executor.checkpoint is None
    for damaged in cuts + generator.sample(flips, 12) + [forged(sound, done) for done in (0, PARTITIONS + 1, 1 << 31)]:
        file.write_bytes(damaged)
        first, outputs = resume(pack, file)
        assert first == 0 and support.same_bits(outputs, wanted)
    for done in range(PARTITIONS + 1):  # outputs may be wrong, for this is no accident; but nothing else happens
        file.write_bytes(forged(sound, done))
        assert resume(pack, file)[0] in (0, done)
    file.write_bytes(sound)
    assert resume(pack, file)[0] == 5


def test_a_file_of_another_kind_is_never_replaced(pack: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("bring milk")
    content = pack.read_bytes()
    for path in (other, pack):
        with pytest.raises(UsageError, match=f"{path} is not a checkpoint, and a run would replace it"):
            wherry.Executor(pack, checkpoint=path)
    with pytest.raises(UsageError, match="/dev/null is not a checkpoint"):
        wherry.Executor(pack, checkpoint="/dev/null")
    assert other.read_text() == "bring milk" and pack.read_bytes() == content
    file = tmp_path / "run.checkpoint"
    interrupt(pack, file, 5)
    sound = file.read_bytes()
    for at in range(MAGIC):
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(UsageError, match="is not a checkpoint"):
            wherry.Executor(pack, checkpoint=file)


def forged(sound: bytes, done: int) -> bytes:
    """A file that claims another number of partitions, with a header that is right in itself."""
    changed = bytearray(sound)
    changed[12:16] = done.to_bytes(4, "little")
    changed[56:64] = _native.hash64(bytes(changed[:56])).to_bytes(8, "little")
    return bytes(changed)


def test_a_checkpoint_that_cannot_be_written(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing" / "c", tmp_path / "folder"):
        with wherry.Executor(pack, checkpoint=path) as executor:
            assert executor.checkpoint is None
            with pytest.raises(PackError, match=f"the checkpoint {path} cannot be written: "):
                executor.run(support.inputs())
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(UsageError, match="empty"):
        wherry.Executor(pack, checkpoint="")
    with pytest.raises(UsageError, match="not a path"):
        wherry.Executor(pack, checkpoint="a\0b")


def test_what_a_killed_process_left_beside_is_replaced(pack: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.checkpoint"
    target = tmp_path / "other"
    target.write_text("mine")
    Path(f"{file}.part").symlink_to(target)
    resume(pack, file)
    assert target.read_text() == "mine" and sorted(tmp_path.iterdir()) == sorted([file, target])


def test_killed_runs_go_on(pack: Path, tmp_path: Path) -> None:
    trials, _ = kill.kills(kill.Setting(pack), tmp_path, 5, seed=1)
    assert all(one.same and one.run_twice == 0 for one in trials)
    assert all(one.resumed_at - one.ended in (0, 1) for one in trials), "one may have ended without saying so"


def test_the_command_says_that_a_checkpoint_was_not_its_own(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def says(*options: str) -> str:
        assert main(["run", str(pack), "--checkpoint", str(file), *options]) == 0
        return capsys.readouterr().err

    file, inputs = tmp_path / "run.checkpoint", tmp_path / "inputs.npz"
    np.savez(inputs, **support.inputs())
    assert says() == ""
    interrupt(pack, file, after=4)
    assert says("--inputs", str(inputs)) == ""
    interrupt(pack, file, after=4, seed=6)
    assert "run.checkpoint: it was damaged, or of another pack or other inputs" in says("--inputs", str(inputs))
    (tmp_path / "other").mkdir()
    interrupt(support.pack(tmp_path / "other", quantize="int8", partitions=PARTITIONS), file, after=4)
    assert "so the run began at the first partition" in says()
