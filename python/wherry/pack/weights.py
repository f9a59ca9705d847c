"""Brings weights into the layout that the inner loops read: panels of 16 columns, or plain row-major order.

A kernel that multiplies sees its weight as a matrix [K, N] in panels [ceil(N / 16)][K][16]:

8-bit codes, but for those of depthwise filters, lie in quads `[ceil(N / 16)][ceil(K / 4)][16][4]`, with the sum of each
column's codes in the place of offsets. Codes of 16 bits have two such panels in the place of each, see `planes_of`.

| op | weight | matrix | channels |
| --- | --- | --- | --- |
| Conv2D | [kh, kw, in, out] | [kh * kw * in, out] | out |
| DepthwiseConv2dNative | [kh, kw, in, multiplier] | [kh * kw, in * multiplier] | in * multiplier |
| Conv2DBackpropInput | [kh, kw, out, in] | [in, kh * kw * out] | kh * kw * out, repeating with period out |
| MatMul | [K, N], or [N, K] when transposed | [K, N] | N |

Scales and offsets are always expanded to one per column.
"""

from __future__ import annotations

import numpy as np

from wherry.errors import PackError
from wherry.graph.values import QuantizedValue, Value
from wherry.pack.bits import pack_bits, packed_group_bytes, unpack_bits
from wherry.pack.float28 import pack_float28
from wherry.pack.stored import PANEL_WIDTH, QUAD, TAP_CHANNELS, Layout, StoredWeight, WeightFormat

PANEL_OPS = {
    "Conv2D": "Conv2D",
    "_FusedConv2D": "Conv2D",
    "FusedConv2D": "Conv2D",
    "FusedConv2DAdd": "Conv2D",
    "DepthwiseConv2dNative": "DepthwiseConv2dNative",
    "_FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "Conv2DBackpropInput": "Conv2DBackpropInput",
    "FusedConv2DBackpropInput": "Conv2DBackpropInput",
    "QLinearDepthwiseConv2d": "QLinearDepthwiseConv2d",
    "MatMul": "MatMul",
    "_FusedMatMul": "MatMul",
}
_DEPTHWISE = ("DepthwiseConv2dNative", "QLinearDepthwiseConv2d")
_FORMATS = {
    "float16": WeightFormat.FLOAT16, "int8": WeightFormat.INT8, "int16": WeightFormat.INT16,
    "minmax": WeightFormat.MINMAX,
}  # fmt: skip
_LSTM_GATES = 4
_HIGH_STEP = 255  # kHighStep of cpp/math/qgemm.h
_SCALED = (WeightFormat.INT8, WeightFormat.INT16, WeightFormat.MINMAX)


def planes_of(codes: np.ndarray) -> list[np.ndarray]:
    """Codes of 16 bits as bytes: 255 * high + low, both from -127 to 127."""
    high = np.rint(codes / np.float32(_HIGH_STEP)).astype(np.int8)
    return [high, (codes - _HIGH_STEP * high.astype(np.int16)).astype(np.int8)]


def pack_weight(op: str, value: Value, *, transpose: bool = False, name: str = "weight") -> StoredWeight:
    """The weight of one op (a name of PANEL_OPS) in panels.

    value: float32 (stored plain), or a QuantizedValue whose axis is the op's output channels, or None.
    transpose: for MatMul, the value is [N, K]; the stored weight is [K, N].
    Raises PackError for a shape or an axis that does not fit the op.
    """
    kind = PANEL_OPS.get(op)
    if kind is None:
        raise PackError(f"{name}: {op} does not take a weight in panels; use one of {', '.join(sorted(PANEL_OPS))}")
    elements, weight_format, bits = _elements(value, name)
    rank = 2 if kind == "MatMul" else 4
    if elements.ndim != rank:
        raise PackError(f"{name}: a weight of {op} has {rank} dimensions, not {elements.ndim}")
    matrix = _matrix(kind, elements, transpose)
    layout = _layout(kind, weight_format, name)
    planes = planes_of(matrix) if weight_format == WeightFormat.INT16 else [matrix]
    if layout is Layout.TAP_QUADS:
        data = _tap_quads(elements)
    else:
        data = _panels(matrix, weight_format, bits) if layout is Layout.PANELS else _quads(*planes)
    stored = StoredWeight(
        data=data,
        shape=matrix.shape if kind == "MatMul" else elements.shape,
        layout=layout,
        format=weight_format,
        bits=bits,
        axis=1 if kind == "MatMul" else 2 if kind == "Conv2DBackpropInput" else 3,
        channels=matrix.shape[1],
    )
    if isinstance(value, QuantizedValue) and weight_format in _SCALED:
        stored.scale = _per_column(kind, value, value.scale, matrix.shape[1], transpose, name)
        if weight_format == WeightFormat.MINMAX:
            offset = np.zeros(1, np.float32) if value.offset is None else value.offset
            stored.offset = _per_column(kind, value, offset, matrix.shape[1], transpose, name)
    if layout.has_sums:
        sums = [plane.sum(axis=0, dtype=np.int64).astype(np.float32) for plane in planes]
        padded = [np.pad(part, (0, -len(part) % PANEL_WIDTH)) for part in sums[:-1]]
        stored.offset = np.concatenate([*padded, sums[-1]])
    return stored


def _layout(kind: str, weight_format: WeightFormat, name: str) -> Layout:
    if kind == "QLinearDepthwiseConv2d":
        if weight_format != WeightFormat.INT8:
            raise PackError(f"{name}: a depthwise filter in whole numbers must be int8; quantize it first")
        return Layout.TAP_QUADS
    if weight_format == WeightFormat.INT16 and kind not in ("Conv2D", "MatMul"):
        raise PackError(f"{name}: {kind} has no weights in codes of 16 bits; take int8, or float16")
    quads = weight_format in (WeightFormat.INT8, WeightFormat.INT16) and kind != "DepthwiseConv2dNative"
    return Layout.QUADS if quads else Layout.PANELS


def pack_row_major(value: Value, name: str = "weight") -> StoredWeight:
    """A weight that is read by rows (Gather) or whole, in its own order; channels along the value's axis."""
    elements, weight_format, bits = _elements(value, name)
    if weight_format == WeightFormat.INT16:
        raise PackError(f"{name}: weights in codes of 16 bits are for products only; take minmax:16, or float16")
    flat = np.ascontiguousarray(elements).reshape(-1)
    if weight_format == WeightFormat.MINMAX and bits not in (8, 16):
        padded = np.zeros((-(-flat.size // PANEL_WIDTH), PANEL_WIDTH), flat.dtype)
        padded.reshape(-1)[: flat.size] = flat
        flat = pack_bits(padded, bits)
    stored = StoredWeight(flat.tobytes(), elements.shape, Layout.ROW_MAJOR, weight_format, bits)
    if isinstance(value, QuantizedValue) and weight_format in (WeightFormat.INT8, WeightFormat.MINMAX):
        stored.axis = max(elements.ndim - 1, 0) if value.axis is None else value.axis
        stored.channels = elements.shape[stored.axis] if elements.ndim else 1
        stored.scale = _expand(value.scale, stored.channels, name)
        if weight_format == WeightFormat.MINMAX:
            offset = np.zeros(1, np.float32) if value.offset is None else value.offset
            stored.offset = _expand(offset, stored.channels, name)
    return stored


def pack_recurrent(value: Value) -> StoredWeight:
    """An LSTM's weight [inputs + units, 4 * units], with units a multiple of 16.

    int8 has sums of the input's rows beside those of whole columns; of float32 those of the state are in 28 bits.
    """
    if isinstance(value, QuantizedValue):
        stored = pack_weight("MatMul", value)
        assert stored.offset is not None
        rows, columns = stored.shape
        stored.split = rows - columns // _LSTM_GATES
        sums = value.codes[: stored.split].sum(axis=0, dtype=np.int64).astype(np.float32)
        stored.offset = np.concatenate([stored.offset, sums])
        return stored
    weight = np.ascontiguousarray(value.numpy())
    return StoredWeight(
        pack_float28(weight), weight.shape, Layout.PANELS, WeightFormat.FLOAT28, 28, axis=1, channels=weight.shape[1]
    )


def unpack_weight(op: str, stored: StoredWeight) -> np.ndarray:
    """float32 in the stored shape, from panels: what the kernel computes with."""
    kind = PANEL_OPS[op]
    shape = stored.shape
    if kind == "Conv2DBackpropInput":
        depth, columns = shape[3], shape[0] * shape[1] * shape[2]
    elif kind == "DepthwiseConv2dNative":
        depth, columns = shape[0] * shape[1], shape[2] * shape[3]
    else:
        depth, columns = int(np.prod(shape[:-1])), shape[-1]
    panels = -(-columns // PANEL_WIDTH)
    codes: np.ndarray
    if stored.format == WeightFormat.MINMAX:
        packed = np.frombuffer(stored.data, np.uint8).reshape(panels * depth, packed_group_bytes(stored.bits))
        codes = unpack_bits(packed, stored.bits)
    else:
        types = {WeightFormat.PLAIN: np.float32, WeightFormat.FLOAT16: np.float16, WeightFormat.INT8: np.int8}
        codes = np.frombuffer(stored.data, types.get(WeightFormat(stored.format), np.int8))
    if stored.format == WeightFormat.INT16:
        high, low = codes.reshape(panels, 2, -1).astype(np.float32).transpose(1, 0, 2)
        codes = _HIGH_STEP * high + low
    if stored.layout == Layout.QUADS:
        quads = codes.reshape(panels, -1, PANEL_WIDTH, QUAD)
        matrix = quads.transpose(1, 3, 0, 2).reshape(-1, panels * PANEL_WIDTH)[:depth, :columns]
    else:
        matrix = codes.reshape(panels, depth, PANEL_WIDTH).transpose(1, 0, 2).reshape(depth, -1)[:, :columns]
    matrix = matrix.astype(np.float32)
    if stored.scale is not None:
        matrix *= stored.scale
    if stored.offset is not None and stored.layout != Layout.QUADS:
        matrix += stored.offset
    if kind == "Conv2DBackpropInput":
        matrix = matrix.T
    return np.ascontiguousarray(matrix).reshape(shape)


def _elements(value: Value, name: str) -> tuple[np.ndarray, WeightFormat, int]:
    """Codes or floats in the tensor's shape, their format, and bits per code."""
    if isinstance(value, QuantizedValue):
        if value.format == "minmax" and not 2 <= value.bits <= 16:
            raise PackError(f"{name}: minmax codes have 2 to 16 bits, not {value.bits}")
        bits = {"float16": 16, "int16": 16, "int8": 8}.get(value.format, value.bits)
        return value.codes, _FORMATS[value.format], bits
    array = value.numpy()
    if array.dtype != np.float32:
        raise PackError(f"{name}: a weight must be float32, not {array.dtype}")
    return array, WeightFormat.PLAIN, 0


def _matrix(kind: str, elements: np.ndarray, transpose: bool) -> np.ndarray:
    """The weight as [K, N]: a view wherever numpy can."""
    if kind == "MatMul":
        return elements.T if transpose else elements
    a, b, c, d = elements.shape
    if kind in _DEPTHWISE:
        return elements.reshape(a * b, c * d)
    if kind == "Conv2DBackpropInput":
        return elements.reshape(a * b * c, d).T
    return elements.reshape(a * b * c, d)


def _panels(matrix: np.ndarray, weight_format: WeightFormat, bits: int) -> bytes:
    depth, columns = matrix.shape
    whole, rest = divmod(columns, PANEL_WIDTH)
    panels = np.empty((whole + (rest > 0), depth, PANEL_WIDTH), matrix.dtype)
    by_panel = matrix[:, : whole * PANEL_WIDTH].reshape(depth, whole, PANEL_WIDTH)
    np.copyto(panels[:whole], by_panel.transpose(1, 0, 2))
    if rest:
        panels[whole, :, :rest] = matrix[:, whole * PANEL_WIDTH :]
        panels[whole, :, rest:] = 0
    if weight_format == WeightFormat.MINMAX:
        return pack_bits(panels.reshape(-1, PANEL_WIDTH), bits).tobytes()
    return panels.tobytes()


def _quads(*planes: np.ndarray) -> bytes:
    depth, columns = planes[0].shape
    panels, groups = -(-columns // PANEL_WIDTH), -(-depth // QUAD)
    apart = []
    for codes in planes:
        if (depth, columns) != (groups * QUAD, panels * PANEL_WIDTH):
            padded = np.zeros((groups * QUAD, panels * PANEL_WIDTH), codes.dtype)
            padded[:depth, :columns] = codes
            codes = padded
        apart.append(codes.reshape(groups, QUAD, panels, PANEL_WIDTH).transpose(2, 0, 3, 1))
    return apart[0].tobytes() if len(apart) == 1 else np.stack(apart, axis=1).tobytes()


def _tap_quads(codes: np.ndarray) -> bytes:
    """[kh, kw, C, 1] as [ceil(C / 64)][kw][quads][4 q][4 b][4 c][4 t]: channel 16 b + 4 q + c, row 4 quad + t."""
    height, width, channels = codes.shape[:3]
    blocks, quads = -(-channels // TAP_CHANNELS), -(-height // QUAD)
    padded = np.zeros((quads * QUAD, width, blocks * TAP_CHANNELS), codes.dtype)
    padded[:height, :, :channels] = codes[:, :, :, 0]
    # quad, t, kx, block, b, q, c
    apart = padded.reshape(quads, QUAD, width, blocks, 4, 4, 4)
    return apart.transpose(3, 2, 0, 5, 4, 6, 1).tobytes()


def _expand(values: np.ndarray, channels: int, name: str) -> np.ndarray:
    if values.size not in (1, channels):
        raise PackError(f"{name}: {values.size} scales or offsets for {channels} channels")
    return np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (channels,)), np.float32)


def _per_column(
    kind: str, value: QuantizedValue, values: np.ndarray, columns: int, transpose: bool, name: str
) -> np.ndarray:
    """Scales or offsets, one for each column of the matrix."""
    values = values.reshape(-1)
    if value.axis is None or values.size == 1:
        return _expand(values[:1], columns, name)
    shape = value.codes.shape
    axis = value.axis % len(shape)
    if kind == "MatMul" and axis == (0 if transpose else 1):
        return _expand(values, columns, name)
    if kind == "Conv2D" and axis == 3:
        return _expand(values, columns, name)
    if kind == "Conv2DBackpropInput" and axis == 2:
        return np.tile(_expand(values, shape[2], name), shape[0] * shape[1])
    if kind in _DEPTHWISE and axis in (2, 3):
        if values.size == columns:
            return _expand(values, columns, name)
        if axis == 2:
            return np.repeat(_expand(values, shape[2], name), shape[3])
        return np.tile(_expand(values, shape[3], name), shape[2])
    raise PackError(f"{name}: channels of a {kind} weight do not run along dimension {axis}; quantize it per tensor")
