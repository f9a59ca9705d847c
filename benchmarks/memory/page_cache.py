"""Makes the page cache forget files, and proves that it did: what is measured cold has to be cold."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
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


def warm(path: Path) -> None:
    """Reads a file once, so that the page cache has it."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass
