"""Values of constants. They are read when asked for, so a model of any size loads tensor by tensor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from wherry.graph.types import DType, TensorType


class Value(ABC):
    """What a Const node holds. `numpy()` may read from disk each time; keep the result only while needed."""

    type: TensorType

    @abstractmethod
    def numpy(self) -> np.ndarray:
        """The value in full precision, row-major. The caller must not write to it."""

    @property
    def nbytes(self) -> int:
        return self.type.nbytes


class ArrayValue(Value):
    """A value that is already in memory."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.asarray(array)
        self.type = TensorType(DType.from_numpy(self.array.dtype), self.array.shape)

    def numpy(self) -> np.ndarray:
        return self.array


@dataclass(eq=False)
class QuantizedValue(Value):
    """Codes and what turns them back: value = offset[c] + scale[c] * code, in float32.

    codes: unsigned (minmax) or signed (int8, int16) integers, or float16, in the shape of the tensor.
    scale, offset: float32, shape [channels], or [1] per tensor; offset is None where it is zero.
    axis: the dimension of `codes` that channels run along; None per tensor.
    format: "int8", "int16", "minmax" or "float16" (scale and offset unused).
    bits: code width for minmax, 2..16; 8 for int8; 16 for int16 and float16.
    """

    type: TensorType
    codes: np.ndarray
    scale: np.ndarray
    offset: np.ndarray | None
    axis: int | None
    format: str
    bits: int

    def numpy(self) -> np.ndarray:
        if self.format == "float16":
            return self.codes.astype(np.float32)
        shape = [1] * self.codes.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        value = self.codes.astype(np.float32) * self.scale.reshape(shape)
        if self.offset is not None:
            value += self.offset.reshape(shape)
        return value
