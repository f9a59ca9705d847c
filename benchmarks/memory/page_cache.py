"""Makes the page cache forget files, and proves that it did: what is measured cold has to be cold.

And decides, and tells, in which pages it keeps them: what lies in pages of 2 MiB is mapped in a fraction of the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np


def cached_bytes(path: Path) -> int:
    """How much of a file the page cache holds, in whole pages."""
    size = path.stat().st_size
    if size == 0:
        return 0
    pages = -(-size // mmap.PAGESIZE)
    there = np.zeros(pages, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        address, vector = ctypes.c_void_p(view.ctypes.data), ctypes.c_void_p(there.ctypes.data)
        status = libc.mincore(address, ctypes.c_size_t(size), vector)
        del view  # the map cannot be closed while it is seen
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    return int(np.count_nonzero(there & 1)) * mmap.PAGESIZE


def drop(paths: Iterable[Path]) -> None:
    """Writes the files back and drops their pages. Raises RuntimeError when more than 1% of one stay."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        kept = cached_bytes(path)
        if kept > max(path.stat().st_size // 100, mmap.PAGESIZE):
            raise RuntimeError(f"{path}: {kept} bytes stay in the page cache: is another process using the file?")


def read_in_small_pages(path: Path) -> None:
    """Reads what the page cache does not have of a file, and has it in pages of 4 KiB."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # larger ones come with read-ahead
        while os.read(descriptor, 1 << 20):
            pass
    finally:
        os.close(descriptor)


def compact() -> None:
    """Has Linux move what is in memory together, so that files find free pages of 2 MiB. Nothing without root."""
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/compact_memory").write_text("1")


def settle(path: Path, share: float, read: Callable[[], object]) -> None:
    """Lets `read` bring a file into the page cache anew where less than this share of its whole pages of 2 MiB are
    such: it was just written, somebody else has read it, or free memory is in pieces, as a day of work leaves it."""
    size = path.stat().st_size
    wanted = share * (size >> 21 << 21) / max(size, 1)
    for mend in (lambda: None, compact):
        if large_pages(path) < wanted:
            drop([path])
            mend()
            read()


def large_pages(path: Path) -> float:
    """The share of a file that lies in pages of 2 MiB. Reads what the page cache does not have."""
    size = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        int(view[:: mmap.PAGESIZE].max(initial=0))  # one byte of each page
        address = view.ctypes.data
        del view  # the map cannot be closed while it is seen
        return _mapped_at_once(address) / size if size else 0.0


def _mapped_at_once(address: int) -> int:
    """Bytes of the mapping that begins there which the processor has as pages of 2 MiB."""
    ours = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            ours = name.startswith(f"{address:x}-") or name.startswith(f"{address:08x}-")
        elif ours and name == "FilePmdMapped:":
            return int(values[0]) * 1024
    return 0
