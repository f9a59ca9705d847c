"""Conv2DBackpropInput, the transposed convolution, with weights of every format against TensorFlow."""

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

# output, filter [kh, kw, out, in], strides, dilations, padding (or top, bottom, left, right)
CASES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, int], tuple[int, int], Any]] = [
    ((1, 14, 14, 8), (3, 3, 8, 16), (2, 2), (1, 1), "SAME"),
    ((2, 9, 8, 5), (3, 2, 5, 7), (1, 1), (1, 1), "SAME"),
    ((1, 11, 13, 3), (5, 4, 3, 20), (2, 3), (1, 1), "VALID"),
    ((1, 12, 12, 17), (2, 2, 17, 33), (2, 2), (1, 1), "VALID"),
    ((1, 10, 9, 6), (3, 3, 6, 4), (1, 1), (2, 2), "SAME"),
    ((1, 9, 9, 2), (2, 2, 2, 3), (3, 3), (1, 1), "SAME"),
    ((1, 13, 12, 4), (4, 4, 4, 6), (2, 2), (1, 1), (1, 2, 0, 1)),
    ((1, 90, 90, 40), (4, 4, 40, 12), (2, 2), (1, 1), "SAME"),  # several bands
]


def transposed(shape: tuple[int, ...], weight: np.ndarray, x: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    """The gradient of Conv2D with respect to its input, by differentiation: it knows dilations on CPUs, too."""
    import tensorflow as tf

    start = tf.zeros(shape)
    with tf.GradientTape() as tape:
        tape.watch(start)
        forward = tf.raw_ops.Conv2D(input=start, filter=weight, **attrs)
    assert forward.shape == x.shape
    if attrs["dilations"] == [1, 1, 1, 1]:
        return tf.raw_ops.Conv2DBackpropInput(input_sizes=shape, filter=weight, out_backprop=x, **attrs).numpy()
    return tape.gradient(forward, start, output_gradients=tf.constant(x)).numpy()


def out_size(size: int, taps: int, stride: int, dilation: int, padding: Any, axis: int) -> int:
    if padding == "SAME":
        return -(-size // stride)
    pads = 0 if padding == "VALID" else padding[2 * axis] + padding[2 * axis + 1]
    return (size + pads - (taps - 1) * dilation - 1) // stride + 1


def check(case: Any, weight: Value, suffix: str) -> None:
    shape, filter_shape, strides, dilations, padding = case
    sizes = [out_size(shape[1 + i], filter_shape[i], strides[i], dilations[i], padding, i) for i in range(2)]
    x = image((shape[0], *sizes, filter_shape[3]))
    attrs = attributes(strides, dilations, padding)
    expected = transposed(shape, weight.numpy(), x, attrs)
    magnitude = transposed(shape, np.abs(weight.numpy()), np.abs(x), attrs)
    inputs = [np.array(shape, np.int32), pack_weight("Conv2DBackpropInput", weight), x]
    for isa in FLOAT_ISAS:
        first, *others = (
            run_kernel(f"Conv2DBackpropInput_f32_{suffix}", inputs, attrs, [(np.float32, shape)], threads, isa)[0]
            for threads in (1, 2, 3)
        )
        assert_sums(first, expected, magnitude)
        for other in others:
            assert_exact(other, first)


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(part) for part in case[:2]))
def test_transposed(case: Any, suffix: str, bits: int) -> None:
    check(case, make_weight(case[1], suffix, bits, axis=2), suffix)


@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
@pytest.mark.parametrize("axis", [None, 2])
def test_every_format(suffix: str, bits: int, axis: int | None) -> None:
    check(CASES[1], make_weight(CASES[1][1], suffix, bits, axis), suffix)


def test_bias_and_activation() -> None:
    import tensorflow as tf

    shape, x, bias = (1, 8, 8, 6), image((1, 4, 4, 5)), image((6,))
    weight = make_weight((3, 3, 6, 5), "wf32", 0, axis=2)
    attrs = attributes((2, 2), (1, 1), "SAME")
    expected = tf.nn.sigmoid(transposed(shape, weight.numpy(), x, attrs) + bias).numpy()
    inputs = [np.array(shape, np.int32), pack_weight("Conv2DBackpropInput", weight), x, bias]
    attrs["activation"] = "Sigmoid"
    (y,) = run_kernel("Conv2DBackpropInput_f32_wf32", inputs, attrs, [(np.float32, shape)])
    assert_sums(y, expected)


@pytest.mark.parametrize(
    ("filter_shape", "output", "message"),
    [
        ((3, 3, 6, 4), (1, 8, 8, 6), "channels of image, filter and output"),
        ((3, 3, 5, 5), (1, 8, 8, 6), "channels of image, filter and output"),
        ((3, 3, 6, 5), (1, 9, 8, 6), "do not lead from the output to the image"),
        ((3, 3, 6, 5), (2, 8, 8, 6), "differ in batch size"),
    ],
)
def test_refuses_what_does_not_fit(filter_shape: tuple[int, ...], output: tuple[int, ...], message: str) -> None:
    stored = pack_weight("Conv2DBackpropInput", make_weight(filter_shape, "wi8", 8, axis=2))
    inputs = [np.array(output, np.int32), stored, image((1, 4, 4, 5))]
    with pytest.raises(RuntimeError, match=message):
        run_kernel("Conv2DBackpropInput_f32_wi8", inputs, attributes((2, 2), (1, 1), "SAME"), [(np.float32, output)])


def test_every_kernel_was_tested() -> None:
    assert untested("nn", {"conv_2d_transposed.cc"}) == []
