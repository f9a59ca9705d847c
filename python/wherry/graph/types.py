"""Element types and shapes, as TensorFlow numbers and names them, without importing TensorFlow."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

# A dimension that is not known is None; a shape whose rank is not known is None.
Shape = tuple[int | None, ...] | None


class DType(enum.IntEnum):
    """TensorFlow's DataType numbers (tensorflow/core/framework/types.proto)."""

    INVALID = 0
    FLOAT = 1
    DOUBLE = 2
    INT32 = 3
    UINT8 = 4
    INT16 = 5
    INT8 = 6
    STRING = 7
    COMPLEX64 = 8
    INT64 = 9
    BOOL = 10
    QINT8 = 11
    QUINT8 = 12
    QINT32 = 13
    BFLOAT16 = 14
    QINT16 = 15
    QUINT16 = 16
    UINT16 = 17
    COMPLEX128 = 18
    HALF = 19
    RESOURCE = 20
    VARIANT = 21
    UINT32 = 22
    UINT64 = 23

    @property
    def short(self) -> str:
        """The name in kernel keys: f32, i8, b1 ..."""
        return _SHORT.get(self, self.name.lower())

    @property
    def numpy(self) -> np.dtype:
        """The numpy type. Raises KeyError for types that numpy does not have."""
        return np.dtype(_NUMPY[self])

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @classmethod
    def from_numpy(cls, dtype: np.dtype | type) -> DType:
        name = np.dtype(dtype).name
        for member, numpy_name in _NUMPY.items():
            if numpy_name == name:
                return member
        if name.startswith("str") or name.startswith("bytes") or name == "object":
            return cls.STRING
        raise KeyError(f"no TensorFlow type for numpy's {name}")


_SHORT = {
    DType.FLOAT: "f32", DType.DOUBLE: "f64", DType.HALF: "f16", DType.BFLOAT16: "bf16", DType.INT8: "i8",
    DType.UINT8: "u8", DType.INT16: "i16", DType.UINT16: "u16", DType.INT32: "i32", DType.UINT32: "u32",
    DType.INT64: "i64", DType.UINT64: "u64", DType.BOOL: "b1",
}
_NUMPY = {
    DType.FLOAT: "float32", DType.DOUBLE: "float64", DType.HALF: "float16", DType.INT8: "int8",
    DType.UINT8: "uint8", DType.INT16: "int16", DType.UINT16: "uint16", DType.INT32: "int32",
    DType.UINT32: "uint32", DType.INT64: "int64", DType.UINT64: "uint64", DType.BOOL: "bool",
    DType.COMPLEX64: "complex64", DType.COMPLEX128: "complex128",
}


class FuncName(str):
    """The name of a function in the graph's library, as the value of an attribute such as `body`.

    attrs: attributes bound by the call; nearly always empty.
    """

    attrs: Mapping[str, Any] = MappingProxyType({})


class TensorType(NamedTuple):
    """Element type and shape of a tensor."""

    dtype: DType
    shape: Shape

    @property
    def is_static(self) -> bool:
        return self.shape is not None and all(d is not None for d in self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of a static tensor. Raises ValueError when a dimension is unknown."""
        count = 1
        if self.shape is None:
            raise ValueError("the rank is unknown")
        for d in self.shape:
            if d is None:
                raise ValueError(f"a dimension of {self.shape} is unknown")
            count *= d
        return count * self.dtype.size

    def __str__(self) -> str:
        dims = "unknown" if self.shape is None else "x".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.dtype.short}[{dims}]"
