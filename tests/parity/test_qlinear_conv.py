"""Convolutions and products of 8-bit codes against their exact arithmetic in numpy: the same bits everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from code_arithmetic import codes, limits, patches, product, scales
from harness import ISAS, run_kernel, untested
from tolerance import assert_exact
from wherry.graph import DType, TensorType
from wherry.graph.values import QuantizedValue
from wherry.pack.weights import pack_weight

SOURCE, OUTPUT, OTHER = (0.05, 7), (0.9, 11), (0.4, 130)


def random_codes(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, 256, shape, np.uint8)


def weight(shape: tuple[int, ...], axis: int) -> QuantizedValue:
    generator = np.random.default_rng([1, *shape])
    scale = generator.uniform(0.5, 2.0, shape[axis]).astype(np.float32) / np.float32(127)
    held = generator.integers(-127, 128, shape, np.int8)
    return QuantizedValue(TensorType(DType.FLOAT, shape), held, scale, None, axis, "int8", 8)


def check(key: str, inputs: list[Any], attrs: dict[str, Any], expected: np.ndarray) -> None:
    for isa in ISAS:
        for threads in (1, 2, 3):
            (found,) = run_kernel(key, inputs, attrs, [(expected.dtype.type, expected.shape)], threads, isa)
            assert_exact(found, expected)


# image, filter, stride, dilation, pads (top, bottom, left, right)
DEPTHWISE: list[tuple[tuple[int, ...], tuple[int, int], int, int, tuple[int, int, int, int]]] = [
    ((1, 8, 8, 16), (3, 3), 1, 1, (1, 1, 1, 1)),
    ((2, 30, 29, 48), (3, 3), 1, 1, (1, 1, 1, 1)),
    ((1, 31, 30, 40), (3, 3), 2, 1, (1, 1, 0, 1)),
    ((1, 14, 15, 96), (5, 5), 1, 1, (2, 2, 2, 2)),
    ((1, 15, 14, 161), (5, 5), 2, 1, (0, 0, 0, 0)),
    ((1, 20, 20, 7), (3, 3), 1, 2, (2, 2, 2, 2)),
    ((1, 9, 17, 5), (1, 3), 1, 1, (0, 0, 1, 1)),
    ((1, 2, 2, 64), (5, 5), 1, 1, (2, 2, 2, 2)),
    ((1, 12, 300, 9), (7, 4), 1, 1, (3, 3, 1, 2)),
    ((1, 4, 150, 70), (9, 9), 2, 3, (12, 12, 12, 12)),
]


@pytest.mark.parametrize("activation", ["", "Relu", "Relu6"])
@pytest.mark.parametrize("case", DEPTHWISE, ids=lambda case: "-".join(str(part) for part in case[:2]))
def test_depthwise(case: Any, activation: str) -> None:
    shape, size, stride, dilation, pads = case
    image, filters = random_codes(shape), weight((*size, shape[3], 1), 2)
    bias = np.random.default_rng(5).normal(size=shape[3]).astype(np.float32) * 40
    windows = patches(image.astype(np.int64) - SOURCE[1], size, stride, dilation, pads)
    sums = np.einsum("byxhwc,hwc->byxc", windows, filters.codes[..., 0].astype(np.int64))
    expected = codes(product(sums, filters.scale, bias, SOURCE, OUTPUT), limits(activation, OUTPUT))
    attrs = {
        "strides": [1, stride, stride, 1], "dilations": [1, dilation, dilation, 1], "padding": "EXPLICIT",
        "explicit_paddings": [0, 0, *pads, 0, 0], "activation": activation, **scales(input=SOURCE, output=OUTPUT),
    }
    inputs = [image, pack_weight("QLinearDepthwiseConv2d", filters), bias]
    check("QLinearDepthwiseConv2d_u8_wi8", inputs, attrs, expected)


# image, filter, outputs, stride, pads
CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, int], int, int, tuple[int, int, int, int]]] = [
    ((1, 8, 8, 64), (1, 1), 32, 1, (0, 0, 0, 0)),
    ((2, 7, 7, 24), (1, 1), 21, 1, (0, 0, 0, 0)),
    ((1, 9, 9, 16), (1, 1), 40, 2, (0, 0, 0, 0)),
    ((1, 17, 16, 3), (3, 3), 33, 2, (0, 1, 1, 1)),
    ((2, 14, 13, 40), (3, 3), 64, 1, (1, 1, 1, 1)),
    ((1, 40, 40, 8), (7, 5), 70, 1, (3, 3, 2, 2)),
]


@pytest.mark.parametrize("activation", ["", "Relu", "Relu6"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: "-".join(str(part) for part in case[:3]))
@pytest.mark.parametrize("adds", [False, True])
def test_convolution(case: Any, activation: str, adds: bool) -> None:
    shape, size, outputs, stride, pads = case
    image, filters = random_codes(shape), weight((*size, shape[3], outputs), 3)
    bias = np.random.default_rng(5).normal(size=outputs).astype(np.float32) * 40
    windows = patches(image.astype(np.int64) - SOURCE[1], size, stride, 1, pads)
    flat = windows.reshape(*windows.shape[:3], -1)
    sums = flat @ filters.codes.reshape(-1, outputs).astype(np.int64)
    residual = random_codes(sums.shape, 3) if adds else None
    expected = codes(
        product(sums, filters.scale, bias, SOURCE, OUTPUT, residual, OTHER), limits(activation, OUTPUT)
    )
    attrs = {
        "strides": [1, stride, stride, 1], "padding": "EXPLICIT", "explicit_paddings": [0, 0, *pads, 0, 0],
        "activation": activation, **scales(input=SOURCE, output=OUTPUT, other=OTHER),
    }
    inputs = [image, pack_weight("Conv2D", filters), bias, *([residual] if adds else [])]
    check(f"QLinearConv2d{'Add' if adds else ''}_u8_wi8", inputs, attrs, expected)


@pytest.mark.parametrize("shape", [(1, 64, 10), (5, 100, 33), (48, 128, 1000)])
@pytest.mark.parametrize("floats", [False, True])
def test_matmul(shape: tuple[int, int, int], floats: bool) -> None:
    m, k, n = shape
    a, matrix = random_codes((m, k)), weight((k, n), 1)
    bias = np.random.default_rng(5).normal(size=n).astype(np.float32)
    sums = (a.astype(np.int64) - SOURCE[1]) @ matrix.codes.astype(np.int64)
    attrs = {"activation": "Relu", **scales(input=SOURCE, output=OUTPUT)}
    if floats:
        values = sums.astype(np.float32) * (np.float32(SOURCE[0]) * matrix.scale) + bias
        expected = np.maximum(values, np.float32(0))
    else:
        expected = codes(product(sums, matrix.scale, bias, SOURCE, OUTPUT), limits("Relu", OUTPUT))
    check("QLinearMatMul_u8_wi8", [a, pack_weight("MatMul", matrix), bias], attrs, expected)


def test_every_kernel_was_tested() -> None:
    assert untested("quantized", {"conv_2d.cc", "depthwise_conv_2d.cc", "mat_mul.cc"}) == []
