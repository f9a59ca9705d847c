"""DepthwiseConv2dNative with weights of every format against TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from test_conv import attributes, image
from tolerance import assert_exact, assert_sums
from weights import FEW_FORMATS, FORMATS, make_weight
from wherry.graph.values import Value
from wherry.pack.weights import pack_weight

# image, filter, stride, dilations, padding (or top, bottom, left, right)
CASES: list[tuple[tuple[int, ...], tuple[int, ...], int, tuple[int, int], Any]] = [
    ((1, 8, 8, 16), (3, 3, 16, 1), 1, (1, 1), "SAME"),
    ((1, 30, 29, 48), (3, 3, 48, 1), 1, (1, 1), "SAME"),
    ((1, 31, 30, 40), (3, 3, 40, 1), 2, (1, 1), "SAME"),
    ((2, 14, 15, 24), (5, 5, 24, 1), 1, (1, 1), "SAME"),
    ((1, 15, 14, 33), (5, 5, 33, 1), 2, (1, 1), "VALID"),
    ((1, 20, 20, 7), (3, 3, 7, 1), 1, (2, 2), "SAME"),
    ((1, 9, 17, 5), (1, 3, 5, 1), 1, (1, 1), "SAME"),
    ((1, 10, 10, 18), (3, 3, 18, 1), 2, (1, 1), (0, 1, 2, 1)),
    ((1, 2, 2, 20), (5, 5, 20, 1), 1, (1, 1), "SAME"),
    ((2, 7, 7, 32), (3, 3, 32, 1), 2, (1, 1), "SAME"),
    ((3, 5, 3, 16), (5, 5, 16, 1), 1, (1, 1), "SAME"),
    ((1, 9, 6, 52), (5, 5, 52, 1), 2, (1, 1), (3, 0, 2, 5)),
    ((2, 3, 1, 16), (3, 3, 16, 1), 1, (1, 1), "SAME"),
    ((1, 4, 5, 32), (3, 3, 32, 1), 1, (1, 1), (4, 5, 6, 3)),
    ((1, 11, 12, 16), (3, 3, 16, 1), 3, (1, 1), "SAME"),
    ((1, 12, 9, 6), (3, 3, 6, 4), 1, (1, 1), "SAME"),
    ((2, 9, 9, 1), (3, 5, 1, 19), 2, (1, 1), "VALID"),
]


def depthwise(x: np.ndarray, weight: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    import tensorflow as tf

    return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=weight, **attrs).numpy()


def check(x: np.ndarray, weight: Value, suffix: str, attrs: dict[str, Any]) -> None:
    expected = depthwise(x, weight.numpy(), attrs)
    magnitude = depthwise(np.abs(x), np.abs(weight.numpy()), attrs)
    inputs = [x, pack_weight("DepthwiseConv2dNative", weight)]
    key = f"DepthwiseConv2dNative_f32_{suffix}"
    for isa in FLOAT_ISAS:
        first, *others = (
            run_kernel(key, inputs, attrs, [(np.float32, expected.shape)], threads, isa)[0] for threads in (1, 2, 3)
        )
        assert_sums(first, expected, magnitude)
        for other in others:
            assert_exact(other, first)


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(part) for part in case[:2]))
def test_depthwise(case: Any, suffix: str, bits: int) -> None:
    shape, filter_shape, stride, dilations, padding = case
    weight = make_weight(filter_shape, suffix, bits, axis=2)
    check(image(shape), weight, suffix, attributes((stride, stride), dilations, padding))


@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
@pytest.mark.parametrize("axis", [None, 2, 3])
def test_every_format(suffix: str, bits: int, axis: int | None) -> None:
    weight = make_weight((3, 2, 9, 3), suffix, bits, axis)
    check(image((1, 6, 7, 9)), weight, suffix, attributes((1, 1), (1, 1), "SAME"))


@pytest.mark.parametrize("activation", ["", "Relu6", "Elu", "HardSwish"])
@pytest.mark.parametrize("channels", [16, 21, 52])
def test_bias_and_activation(activation: str, channels: int) -> None:
    from test_conv import activations

    x, bias = image((1, 9, 8, channels)), image((channels,))
    weight = make_weight((3, 3, channels, 1), "wf32", 0, axis=2)
    attrs = attributes((1, 1), (1, 1), "SAME")
    expected = activations()[activation](depthwise(x, weight.numpy(), attrs) + bias).numpy()
    inputs = [x, pack_weight("DepthwiseConv2dNative", weight), bias]
    attrs["activation"] = activation
    for isa in FLOAT_ISAS:
        (y,) = run_kernel("DepthwiseConv2dNative_f32_wf32", inputs, attrs, [(np.float32, expected.shape)], 2, isa)
        assert_sums(y, expected)


@pytest.mark.parametrize(
    ("filter_shape", "output", "message"),
    [
        ((3, 3, 4, 1), (1, 6, 6, 4), "channels of input, filter and output"),
        ((3, 3, 3, 2), (1, 6, 6, 3), "channels of input, filter and output"),
        ((3, 3, 3, 1), (1, 4, 4, 3), "output must be"),
    ],
)
def test_refuses_what_does_not_fit(filter_shape: tuple[int, ...], output: tuple[int, ...], message: str) -> None:
    stored = pack_weight("DepthwiseConv2dNative", make_weight(filter_shape, "wi8", 8, axis=2))
    attrs = attributes((1, 1), (1, 1), "SAME")
    with pytest.raises(RuntimeError, match=message):
        run_kernel("DepthwiseConv2dNative_f32_wi8", [image((1, 6, 6, 3)), stored], attrs, [(np.float32, output)])


def test_every_kernel_was_tested() -> None:
    assert untested("nn", {"depthwise_conv_2d.cc"}) == []
