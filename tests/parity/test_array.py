"""Kernels that move, make and look up elements, against TensorFlow. Everything here is exact."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from harness import run_kernel, untested
from tolerance import assert_exact, assert_sums
from wherry.graph import DType, TensorType
from wherry.graph.values import QuantizedValue
from wherry.pack.stored import StoredWeight
from wherry.pack.weights import pack_row_major

WIDTHS = {"x8": np.uint8, "x16": np.float16, "x32": np.float32, "x64": np.int64}
THREE = ["x8", "x32", "x64"]
Shape = tuple[int, ...]


def operand(width: str, shape: Shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(WIDTHS[width])


def ints(*values: Any, dtype: type = np.int32) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, dtype)


def tensorflow(op: str, **arguments: Any) -> Any:
    import tensorflow as tf

    result = getattr(tf.raw_ops, op)(**arguments)
    if isinstance(result, (list, tuple)):
        return [np.asarray(r) for r in result]
    return np.asarray(result)


def check(key: str, inputs: list[np.ndarray], attrs: dict[str, Any], expected: np.ndarray, threads: int = 1) -> None:
    (y,) = run_kernel(key, inputs, attrs, [(expected.dtype, expected.shape)], threads=threads)
    assert_exact(y, expected)


@pytest.mark.parametrize("width", WIDTHS)
def test_copy(width: str) -> None:
    x = operand(width, (3, 4, 5))
    check(f"Copy_{width}", [x], {}, x)
    check(f"Copy_{width}", [x, ints(12, 5)], {}, x.reshape(12, 5))
    big = operand(width, (700_001,))
    check(f"Copy_{width}", [big], {}, big, threads=3)


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (2, 0, 3), (1, 3, 1, 2, 1)])
def test_transpose(shape: Shape, width: str) -> None:
    x = operand(width, shape)
    for permutation in itertools.permutations(range(len(shape))):
        check(
            f"Transpose_{width}", [x, ints(list(permutation))], {}, tensorflow("Transpose", x=x, perm=list(permutation))
        )


def test_transpose_with_many_dims_and_threads() -> None:
    x = operand("x32", (2, 3, 2, 3, 2, 3, 2, 3))
    order = [7, 0, 6, 1, 5, 2, 4, 3]
    check("Transpose_x32", [x, ints(order)], {}, x.transpose(order), threads=3)
    image = operand("x32", (1, 65, 67, 33))
    check("Transpose_x32", [image, ints(0, 3, 1, 2, dtype=np.int64)], {}, image.transpose(0, 3, 1, 2), threads=2)


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(
    ("shape", "begin", "size"),
    [
        ((5,), [1], [3]),
        ((3, 4, 5), [1, 0, 2], [2, 4, 3]),
        ((3, 4), [0, 4], [3, 0]),
        ((3, 4), [1, 1], [-1, -1]),
        ((), [], []),
    ],
)
def test_slice(shape: Shape, begin: list[int], size: list[int], width: str) -> None:
    x = operand(width, shape)
    begins, sizes = np.array(begin, np.int64), np.array(size, np.int64)
    check(f"Slice_{width}", [x, begins, sizes], {}, tensorflow("Slice", input=x, begin=begins, size=sizes))


def strided_spec(index: Any) -> tuple[list[np.ndarray], dict[str, int]]:
    """begin, end, strides and masks of x[index], as tf.Tensor.__getitem__ makes them."""
    begin, end, strides = [], [], []
    masks = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)
    for i, entry in enumerate(index if isinstance(index, tuple) else (index,)):
        b, e, s = 0, 0, 1
        if entry is Ellipsis:
            masks["ellipsis_mask"] |= 1 << i
        elif entry is None:
            masks["new_axis_mask"] |= 1 << i
        elif isinstance(entry, slice):
            b, e, s = entry.start or 0, entry.stop or 0, 1 if entry.step is None else entry.step
            masks["begin_mask"] |= (entry.start is None) << i
            masks["end_mask"] |= (entry.stop is None) << i
        else:
            b, e = entry, entry + 1
            masks["shrink_axis_mask"] |= 1 << i
        begin.append(b)
        end.append(e)
        strides.append(s)
    return [np.array(v, np.int32) for v in (begin, end, strides)], masks


STRIDED = [
    np.s_[:], np.s_[1], np.s_[-1], np.s_[1:], np.s_[:-1], np.s_[::-1], np.s_[::2], np.s_[-1:-4:-1], np.s_[3:1],
    np.s_[9:], np.s_[1:2, 1:3], np.s_[..., 0], np.s_[..., None], np.s_[None, ..., 1:3], np.s_[0, ..., -1],
    np.s_[:, 1:3, ::-2],
    np.s_[:, :, 1:-1, :], np.s_[1, 2, 3, 0], np.s_[..., ::-1, :], np.s_[None, 1, None, ..., 2:0:-1], np.s_[:, -100:100],
    np.s_[::-3, 1::2], np.s_[2:0:-1, ..., 1], np.s_[:, None, ..., 0:0],
]  # fmt: skip


@pytest.mark.parametrize("width", THREE)
def test_strided_slice(width: str) -> None:
    x = operand(width, (4, 5, 6, 3))
    for index in STRIDED:
        (begin, end, strides), masks = strided_spec(index)
        expected = tensorflow("StridedSlice", input=x, begin=begin, end=end, strides=strides, **masks)
        check(f"StridedSlice_{width}", [x, begin, end, strides], masks, expected)


def test_strided_slice_of_random_bounds() -> None:
    rng = np.random.default_rng(5)
    x = operand("x32", (5, 7))
    for _ in range(200):
        begin, end = rng.integers(-9, 10, (2, 2)).astype(np.int64)
        strides = rng.choice([-3, -2, -1, 1, 2, 3], 2)
        masks = {"begin_mask": int(rng.integers(4)), "end_mask": int(rng.integers(4))}
        expected = tensorflow("StridedSlice", input=x, begin=begin, end=end, strides=strides, **masks)
        check("StridedSlice_x32", [x, begin, end, strides], masks, expected)


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(
    ("shape", "axes"), [((5,), [0]), ((3, 4), [-1]), ((2, 3, 4), [0, 2]), ((2, 3), []), ((0, 3), [0])]
)
def test_reverse(shape: Shape, axes: list[int], width: str) -> None:
    x = operand(width, shape)
    axis = np.array(axes, np.int32)
    check(f"ReverseV2_{width}", [x, axis], {}, tensorflow("ReverseV2", tensor=x, axis=axis))


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(
    ("shape", "to"), [((), (2, 3)), ((3,), (2, 3)), ((3, 1), (2, 3, 4)), ((1, 2, 1, 2), (3, 2, 3, 2)), ((1,), (0,))]
)
def test_broadcast_to(shape: Shape, to: Shape, width: str) -> None:
    x = operand(width, shape)
    check(f"BroadcastTo_{width}", [x, np.array(to, np.int32)], {}, tensorflow("BroadcastTo", input=x, shape=to))


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(
    ("shape", "times"),
    [((3,), [2]), ((2, 3), [2, 3]), ((2, 1, 3), [1, 4, 2]), ((2, 3), [0, 1]), ((2, 2, 2, 2), [2, 1, 3, 2])],
)
def test_tile(shape: Shape, times: list[int], width: str) -> None:
    x = operand(width, shape)
    check(f"Tile_{width}", [x, np.array(times, np.int32)], {}, tensorflow("Tile", input=x, multiples=times), threads=2)


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize("block", [2, 3])
def test_depth_to_space_and_back(block: int, width: str) -> None:
    import tensorflow as tf

    deep = operand(width, (2, 3, 4, 5 * block * block))
    wide = tf.raw_ops.DepthToSpace(input=deep, block_size=block).numpy()
    check(f"DepthToSpace_{width}", [deep], {"block_size": block}, wide, threads=2)
    check(
        f"SpaceToDepth_{width}", [wide], {"block_size": block}, tensorflow("SpaceToDepth", input=wide, block_size=block)
    )


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(3,), (2,)], 0),
        ([(2, 3, 4), (2, 5, 4), (2, 1, 4)], 1),
        ([(2, 3, 4), (2, 3, 1)], -1),
        ([(2, 3), (0, 3), (1, 3)], 0),
        ([(4, 4)], 1),
        ([(1, 40, 41, 17)] * 7, 3),
    ],
)
def test_concat(shapes: list[Shape], axis: int, width: str) -> None:
    values = [operand(width, shape, i) for i, shape in enumerate(shapes)]
    expected = np.concatenate(values, axis)
    if len(values) > 1:
        assert_exact(expected, tensorflow("ConcatV2", values=values, axis=axis))
    check(f"ConcatV2_{width}", [*values, np.array(axis, np.int32)], {}, expected, threads=2)


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(("shape", "axis", "parts"), [((6,), 0, 3), ((2, 6, 5), 1, 2), ((3, 4), -1, 4), ((2, 0), 1, 2)])
def test_split(shape: Shape, axis: int, parts: int, width: str) -> None:
    x = operand(width, shape)
    expected = tensorflow("Split", axis=axis, value=x, num_split=parts)
    outputs = [(e.dtype, e.shape) for e in expected]
    for y, e in zip(run_kernel(f"Split_{width}", [ints(axis), x], {}, outputs), expected, strict=True):
        assert_exact(y, e)


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(("sizes", "axis"), [([1, 3, 2], 1), ([6], 1), ([0, 4], 0), ([-1, 4], 1)])
def test_split_v(sizes: list[int], axis: int, width: str) -> None:
    x = operand(width, (4, 6, 3))
    expected = tensorflow("SplitV", value=x, size_splits=np.array(sizes, np.int64), axis=axis, num_split=len(sizes))
    outputs = [(e.dtype, e.shape) for e in expected]
    results = run_kernel(f"SplitV_{width}", [x, np.array(sizes, np.int64), ints(axis)], {}, outputs)
    for y, e in zip(results, expected, strict=True):
        assert_exact(y, e)


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_pack_and_unpack(axis: int, width: str) -> None:
    values = [operand(width, (3, 4), i) for i in range(5)]
    packed = tensorflow("Pack", values=values, axis=axis)
    check(f"Pack_{width}", values, {"axis": axis}, packed)
    results = run_kernel(f"Unpack_{width}", [packed], {"axis": axis}, [(v.dtype, v.shape) for v in values])
    for y, value in zip(results, values, strict=True):
        assert_exact(y, value)


def test_parts_that_nobody_reads_are_left_out() -> None:
    x = operand("x32", (4, 6))
    results = run_kernel("Split_x32", [ints(1), x], {}, [(np.float32, (4, 2))] * 3, unwanted=[1])
    assert_exact(results[0], x[:, :2])
    assert results[1].size == 0
    assert_exact(results[2], x[:, 4:])
    results = run_kernel("Unpack_x32", [x], {"axis": 0}, [(np.float32, (6,))] * 4, unwanted=[0, 3])
    assert_exact(results[2], x[2])


PADDINGS = [
    ((3,), [[1, 2]]),
    ((2, 3), [[0, 0], [2, 1]]),
    ((2, 3, 4, 2), [[0, 0], [1, 2], [2, 1], [0, 0]]),
    ((0, 2), [[1, 0], [0, 1]]),
]


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(("shape", "paddings"), PADDINGS)
def test_pad(shape: Shape, paddings: list[list[int]], width: str) -> None:
    x = operand(width, shape)
    pads = np.array(paddings, np.int32)
    check(f"Pad_{width}", [x, pads], {}, tensorflow("Pad", input=x, paddings=pads), threads=2)
    value = np.asarray(7, x.dtype)
    check(f"Pad_{width}", [x, pads, value], {}, tensorflow("PadV2", input=x, paddings=pads, constant_values=value))


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize("mode", ["REFLECT", "SYMMETRIC"])
@pytest.mark.parametrize(
    ("shape", "paddings"),
    [
        ((4,), [[3, 2]]),
        ((3, 4), [[2, 0], [1, 3]]),
        ((1, 3, 3, 2), [[0, 0], [1, 2], [2, 2], [0, 0]]),
        ((5, 70), [[1, 1], [3, 2]]),
    ],
)
def test_mirror_pad(shape: Shape, paddings: list[list[int]], mode: str, width: str) -> None:
    import tensorflow as tf

    x = operand(width, shape)
    pads = np.array(paddings, np.int32)
    expected = tf.raw_ops.MirrorPad(input=x, paddings=pads, mode=mode).numpy()
    check(f"MirrorPad_{width}", [x, pads], {"mode": mode}, expected, threads=2)


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(
    ("shape", "block", "paddings"),
    [
        ((1, 4, 4, 3), [2, 2], [[0, 0], [0, 0]]),
        ((2, 5, 6, 3), [2, 3], [[1, 2], [0, 3]]),
        ((1, 7, 2), [3], [[4, 1]]),
        ((2, 3, 4), [1, 2], [[0, 1], [3, 1]]),
        ((1, 2, 3, 2, 2), [2, 1, 3], [[1, 1], [0, 0], [5, 2]]),
    ],
)
def test_space_to_batch_and_back(shape: Shape, block: list[int], paddings: list[list[int]], width: str) -> None:
    import tensorflow as tf

    x = operand(width, shape)
    blocks, pads = np.array(block, np.int32), np.array(paddings, np.int32)
    packed = tf.raw_ops.SpaceToBatchND(input=x, block_shape=blocks, paddings=pads).numpy()
    check(f"SpaceToBatchND_{width}", [x, blocks, pads], {}, packed, threads=2)
    restored = tensorflow("BatchToSpaceND", input=packed, block_shape=blocks, crops=pads)
    assert_exact(restored, x)
    check(f"BatchToSpaceND_{width}", [packed, blocks, pads], {}, x, threads=2)


GATHERS: list[tuple[Shape, Shape, int, int]] = [
    ((10, 4), (3,), 0, 0),
    ((10, 4), (2, 3), 0, 0),
    ((10, 4), (), 0, 0),
    ((3, 10, 4), (2, 3), 1, 0),
    ((3, 4, 10), (5,), -1, 0),
    ((3, 10, 4), (3, 5), 1, 1),
    ((2, 3, 4, 5), (2, 3, 2), 3, 2),
    ((2, 3, 6, 5), (2, 3), 2, 1),
    ((10, 0), (3,), 0, 0),
    ((10, 4), (0,), 0, 0),
]


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize(("shape", "indices", "axis", "batch_dims"), GATHERS)
def test_gather(shape: Shape, indices: Shape, axis: int, batch_dims: int, width: str, index: type) -> None:
    x = operand(width, shape)
    at: np.ndarray = np.asarray(np.random.default_rng(1).integers(0, shape[axis], indices), index)
    expected = tensorflow("GatherV2", params=x, indices=at, axis=axis, batch_dims=batch_dims)
    check(f"GatherV2_{width}", [x, at, ints(axis)], {"batch_dims": batch_dims}, expected, threads=2)
    if axis == 0 and batch_dims == 0:
        check(f"GatherV2_{width}", [x, at], {"validate_indices": True}, tensorflow("Gather", params=x, indices=at))


@pytest.mark.parametrize("bad", [-1, 10])
def test_gather_refuses_indices_out_of_range(bad: int) -> None:
    with pytest.raises(RuntimeError, match=rf"indices\[1\] = {bad} is not in \[0, 10\)"):
        run_kernel("GatherV2_x32", [operand("x32", (10, 4)), ints(0, bad), ints(0)], {}, [(np.float32, (2, 4))])


FORMATS = [("wf16", 0), ("wi8", 0), *(("wmm", bits) for bits in (2, 3, 4, 5, 7, 8, 9, 12, 15, 16))]


def coded(suffix: str, bits: int, shape: Shape, axis: int | None) -> tuple[StoredWeight, np.ndarray]:
    """A quantized weight, and its values in float32."""
    rng = np.random.default_rng(bits)
    kind = TensorType(DType.FLOAT, shape)
    channels = 1 if axis is None else shape[axis]
    scale = (rng.random(channels) + 0.5).astype(np.float32)
    if suffix == "wf16":
        codes = rng.normal(size=shape).astype(np.float16)
        value = QuantizedValue(kind, codes, np.ones(1, np.float32), None, None, "float16", 16)
    elif suffix == "wi8":
        codes = rng.integers(-127, 128, shape).astype(np.int8)
        value = QuantizedValue(kind, codes, scale, None, axis, "int8", 8)
    else:
        codes = rng.integers(0, 1 << bits, shape).astype(np.uint8 if bits <= 8 else np.uint16)
        offset = rng.normal(size=channels).astype(np.float32)
        value = QuantizedValue(kind, codes, scale, offset, axis, "minmax", bits)
    return pack_row_major(value), value.numpy()


@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
@pytest.mark.parametrize(
    ("shape", "axis"), [((11, 7), 1), ((11, 16), 1), ((5, 6, 7), 1), ((33, 5), 0), ((9, 3), None), ((1,), 0)]
)
def test_dequantize(shape: Shape, axis: int | None, suffix: str, bits: int) -> None:
    weight, expected = coded(suffix, bits, shape, axis)
    (y,) = run_kernel(f"Dequantize_f32_{suffix}", [weight], {}, [(np.float32, shape)])
    assert_sums(y, expected, np.abs(expected) + 1)
    if suffix == "wf16":
        assert_exact(y, expected)


@pytest.mark.parametrize(("suffix", "bits"), [("wf16", 0), ("wi8", 0), ("wmm", 5), ("wmm", 8)])
def test_dequantize_with_threads(suffix: str, bits: int) -> None:
    weight, _ = coded(suffix, bits, (613, 337), 1)
    runs = [
        run_kernel(f"Dequantize_f32_{suffix}", [weight], {}, [(np.float32, (613, 337))], threads=t)[0] for t in (1, 3)
    ]
    assert runs[0].tobytes() == runs[1].tobytes()


@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
@pytest.mark.parametrize(
    ("shape", "axis"), [((50, 7), 1), ((50, 16), 1), ((20, 3, 5), 2), ((20, 6), 0), ((20, 6), None)]
)
def test_gather_from_a_quantized_table(shape: Shape, axis: int | None, suffix: str, bits: int) -> None:
    weight, table = coded(suffix, bits, shape, axis)
    at: np.ndarray = np.random.default_rng(2).integers(0, shape[0], (2, 9)).astype(np.int32)
    expected = tensorflow("GatherV2", params=table, indices=at, axis=0)
    (y,) = run_kernel(f"GatherV2_f32_{suffix}", [weight, at, ints(0)], {}, [(np.float32, expected.shape)], threads=2)
    assert_sums(y, expected, np.abs(expected) + 1)


def test_a_quantized_table_that_was_cut_short_is_refused() -> None:
    weight, _ = coded("wmm", 5, (11, 7), 1)
    weight.data = weight.data[:-1]
    with pytest.raises(RuntimeError, match="fewer bytes"):
        run_kernel("Dequantize_f32_wmm", [weight], {}, [(np.float32, (11, 7))])
    with pytest.raises(RuntimeError, match="fewer bytes"):
        run_kernel("GatherV2_f32_wmm", [weight, ints([1]), ints(0)], {}, [(np.float32, (1, 7))])


def test_plain_kernels_refuse_quantized_weights() -> None:
    weight, _ = coded("wi8", 8, (11, 7), 1)
    for key, others in (("Relu6_f32", []), ("Copy_x32", []), ("AddV2_f32", [np.ones(7, np.float32)])):
        with pytest.raises(RuntimeError, match=r"quantized|plain"):
            run_kernel(key, [weight, *others], {}, [(np.float32, (11, 7))])


@pytest.mark.parametrize("width", THREE)
def test_fill(width: str) -> None:
    value = np.asarray(7, WIDTHS[width])
    for shape in ((), (3, 5), (2, 0), (400, 401)):
        check(f"Fill_{width}", [np.array(shape, np.int32), value], {}, np.full(shape, value), threads=2)


@pytest.mark.parametrize(
    ("short", "start", "limit", "delta"),
    [
        ("f32", 0, 5, 1),
        ("f32", 1, 2, 0.3),
        ("f32", 3, -1, -0.7),
        ("i32", -3, 9, 4),
        ("i64", 5, 0, -2),
        ("i32", 2, 2, 1),
    ],
)
def test_range(short: str, start: float, limit: float, delta: float) -> None:
    import tensorflow as tf

    dtype = {"f32": np.float32, "i32": np.int32, "i64": np.int64}[short]
    arguments = [np.asarray(v, dtype) for v in (start, limit, delta)]
    expected = tf.range(*(tf.constant(v) for v in arguments)).numpy()
    check(f"Range_{short}", arguments, {}, expected)
    with pytest.raises(RuntimeError, match="planned"):
        run_kernel(f"Range_{short}", arguments, {}, [(dtype, (expected.size + 1,))])


@pytest.mark.parametrize("width", THREE)
@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_one_hot(index: type, axis: int, width: str) -> None:
    at: np.ndarray = np.array([[0, 3, -1], [2, 5, 1]], index)
    on, off = np.asarray(9, WIDTHS[width]), np.asarray(4, WIDTHS[width])
    expected = tensorflow("OneHot", indices=at, depth=4, on_value=on, off_value=off, axis=axis)
    check(f"OneHot_{width}", [at, ints(4), on, off], {"axis": axis}, expected)


@pytest.mark.parametrize("short", ["f32", "i32"])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumsum(reverse: bool, exclusive: bool, short: str) -> None:
    x = np.random.default_rng(0).integers(-9, 9, (3, 5, 7)).astype(np.float32 if short == "f32" else np.int32)
    attrs = {"exclusive": exclusive, "reverse": reverse}
    for axis in (0, 1, -1):
        check(f"Cumsum_{short}", [x, ints(axis)], attrs, tensorflow("Cumsum", x=x, axis=axis, **attrs), threads=2)


@pytest.mark.parametrize("short", ["f32", "i32"])
@pytest.mark.parametrize(("shape", "k"), [((7,), 3), ((4, 50), 5), ((2, 3, 6), 6), ((3, 4), 0)])
def test_top_k(shape: Shape, k: int, short: str) -> None:
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32 if short == "f32" else np.int32)
    values, indices = tensorflow("TopKV2", input=x, k=k)
    results = run_kernel(
        f"TopKV2_{short}", [x, ints(k)], {"sorted": True}, [(values.dtype, values.shape), (np.int32, indices.shape)]
    )
    assert_exact(results[0], values)
    assert_exact(results[1], indices)


X = np.zeros((3, 4), np.float32)
HUGE = 2**62


@pytest.mark.parametrize(
    ("key", "inputs", "attrs", "out"),
    [
        ("Copy_x32", [X], {}, (3, 5)),
        ("Transpose_x32", [X, ints(0, 0)], {}, (3, 3)),
        ("Transpose_x32", [X, ints(0, 2)], {}, (3, 4)),
        ("Transpose_x32", [X, ints(1, 0)], {}, (3, 4)),
        ("Slice_x32", [X, ints(0, -1), ints(1, 1)], {}, (1, 1)),
        ("Slice_x32", [X, ints(1, 1, dtype=np.int64), ints(1, HUGE, dtype=np.int64)], {}, (1, 3)),
        ("StridedSlice_x32", [X, ints([9]), ints([10]), ints([1])], {"shrink_axis_mask": 1}, (4,)),
        ("StridedSlice_x32", [X, ints([0]), ints([1]), ints([0])], {}, (1, 4)),
        ("StridedSlice_x32", [X, ints(0, 0, 0), ints(1, 1, 1), ints(1, 1, 1)], {}, (1, 1, 1)),
        ("StridedSlice_x32", [X, ints(0, 0), ints(1, 1), ints(1, 1)], {"ellipsis_mask": 3}, (3, 4)),
        ("StridedSlice_x32", [X, ints([0]), ints([2]), ints([1])], {}, (3, 4)),
        ("ReverseV2_x32", [X, ints(0, 0)], {}, (3, 4)),
        ("BroadcastTo_x32", [X, ints(6, 4)], {}, (6, 4)),
        ("Tile_x32", [X, ints(2, 1)], {}, (7, 4)),
        ("Tile_x32", [X, ints(-2, 1)], {}, (6, 4)),
        ("DepthToSpace_x32", [np.zeros((1, 2, 2, 4), np.float32)], {"block_size": 3}, (1, 4, 4, 1)),
        ("DepthToSpace_x32", [np.zeros((1, 2, 2, 4), np.float32)], {"block_size": HUGE}, (1, 4, 4, 1)),
        ("ConcatV2_x32", [X, X, ints(0)], {}, (5, 4)),
        ("ConcatV2_x32", [X, X[:, :3], ints(0)], {}, (6, 4)),
        ("ConcatV2_x32", [X, X, ints(2)], {}, (6, 4)),
        ("Split_x32", [ints(0), X], {}, (2, 4)),
        ("Pack_x32", [X, X], {"axis": 0}, (3, 3, 4)),
        ("Unpack_x32", [X], {"axis": 0}, (4,)),
        ("Pad_x32", [X, ints([[1, 1], [0, 0]])], {}, (4, 4)),
        ("Pad_x32", [X, ints([[-1, 3], [0, 0]])], {}, (5, 4)),
        ("Pad_x32", [X, ints([[HUGE, HUGE], [0, 0]], dtype=np.int64)], {}, (3, 4)),
        ("MirrorPad_x32", [X, ints([[3, 0], [0, 0]])], {"mode": "REFLECT"}, (6, 4)),
        ("MirrorPad_x32", [X, ints([[0, 0], [0, 0]])], {"mode": "WRAP"}, (3, 4)),
        ("SpaceToBatchND_x32", [X, ints([0]), ints([[0, 0]])], {}, (3, 4)),
        ("SpaceToBatchND_x32", [X, ints([2]), ints([[0, 0]])], {}, (3, 4)),
        ("BatchToSpaceND_x32", [X, ints([3]), ints([[0, 5]])], {}, (1, 8)),
        ("GatherV2_x32", [X, ints(0, 1), ints(2)], {}, (2, 4)),
        ("GatherV2_x32", [X, ints(0, 1), ints(0)], {"batch_dims": 1}, (2, 4)),
        ("GatherV2_x32", [X, X, ints(0)], {}, (3, 4, 4)),
        ("OneHot_x32", [ints(0, 1), ints(3), X[0, 0], X[0, 0]], {"axis": -1}, (2, 4)),
        ("Cumsum_f32", [X, ints(2)], {}, (3, 4)),
    ],
)
def test_refuses_what_does_not_fit(key: str, inputs: list[np.ndarray], attrs: dict[str, Any], out: Shape) -> None:
    with pytest.raises(RuntimeError, match=key):
        run_kernel(key, inputs, attrs, [(np.float32, out)])


def test_all_were_exercised() -> None:
    assert untested("array") == []
