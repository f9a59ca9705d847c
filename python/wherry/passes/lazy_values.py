"""Values computed from other values when they are asked for, so that only one large weight is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wherry.graph import DType, TensorType, Value


class DerivedValue(Value):
    """The result of a numpy function of other values; computed anew by every `numpy()`."""

    def __init__(self, type_: TensorType, compute: Callable[..., np.ndarray], *sources: Value) -> None:
        self.type = type_
        self._compute = compute
        self._sources = sources

    def numpy(self) -> np.ndarray:
        array = self._compute(*(source.numpy() for source in self._sources))
        assert array.shape == self.type.shape, f"derived value has shape {array.shape}, not {self.type.shape}"
        return np.ascontiguousarray(array, dtype=self.type.dtype.numpy)


def reshaped(source: Value, shape: tuple[int, ...]) -> Value:
    return DerivedValue(TensorType(source.type.dtype, shape), lambda a: a.reshape(shape), source)


def transposed(source: Value, permutation: list[int]) -> Value:
    assert source.type.shape is not None
    shape = tuple(source.type.shape[axis] for axis in permutation)
    return DerivedValue(TensorType(source.type.dtype, shape), lambda a: a.transpose(permutation), source)


def cast(source: Value, dtype: DType) -> Value:
    return DerivedValue(TensorType(dtype, source.type.shape), lambda a: a.astype(dtype.numpy), source)


def scaled(source: Value, factors: np.ndarray) -> Value:
    """The value times float64 `factors`, which broadcast to its shape; multiplied in float64, rounded once."""
    return DerivedValue(source.type, lambda a: a.astype(np.float64) * factors, source)
