"""Writing a pack: whole or not at all, of the size that was predicted, and the same bytes each time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support
import wherry
from wherry.errors import PackError
from wherry.pack.reader import read_pack
from wherry.pack.writer import write_pack
from wherry.plan.partition import by_count


def test_the_same_bytes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    a = support.pack(tmp_path, "a.wherry", quantize="minmax:6:channel", partitions=3)
    b = support.pack(tmp_path, "b.wherry", quantize="minmax:6:channel", partitions=3)
    assert a.read_bytes() == b.read_bytes()
    assert b"2017-07-14" in a.read_bytes()


@pytest.mark.parametrize("quantize", [None, "float16", "int8", "minmax:3", "minmax:11:channel"])
def test_partitions_have_the_bytes_that_were_predicted(tmp_path: Path, quantize: str | None) -> None:
    program = support.program(quantize)
    cut = by_count(program, 9)
    path = tmp_path / "m.wherry"
    assert write_pack(program, cut, path) == path.stat().st_size
    pack = read_pack(path, check_segments=True)
    for number, (part, planned) in enumerate(zip(pack.partitions, cut, strict=True)):
        mapped = sum(pack.segments[s].nbytes for s in part.segments)
        rounding = 64 * len(part.segments)
        assert planned.weight_bytes - rounding <= mapped <= planned.weight_bytes, f"partition {number}"
    ends = [pack.segments[0].offset, *(segment.offset + segment.nbytes for segment in pack.segments)]
    assert ends[0] % 16384 == 0
    for segment, end in zip(pack.segments, ends, strict=False):
        assert segment.offset % 64 == 0 and 0 <= segment.offset - end < 64
    assert pack.arena_bytes == program.arena_bytes


def test_what_is_at_hand_is_replaced_whole(tmp_path: Path) -> None:
    path = support.pack(tmp_path)
    with wherry.Executor(path) as executor:
        wanted = executor.run(support.inputs())
        support.pack(tmp_path, quantize="minmax:2")  # the old file lives on for who has it open
        assert support.same_bits(executor.run(support.inputs()), wanted)
    assert not support.same_bits(support.run(path), wanted)
    assert oct(path.stat().st_mode & 0o777) == oct(0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="there is no folder"):
        wherry.compile(support.graph(), tmp_path / "missing" / "m.wherry")
    with pytest.raises(PackError, match="this is a folder"):
        wherry.compile(support.graph(), tmp_path)
    with pytest.raises(PackError, match="/dev/null: this is not a file"):  # to replace it would be bad manners
        wherry.compile(support.graph(), "/dev/null")


@pytest.mark.parametrize("budget", [None, "2MB"])
@pytest.mark.parametrize("after", [0, 20_000, 150_000])
def test_a_full_disk_leaves_the_old_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, budget: str | None
) -> None:
    old = support.pack(tmp_path)
    before = old.read_bytes()
    real = Path.open

    def limited(path: Path, *args: Any, **options: Any) -> Any:
        file = real(path, *args, **options)
        return _Full(file, after) if path.suffix == ".part" else file

    monkeypatch.setattr(Path, "open", limited)
    with pytest.raises(PackError, match=r"small\.wherry: cannot be written: No space left on device") as caught:
        support.pack(tmp_path, memory_budget=budget)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["small.wherry"]
    assert old.read_bytes() == before


class _Full:
    """A file on a disk with room for `room` bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


_LIMITED = """
import resource, signal, sys
sys.path[:0] = sys.argv[2].split(":")
from pathlib import Path
import support
from wherry.errors import PackError
program = support.program()
from wherry.pack.writer import write_pack
from wherry.plan.partition import by_count
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
try:
    write_pack(program, by_count(program, 2), Path(sys.argv[1]) / "m.wherry")
except PackError as error:
    print(error)
    sys.exit(1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs setrlimit")
def test_a_real_limit_on_the_file(tmp_path: Path) -> None:
    """The system itself refuses to write on, wherever the bytes are buffered."""
    here = ":".join(str(p) for p in sys.path if p)
    done = subprocess.run([sys.executable, "-c", _LIMITED, tmp_path, here], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "m.wherry: cannot be written: File too large" in done.stdout
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wherry.pack.writer.os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        support.pack(tmp_path)
    assert not list(tmp_path.iterdir())
