"""Files are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wherry.errors import BuildError, PackError
from wherry.files import whole_file, write_whole


def test_a_file_takes_the_place_of_an_old_one_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    with whole_file(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"] and target.read_text() == "new"
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_stays_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    with pytest.raises(PackError if isinstance(error, OSError) else KeyboardInterrupt), whole_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"] and target.read_text() == "old"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"none/a\.txt: cannot be written: No such file or directory"):
        write_whole(tmp_path / "none" / "a.txt", "text", BuildError)


def test_a_link_is_followed_and_a_device_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "text"
    (tmp_path / "device").symlink_to(os.devnull)
    write_whole(tmp_path / "device", "text")
    assert Path(os.devnull).is_char_device()
