"""Files that are there whole or not at all: written under a temporary name beside the place, then put into it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wherry.errors import PackError, WherryError


@contextmanager
def whole_file(path: str | os.PathLike[str], error: type[WherryError] = PackError) -> Iterator[Path]:
    """Gives the temporary name, of an empty file in path's folder, which replaces path when the block ends.

    When the block raises, the temporary file goes and what was at path stays as it was. A link is followed; a device or
    a pipe is given itself, as nothing may take its place. An OSError becomes `error`, with the path that was asked for.
    """
    target = Path(os.path.realpath(path))
    temporary: Path | None = None
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            yield target
            return
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as cause:
        raise error(f"{os.fspath(path)}: cannot be written: {cause.strerror}; nothing was left behind") from cause
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike[str], text: str, error: type[WherryError] = PackError) -> None:
    """Writes a text as whole_file says, in UTF-8."""
    with whole_file(path, error) as temporary:
        temporary.write_text(text, encoding="utf-8")
