"""AttrValue and TensorProto <-> plain Python values, losing nothing.

| AttrValue          | Python                                                           |
| ------------------ | ---------------------------------------------------------------- |
| s, i, f, b         | bytes, int, float, bool                                          |
| type               | DType                                                            |
| shape              | ShapeAttr                                                        |
| tensor             | numpy array (strings: an object array of bytes)                  |
| func               | FuncName, with the call's own attributes in `FuncName.attrs`     |
| list               | list of these                                                    |
| anything else      | the AttrValue itself: exotic types, placeholders of generic functions |
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wherry.graph.graph import ShapeAttr
from wherry.graph.types import DType, FuncName, TensorType
from wherry.graph.values import ArrayValue, Value

_KNOWN = frozenset(int(member) for member in DType)


class ProtoValue(Value):
    """A tensor of a type that numpy lacks (bfloat16, quantized types), kept as the TensorProto it came as."""

    def __init__(self, proto: Any) -> None:
        self.proto = type(proto)()
        self.proto.CopyFrom(proto)
        self.type = TensorType(DType(proto.dtype), tuple(dim.size for dim in proto.tensor_shape.dim))

    def numpy(self) -> np.ndarray:
        from tensorflow.python.framework import tensor_util

        return np.asarray(tensor_util.MakeNdarray(self.proto))


def shape_from_proto(proto: Any) -> ShapeAttr:
    if proto.unknown_rank:
        return ShapeAttr(None)
    return ShapeAttr(tuple(None if dim.size < 0 else int(dim.size) for dim in proto.dim))


def shape_to_proto(shape: ShapeAttr, proto: Any) -> None:
    """Fills in a TensorShapeProto."""
    if shape.dims is None:
        proto.unknown_rank = True
        return
    proto.SetInParent()
    for size in shape.dims:
        proto.dim.add().size = -1 if size is None else size


def value_from_proto(proto: Any) -> Value:
    """The Value of a TensorProto. Raises ValueError when the proto is inconsistent, KeyError for an unknown
    type."""
    from tensorflow.python.framework import tensor_util

    try:
        DType(proto.dtype).numpy  # noqa: B018
    except KeyError:
        if proto.dtype != DType.STRING:
            return ProtoValue(proto)
    return ArrayValue(tensor_util.MakeNdarray(proto))


def value_to_proto(value: Value, proto: Any) -> None:
    """Fills in a TensorProto."""
    if isinstance(value, ProtoValue):
        proto.CopyFrom(value.proto)
        return
    array_to_proto(value.numpy(), proto, value.type.dtype)


def array_to_proto(array: np.ndarray, proto: Any, dtype: DType | None = None) -> None:
    """Fills in a TensorProto from a numpy array; strings may be an object array or numpy's own string
    types."""
    dtype = DType.from_numpy(array.dtype) if dtype is None else dtype
    proto.dtype = int(dtype)
    shape_to_proto(ShapeAttr(tuple(array.shape)), proto.tensor_shape)
    if dtype is DType.STRING:
        proto.string_val.extend(
            item if isinstance(item, bytes) else str(item).encode() for item in np.ravel(array).tolist()
        )
    else:
        proto.tensor_content = np.ascontiguousarray(array).tobytes()


def attr_from_proto(attr: Any) -> Any:
    """The Python value of an AttrValue."""
    kind = attr.WhichOneof("value")
    if kind in ("s", "i", "f", "b"):
        return getattr(attr, kind)
    if kind == "type":
        return DType(attr.type) if attr.type in _KNOWN else attr
    if kind == "shape":
        return shape_from_proto(attr.shape)
    if kind == "func":
        return _function_name(attr.func)
    if kind == "tensor":
        value = value_from_proto(attr.tensor)
        return value.numpy() if isinstance(value, ArrayValue) else attr
    if kind == "list":
        return _list_from_proto(attr)
    return attr


def _list_from_proto(attr: Any) -> Any:
    content = attr.list
    for kind in ("s", "i", "f", "b"):
        items = getattr(content, kind)
        if items:
            return list(items)
    if content.type:
        return (
            [DType(item) for item in content.type] if all(item in _KNOWN for item in content.type) else attr
        )
    if content.shape:
        return [shape_from_proto(item) for item in content.shape]
    if content.func:
        return [_function_name(item) for item in content.func]
    if content.tensor:
        values = [value_from_proto(item) for item in content.tensor]
        return [value.numpy() for value in values] if all(isinstance(v, ArrayValue) for v in values) else attr
    return []


def _function_name(proto: Any) -> FuncName:
    name = FuncName(proto.name)
    if proto.attr:
        name.attrs = {key: attr_from_proto(item) for key, item in proto.attr.items()}
    return name


def attr_to_proto(value: Any, attr: Any) -> None:
    """Fills in an AttrValue. Raises TypeError for a value that no kind of attribute takes."""
    if isinstance(value, (list, range)) or type(value) is tuple:
        attr.list.SetInParent()
        for item in value:
            _add_item(item, attr.list)
    elif isinstance(value, type(attr)):
        attr.CopyFrom(value)
    elif isinstance(value, ShapeAttr):
        attr.shape.SetInParent()
        shape_to_proto(value, attr.shape)
    elif isinstance(value, FuncName):
        _fill_function(value, attr.func)
    elif isinstance(value, np.ndarray):
        array_to_proto(value, attr.tensor)
    elif isinstance(value, Value):
        value_to_proto(value, attr.tensor)
    else:
        kind, plain = _scalar(value)
        setattr(attr, kind, plain)


def _add_item(item: Any, content: Any) -> None:
    if isinstance(item, ShapeAttr):
        shape_to_proto(item, content.shape.add())
    elif isinstance(item, FuncName):
        _fill_function(item, content.func.add())
    elif isinstance(item, np.ndarray):
        array_to_proto(item, content.tensor.add())
    else:
        kind, plain = _scalar(item)
        getattr(content, kind).append(plain)


def _fill_function(name: FuncName, proto: Any) -> None:
    proto.name = str(name)
    for key, item in name.attrs.items():
        attr_to_proto(item, proto.attr[key])


def _scalar(value: Any) -> tuple[str, Any]:
    """The field of AttrValue (and of its list) that takes a value, and the value as it goes in."""
    if isinstance(value, (bool, np.bool_)):
        return "b", bool(value)
    if isinstance(value, DType):
        return "type", int(value)
    if isinstance(value, (int, np.integer)):
        return "i", int(value)
    if isinstance(value, (float, np.floating)):
        return "f", float(value)
    if isinstance(value, bytes):
        return "s", value
    if isinstance(value, str):
        return "s", value.encode()
    raise TypeError(f"no attribute takes a {type(value).__name__}")
