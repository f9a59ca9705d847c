"""Measures this machine for a profile: products of one core, and reading memory and storage."""

from __future__ import annotations

import mmap
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from wherry.devices.profile import Device
from wherry.errors import PackError
from wherry.graph import ArrayValue
from wherry.pack.weights import pack_weight
from wherry.quantize.formats import parse_scheme, quantize
from wherry.quantize.halves import half_limit
from wherry.runtime.single_kernel import half_isas, time_kernel

_PIXELS, _CHANNELS = 28, 256  # of the 1x1 convolution whose products are timed: it fits the second-level cache
_FILE_BYTES = 256 << 20
_PIECE = 2 << 20  # of a read, as the runtime's
_MEMORY_BYTES = 128 << 20
_REPEATS = 9


def calibrate(folder: Path | None = None) -> Device:
    """A profile of this machine. folder: where the file is that is read; the system's folder for temporary files.

    Raises PackError when a file of 256 MiB cannot be written there.
    """
    from wherry import _native

    physical, _, _ = _native.memory()
    return Device(
        name="this-machine",
        description=f"{platform.machine()} {platform.system()}, measured by wherry calibrate",
        cores=os.cpu_count() or 1,
        memory=physical,
        memory_bytes=_memory_rate(),
        storage_bytes=_storage_rate(folder),
        macs={"float32": _macs("wf32"), "float16": _macs("hf16" if half_isas() else "wf16"), "int8": _macs("di8")},
    )


def _macs(suffix: str) -> float:
    """Multiply-accumulates a second of a 1x1 convolution, of one core."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, _PIXELS, _PIXELS, _CHANNELS), np.float32)
    filters = rng.standard_normal((1, 1, _CHANNELS, _CHANNELS), np.float32)
    scheme = parse_scheme({"wf32": None, "di8": "int8"}.get(suffix, "float16"))
    weight = pack_weight("Conv2D", ArrayValue(filters) if scheme is None else quantize(filters, scheme, 3))
    attrs: dict[str, object] = {"strides": [1, 1, 1, 1], "padding": "VALID"}
    if suffix == "hf16":
        attrs["half_limit"] = half_limit(filters.reshape(_CHANNELS, _CHANNELS))
    outputs = [(np.float32, image.shape)]
    seconds = time_kernel(f"Conv2D_f32_{suffix}", [image, weight], attrs, outputs, repeats=_REPEATS * 20)
    return _PIXELS * _PIXELS * _CHANNELS * _CHANNELS / statistics.median(seconds)


def _memory_rate() -> float:
    """Bytes a second that one core reads of more than caches hold."""
    array = np.ones(_MEMORY_BYTES // 4, np.float32)
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        array.max()
        seconds.append(time.perf_counter() - start)
    return _MEMORY_BYTES / min(seconds)


def _storage_rate(folder: Path | None) -> float:
    """Bytes a second of a file in large requests past the page cache."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".wherry-calibrate-") as file:
            piece = np.random.default_rng(0).bytes(_PIECE)
            for _ in range(_FILE_BYTES // _PIECE):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                direct = getattr(os, "O_DIRECT", 0)
                return max(_read_rate(file.name, direct) for _ in range(3 if direct else 1))
            except OSError:  # a file system that has no such requests; the page cache was emptied
                return _read_rate(file.name, 0)
    except OSError as error:
        raise PackError(f"{folder or tempfile.gettempdir()}: cannot be measured: {error.strerror}") from error


def _read_rate(path: str, flags: int) -> float:
    handle = os.open(path, os.O_RDONLY | flags)
    try:
        with mmap.mmap(-1, _PIECE) as buffer:  # begins at a page, as such requests want
            start = time.perf_counter()
            for at in range(0, _FILE_BYTES, _PIECE):
                os.preadv(handle, [buffer], at)
            return _FILE_BYTES / (time.perf_counter() - start)
    finally:
        os.close(handle)
