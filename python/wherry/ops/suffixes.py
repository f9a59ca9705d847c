"""The types part of a kernel's key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wherry.graph import DType

# What a tensor of the C++ runtime may hold (DType in cpp/runtime/tensor.h).
RUNTIME_TYPES = frozenset({
    DType.FLOAT, DType.DOUBLE, DType.INT32, DType.UINT8, DType.INT16, DType.INT8, DType.INT64, DType.BOOL, DType.UINT16,
    DType.HALF, DType.UINT32, DType.UINT64,
})


def width_suffix(dtype: DType) -> str:
    """x8, x16, x32 or x64: how kernels that only move elements are keyed."""
    return f"x{8 * dtype.size}"


def candidates(inputs: Sequence[DType], outputs: Sequence[DType]) -> Iterator[str]:
    """Suffixes that a kernel for these types may have, the most exact first."""
    first_in = inputs[0] if inputs else None
    first_out = outputs[0] if outputs else None
    if first_in is not None and first_out is not None:
        yield f"{first_in.short}_{first_out.short}"
    if first_in is not None:
        yield first_in.short
    for dtype in inputs[1:]:
        yield dtype.short
    if first_out is not None:
        yield first_out.short
    for moved in (*outputs[:1], *inputs):
        if moved in RUNTIME_TYPES:
            yield width_suffix(moved)
