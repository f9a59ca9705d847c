"""Cuts layers with large weights into steps that each compute some columns of the same output.

The memory for streamed weights must hold all weights of a step, so the largest layer would set the smallest budget. The
sum of a column does not depend on which columns are computed with it: cutting changes no bit. Bias, scales and sums of
codes are cut with the weight. Runs after addresses are planned, which stay what they are: the steps of a layer follow
one another, and its output lives from the first of them on.

Recurrent layers read all their weights at every time step, so cutting them would save nothing. Grouped, depthwise and
transposed convolutions stay whole too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wherry.graph import ArrayValue, QuantizedValue, TensorType, Value
from wherry.ops.rules import WeightUse
from wherry.plan.program import Program, ProgramTensor, Step, Weight
from wherry.plan.weight_size import stored_bytes

# Attribute of a step that computes a part of its output's columns: the first of them.
FIRST_COLUMN = "first_column"
# About what a part takes, from three quarters to one and a half of it. Smaller ones cost more than they save: each
# quantizes or transforms the layer's input again and fetches its first weights with nothing to do meanwhile. With parts
# of half to all of it, ResNet50 took 1.2 % longer, and its smallest budget was 5 % less.
PART_BYTES = 4 << 20
# Parts are multiples of so many columns, four panels, so that four threads share each.
COLUMNS = 64

_OPS = frozenset({
    "Conv2D", "_FusedConv2D", "FusedConv2D", "FusedConv2DAdd", "MatMul", "_FusedMatMul", "QLinearConv2d",
    "QLinearConv2dAdd", "QLinearMatMul",
})  # fmt: skip
_AXES = {WeightUse.FILTER: -1, WeightUse.MATRIX: -1, WeightUse.MATRIX_TRANSPOSED: 0}  # of the columns


def slice_columns(program: Program) -> None:
    """Cuts every layer that is too large. A weight that several steps share keeps being one for each part."""
    cutter = _Cutter()
    steps: list[Step] = []
    for step in program.steps:
        steps += cutter.parts_of(step) or [step]
    program.steps = steps


def _cuts(step: Step) -> list[tuple[int, int]]:
    """The columns of each part; none for a step that stays whole."""
    weight = step.inputs[1].weight if step.op in _OPS else None
    if weight is None or weight.use not in _AXES or 2 * weight.stored_bytes < 3 * PART_BYTES:
        return []
    filter_shape = step.inputs[1].shape
    columns = filter_shape[-1]
    grouped = weight.use is WeightUse.FILTER and step.inputs[0].shape[-1] != filter_shape[-2]
    units = -(-columns // COLUMNS)
    count = min((weight.stored_bytes + PART_BYTES // 2) // PART_BYTES, units)
    by_column = all(_is_by_column(tensor, columns) for tensor in step.inputs[2:] if len(tensor.shape) == 1)
    if grouped or count < 2 or not by_column or not _channels_are_columns(weight):
        return []
    ends = [min(-(-units * (i + 1) // count) * COLUMNS, columns) for i in range(count)]
    return list(zip([0, *ends], ends, strict=False))


def _is_by_column(tensor: ProgramTensor, columns: int) -> bool:
    return tensor.weight is not None and tensor.weight.use is WeightUse.PLAIN and tensor.shape == (columns,)


def _channels_are_columns(weight: Weight) -> bool:
    """Whether the scales of a quantized weight are cut as its columns are, or are the same for all."""
    value = weight.value
    if not isinstance(value, QuantizedValue) or value.axis is None:
        return True
    return (value.axis - _AXES[weight.use]) % value.codes.ndim == 0


def computed_shape(output: Sequence[int], weight: Sequence[int]) -> tuple[int, ...]:
    """What of its output's shape a step with FIRST_COLUMN computes."""
    return (*output[:-1], weight[-1])


class _Cutter:
    """Makes the parts of steps; of a weight each part once."""

    def __init__(self) -> None:
        self.tensors: dict[tuple[int, int, int], ProgramTensor] = {}
        self.held: dict[int, Value] = {}

    def parts_of(self, step: Step) -> list[Step]:
        cuts = _cuts(step)
        return [self._part(step, begin, end, len(cuts)) for begin, end in cuts]

    def _part(self, step: Step, begin: int, end: int, count: int) -> Step:
        inputs = [
            # a residual, which is no weight, has the output's shape
            self._columns(tensor, tensor.weight, begin, end, count) if tensor.weight is not None else tensor
            for tensor in step.inputs
        ]
        name = f"{step.name}[{begin}:{end}]"
        return replace(step, name=name, inputs=inputs, attrs={**step.attrs, FIRST_COLUMN: begin})

    def _columns(self, tensor: ProgramTensor, weight: Weight, begin: int, end: int, count: int) -> ProgramTensor:
        key = (id(weight), begin, end)
        if key not in self.tensors:
            in_memory = isinstance(weight.value, QuantizedValue | ArrayValue)
            whole = weight.value if in_memory else self.held.setdefault(id(weight), _HeldValue(weight.value, count))
            value = columns_of(whole, _AXES.get(weight.use, -1), begin, end)
            cut = Weight(value, weight.use, weight.resident, stored_bytes(value, weight.use))
            shape = (*tensor.shape[:-1], end - begin)
            self.tensors[key] = ProgramTensor(f"{tensor.name}[{begin}:{end}]", tensor.dtype, shape, weight=cut)
        return self.tensors[key]


def columns_of(value: Value, axis: int, begin: int, end: int) -> Value:
    """The part of a value from `begin` to `end` along an axis, scales and offsets with it. Copies nothing."""
    dims = value.type.shape or ()
    axis %= len(dims)
    index = (*(slice(None) for _ in dims[:axis]), slice(begin, end))
    kind = TensorType(value.type.dtype, (*dims[:axis], end - begin, *dims[axis + 1 :]))
    if not isinstance(value, QuantizedValue):
        return _ColumnsValue(kind, value, index)

    def cut(array: np.ndarray) -> np.ndarray:
        return array[begin:end] if value.axis is not None and array.size > 1 else array

    offset = None if value.offset is None else cut(value.offset)
    return replace(value, type=kind, codes=value.codes[index], scale=cut(value.scale), offset=offset)


@dataclass(eq=False)
class _ColumnsValue(Value):
    """A part of a value."""

    type: TensorType
    whole: Value
    index: tuple[slice, ...]

    def numpy(self) -> np.ndarray:
        return np.ascontiguousarray(self.whole.numpy()[self.index])


class _HeldValue(Value):
    """A value that is read from a file for the first of its parts, and kept for the others: a pack takes each once."""

    def __init__(self, value: Value, parts: int) -> None:
        self.type = value.type
        self._value = value
        self._parts = self._left = parts
        self._array: np.ndarray | None = None

    def numpy(self) -> np.ndarray:
        array = self._value.numpy() if self._array is None else self._array
        self._left -= 1
        self._array = array if self._left > 0 else None
        self._left = self._left or self._parts
        return array
