"""The types part of a kernel's key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wherry.graph import DType


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
    for moved in (first_out, first_in, *inputs[1:]):
        if moved is not None and moved not in (DType.STRING, DType.RESOURCE, DType.VARIANT):
            yield width_suffix(moved)
