"""Runs one kernel of the C++ runtime on numpy arrays, without a pack: to compare kernels with TensorFlow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from wherry.graph import DType
from wherry.pack.stored import StoredWeight

Input = np.ndarray | StoredWeight
Output = tuple[Any, tuple[int, ...]]


def run_kernel(
    key: str,
    inputs: Sequence[Input],
    attrs: Mapping[str, Any],
    outputs: Sequence[Output],
    threads: int = 1,
    isa: int | None = None,
    unwanted: Collection[int] = (),
    thrifty: bool = False,
) -> list[np.ndarray]:
    """Runs the kernel with this key.

    outputs: numpy dtype and shape of each output. isa: a number of `isas()`; the best by default.
    unwanted: outputs that get no memory, as a pack's unused outputs; they are returned empty.
    thrifty: the kernel gets by with as little scratch memory as it can.
    Raises RuntimeError with the kernel's message when it refuses its arguments, ValueError for an unknown
    key.
    """
    from wherry import _native

    results = _native.run_kernel(
        key,
        _packed(inputs),
        dict(attrs),
        _wanted(outputs, unwanted),
        threads=threads,
        isa=_isa(isa),
        thrifty=thrifty,
    )
    return [
        np.frombuffer(data, dtype=np.dtype(dtype)).reshape((0,) if index in unwanted else shape)
        for index, (data, (dtype, shape)) in enumerate(zip(results, outputs, strict=True))
    ]


def time_kernel(
    key: str,
    inputs: Sequence[Input],
    attrs: Mapping[str, Any],
    outputs: Sequence[Output],
    threads: int = 1,
    isa: int | None = None,
    repeats: int = 10,
) -> list[float]:
    """Seconds of each of `repeats` runs of a kernel that is prepared once. Arguments as for run_kernel."""
    from wherry import _native

    return _native.time_kernel(
        key, _packed(inputs), dict(attrs), _wanted(outputs, ()), threads, _isa(isa), repeats
    )


def isas() -> dict[str, int]:
    """Instruction sets that this CPU runs: name -> number, in rising order."""
    from wherry import _native

    return _native.isas()


def _isa(isa: int | None) -> int:
    return -1 if isa is None else isa


def _packed(inputs: Sequence[Input]) -> list[dict[str, Any]]:
    packed: list[dict[str, Any]] = []
    for value in inputs:
        if isinstance(value, StoredWeight):
            packed.append(
                {
                    "data": value.data,
                    "dtype": int(value.dtype),
                    "shape": list(value.shape),
                    "layout": int(value.layout),
                    "format": int(value.format),
                    "bits": value.bits,
                    "axis": value.axis,
                    "split": value.split,
                    "channels": value.channels,
                    "scale": value.scale,
                    "offset": value.offset,
                }
            )
        else:
            array = np.asarray(value)
            dtype = DType.from_numpy(array.dtype)
            packed.append({"data": array.tobytes(), "dtype": int(dtype), "shape": list(array.shape)})
    return packed


def _wanted(outputs: Sequence[Output], unwanted: Collection[int]) -> list[dict[str, Any]]:
    return [
        {"dtype": int(DType.from_numpy(dtype)), "shape": list(shape), "unwanted": index in unwanted}
        for index, (dtype, shape) in enumerate(outputs)
    ]


def half_isas() -> tuple[int, ...]:
    """Those of them that multiply in half precision: empty when this CPU, or this build, does not."""
    from wherry import _native

    return tuple(_native.half_isas())
