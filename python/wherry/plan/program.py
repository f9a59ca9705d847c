"""A program: what a pack holds, before bytes are laid out. Steps in execution order over typed tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wherry.graph import DType, Value
from wherry.ops.rules import WeightUse


@dataclass(eq=False)
class Storage:
    """Memory that one or more tensors share: a block of the arena, or an input of the caller.

    external: the number of the signature's input that it belongs to, or None for the arena.
    first, last: the steps that it must live through (first is where it is written; -1: before the first step).
    offset: in the arena, a multiple of 64; set by `plan.arena`.
    """

    nbytes: int
    external: int | None = None
    first: int = -1
    last: int = -1
    offset: int = 0


@dataclass(eq=False)
class Weight:
    """A constant as its consumer reads it. `resident` ones are small and stay in memory; others are streamed."""

    value: Value
    use: WeightUse
    resident: bool
    stored_bytes: int  # what it will take in the pack, scales included


@dataclass(eq=False)
class ProgramTensor:
    """name: node:index of the graph. Exactly one of storage and weight is set, or neither: nobody reads it.

    offset: bytes from the storage's start, where it is a part of another tensor.
    base: the tensor of whose rows (its last dimension) this one is some columns; None where it lies without gaps.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    storage: Storage | None = None
    weight: Weight | None = None
    offset: int = 0
    base: ProgramTensor | None = None

    @property
    def nbytes(self) -> int:
        """Of its elements."""
        return math.prod(self.shape) * self.dtype.size

    @property
    def span(self) -> int:
        """Bytes from its first element to the end of its last."""
        if self.base is None or not self.nbytes:
            return self.nbytes
        rows, columns = math.prod(self.shape[:-1]), self.shape[-1]
        return ((rows - 1) * self.base.shape[-1] + columns) * self.dtype.size

    @property
    def is_whole(self) -> bool:
        """Whether it is all that its storage holds."""
        return self.base is None and self.storage is not None and self.nbytes == self.storage.nbytes

    def overlaps(self, other: ProgramTensor) -> bool:
        """Whether they may share bytes. They have the same storage."""
        if self.offset >= other.offset + other.span or other.offset >= self.offset + self.span:
            return False
        if self.base is None or self.base is not other.base:
            return True
        pitch = self.base.shape[-1] * self.dtype.size
        columns = self.shape[-1] * self.dtype.size, other.shape[-1] * self.dtype.size
        return (other.offset - self.offset) % pitch < columns[0] or (self.offset - other.offset) % pitch < columns[1]


@dataclass(eq=False)
class Step:
    """One call of a kernel."""

    name: str
    op: str
    kernel: str
    inputs: list[ProgramTensor]
    outputs: list[ProgramTensor]
    attrs: Mapping[str, Any]

    @property
    def weights(self) -> list[Weight]:
        """The streamed weights that this step reads."""
        return [t.weight for t in self.inputs if t.weight is not None and not t.weight.resident]

    @property
    def weight_bytes(self) -> int:
        """Of the streamed weights, each once."""
        return sum({id(weight): weight.stored_bytes for weight in self.weights}.values())


@dataclass(eq=False)
class Program:
    name: str
    inputs: dict[str, ProgramTensor]
    outputs: dict[str, ProgramTensor]
    steps: list[Step] = field(default_factory=list)
    arena_bytes: int = 0
    arena_lower_bound: int = 0  # the largest set of bytes that live at one time
    order_lower_bound: int = 0  # bytes that live at some moment in every order of the steps

    @property
    def weight_bytes(self) -> int:
        seen: dict[int, int] = {}
        for step in self.steps:
            for tensor in step.inputs:
                if tensor.weight is not None:
                    seen[id(tensor.weight)] = tensor.weight.stored_bytes
        return sum(seen.values())
