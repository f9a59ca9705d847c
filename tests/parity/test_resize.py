"""ResizeNearestNeighbor and ResizeBilinear against TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from tolerance import assert_exact, assert_sums

MODES = [
    {"align_corners": False, "half_pixel_centers": False},
    {"align_corners": True, "half_pixel_centers": False},
    {"align_corners": False, "half_pixel_centers": True},
]
# input shape, output height and width
SIZES = [
    ((1, 4, 4, 3), (8, 8)),
    ((2, 7, 5, 16), (3, 11)),
    ((1, 1, 1, 2), (4, 3)),
    ((1, 9, 6, 1), (1, 1)),
    ((1, 5, 5, 7), (5, 5)),
    ((1, 10, 3, 33), (100, 31)),
    ((1, 33, 47, 2), (15, 16)),
    ((1, 6, 5, 12), (9, 13)),
    ((1, 6, 5, 150), (9, 4)),
    ((1, 3, 4, 4), (7, 5)),
    ((0, 3, 3, 2), (6, 6)),
]


def values(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    rng = np.random.default_rng(5)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 127, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_nearest(shape: tuple[int, ...], size: tuple[int, int], mode: dict[str, bool]) -> None:
    import tensorflow as tf

    for dtype, key in ((np.float32, "x32"), (np.int32, "x32"), (np.uint8, "x8"), (np.int8, "x8")):
        x = values(shape, dtype)
        expected = tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, **mode).numpy()
        for isa in FLOAT_ISAS:
            for threads in (1, 3):
                (y,) = run_kernel(f"ResizeNearestNeighbor_{key}", [x, np.array(size, np.int32)], mode,
                                  [(dtype, expected.shape)], threads=threads, isa=isa)  # fmt: skip
                assert_exact(y, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_bilinear(shape: tuple[int, ...], size: tuple[int, int], mode: dict[str, bool]) -> None:
    import tensorflow as tf

    for dtype, key in ((np.float32, "f32"), (np.uint8, "u8")):
        x = values(shape, dtype)
        expected = tf.raw_ops.ResizeBilinear(images=x, size=size, **mode).numpy()
        results = []
        for isa in FLOAT_ISAS:
            for threads in (1, 3):
                (y,) = run_kernel(f"ResizeBilinear_{key}", [x, np.array(size, np.int32)], mode,
                                  [(np.float32, expected.shape)], threads=threads, isa=isa)  # fmt: skip
                assert_sums(y, expected)
                results.append(y.tobytes())
        assert len(set(results)) == 1, "instruction sets or threads differ"


def test_every_size_up_to_forty_agrees_in_every_index() -> None:
    """Whether float32 rounds a position up or down decides which pixel is taken."""
    import tensorflow as tf

    for mode in MODES:
        for inside in (1, 2, 3, 7, 16, 24, 31, 40):
            x = np.arange(inside, dtype=np.float32).reshape(1, inside, 1, 1)
            for outside in range(1, 41):
                size = np.array([outside, 1], np.int32)
                shape = (1, outside, 1, 1)
                expected = tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, **mode).numpy()
                (y,) = run_kernel("ResizeNearestNeighbor_x32", [x, size], mode, [(np.float32, shape)])
                assert_exact(y, expected)
                expected = tf.raw_ops.ResizeBilinear(images=x, size=size, **mode).numpy()
                (y,) = run_kernel("ResizeBilinear_f32", [x, size], mode, [(np.float32, shape)])
                assert_sums(y, expected)


@pytest.mark.parametrize(
    ("attrs", "shape", "message"),
    [
        ({"align_corners": True, "half_pixel_centers": True}, (1, 4, 4, 3), "exclude each other"),
        ({}, (2, 4, 4, 3), "differ in batch or channels"),
        ({}, (1, 0, 4, 3), "must not be empty"),
    ],
)
def test_refuses_what_does_not_fit(attrs: dict, shape: tuple[int, ...], message: str) -> None:
    inputs = [values((1, 2, 2, 3), np.float32), np.array(shape[1:3], np.int32)]
    for key in ("ResizeBilinear_f32", "ResizeNearestNeighbor_x32"):
        with pytest.raises(RuntimeError, match=message):
            run_kernel(key, inputs, attrs, [(np.float32, shape)])


def test_every_kernel_was_tested() -> None:
    assert untested("nn", {"resize_nearest.cc", "resize_bilinear.cc"}) == []
