"""Linear op, bias and activation become one op, in TensorFlow too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from small_graphs import ROUNDING, check, only, ops, trace, weights
from wherry.errors import PassError
from wherry.passes.composite import composite_attrs, composite_kernel
from wherry.passes.fuse_activations import (
    COMPOSITE_ACTIVATIONS,
    CONVOLUTION_ACTIVATIONS,
    MATMUL_ACTIVATIONS,
    fuse_composites,
    fuse_conv,
    fuse_matmul,
)

Build = Callable[[Any, Any], Any]
C = 6


def activated(tf: Any, name: str, x: Any) -> Any:
    if name == "LeakyRelu":
        return tf.nn.leaky_relu(x, 0.3)
    if name == "Swish":
        return x * tf.sigmoid(x)
    if name == "HardSwish":
        return tf.nn.relu6(3.0 + x) * (1 / 6) * x
    return getattr(tf.raw_ops, name)(x=x) if name in ("Sigmoid", "Tanh") else getattr(tf.raw_ops, name)(features=x)


LINEAR: dict[str, tuple[Build, tuple[int, ...]]] = {
    "Conv2D": (lambda tf, x: tf.nn.conv2d(x, weights(3, 3, 4, C), 2, "SAME"), (2, 9, 8, 4)),
    "DepthwiseConv2dNative": (
        lambda tf, x: tf.nn.depthwise_conv2d(x, weights(3, 3, 3, 2), [1, 1, 1, 1], "SAME"), (2, 9, 8, 3)),
    "Conv2DBackpropInput": (
        lambda tf, x: tf.nn.conv2d_transpose(x, weights(3, 3, C, 4), [2, 18, 16, C], 2, "SAME"), (2, 9, 8, 4)),
    "MatMul": (lambda tf, x: tf.matmul(x, weights(C, 4), transpose_b=True), (3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("activation", ["", *sorted(CONVOLUTION_ACTIVATIONS)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", "EXPLICIT"])
def test_conv(activation: str, padding: str) -> None:
    import tensorflow as tf

    amounts: Any = [[0, 0], [1, 2], [0, 1], [0, 0]] if padding == "EXPLICIT" else padding

    def build(x: Any) -> Any:
        y = tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 4, C), 1, amounts, dilations=2), weights(C))
        return activated(tf, activation, y) if activation else y

    graph = trace(build, (2, 9, 8, 4))
    assert check(graph, fuse_conv, tolerance=ROUNDING) == 1
    fused = only(graph, "_FusedConv2D")
    assert ops(graph) == ["_FusedConv2D"]
    assert fused.attrs["fused_ops"] == [b"BiasAdd"] + ([activation.encode()] if activation else [])


@pytest.mark.parametrize("activation", ["", *sorted(MATMUL_ACTIVATIONS)])
def test_matmul(activation: str) -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        y = tf.matmul(x, weights(C, 4), transpose_b=True) + weights(C)
        return activated(tf, activation, y) if activation else y

    graph = trace(build, (3, 4))
    assert check(graph, fuse_matmul, tolerance=ROUNDING) == 1
    assert ops(graph) == ["_FusedMatMul"]


@pytest.mark.parametrize("op", ["DepthwiseConv2dNative", "Conv2DBackpropInput"])
@pytest.mark.parametrize("activation", ["", *sorted(COMPOSITE_ACTIVATIONS)])
@pytest.mark.parametrize("biased", [True, False])
def test_composites(op: str, activation: str, biased: bool) -> None:
    import tensorflow as tf

    linear, shape = LINEAR[op]

    def build(x: Any) -> Any:
        y = linear(tf, x)
        if biased:
            y = tf.nn.bias_add(y, weights(C))
        return activated(tf, activation, y) if activation else y

    graph = trace(build, shape)
    changes = check(graph, fuse_composites, tolerance=ROUNDING)
    if not biased and not activation:
        assert changes == 0
        return
    call = only(graph, "PartitionedCall")
    attrs = composite_attrs(call)
    assert composite_kernel(call) == f"Fused{op}"
    assert attrs["activation"] == activation.encode()
    assert ("leakyrelu_alpha" in attrs) == (activation == "LeakyRelu")
    assert attrs["padding"] == b"SAME" and len(attrs["strides"]) == 4
    assert graph.type_of(call.inputs[-1]).shape == (C,)


@pytest.mark.parametrize("activation", sorted(COMPOSITE_ACTIVATIONS - CONVOLUTION_ACTIVATIONS))
@pytest.mark.parametrize("biased", [True, False])
def test_what_fused_conv_lacks(activation: str, biased: bool) -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        y = tf.nn.conv2d(x, weights(3, 3, 4, C), 2, "SAME")
        return activated(tf, activation, tf.nn.bias_add(y, weights(C)) if biased else y)

    graph = trace(build, (2, 9, 8, 4))
    assert check(graph, fuse_conv, fuse_composites, tolerance=ROUNDING) == 1
    call = only(graph, "PartitionedCall")
    assert composite_kernel(call) == "FusedConv2D" and len(call.inputs) == 2 + biased
    attrs = composite_attrs(call)
    assert attrs["activation"] == activation.encode() and attrs["padding"] == b"SAME"


def test_other_gates_stay() -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        filters = [0.1 * weights(1, 1, 4, C, seed=i) for i in range(6)]
        y = [tf.nn.bias_add(tf.nn.conv2d(x, w, 1, "SAME"), weights(C)) for w in filters]
        shared = tf.sigmoid(y[4])
        return [
            y[0] * (tf.nn.relu6(y[0] + 2.0) / 6.0),
            y[1] * (tf.nn.relu6(y[1] + 3.0) / 5.0),
            y[2] * (6.0 / tf.nn.relu6(y[2] + 3.0)),
            y[3] * tf.sigmoid(y[3]) + y[3],
            y[4] * shared + shared,
            y[5] * tf.tanh(y[5]),
        ]

    graph = trace(build, (2, 9, 8, 4))
    assert check(graph, fuse_conv, fuse_composites, tolerance=ROUNDING) == 0


def test_hard_swish_divided() -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        y = tf.nn.conv2d(x, weights(3, 3, 4, C), 2, "SAME")
        return y * (tf.nn.relu6(y + 3.0) / 6.0)

    graph = trace(build, (2, 9, 8, 4))
    assert check(graph, fuse_conv, fuse_composites, tolerance=ROUNDING) == 1
    assert composite_attrs(only(graph, "PartitionedCall"))["activation"] == b"HardSwish"


@pytest.mark.parametrize("biased", [True, False])
def test_zeros_around_a_depthwise_convolution_go_into_the_composite(biased: bool) -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        padded = tf.pad(x, [[0, 0], [0, 1], [1, 2], [0, 0]])
        y = tf.nn.depthwise_conv2d(padded, weights(3, 3, 3, 2), [1, 2, 2, 1], "VALID")
        return [tf.nn.relu6(tf.nn.bias_add(y, weights(C))) if biased else y, tf.exp(padded)]

    graph = trace(build, (2, 8, 8, 3))
    assert check(graph, fuse_composites, tolerance=ROUNDING) == 1
    assert ops(graph) == ["Exp", "Pad", "PartitionedCall"]
    call = only(graph, "PartitionedCall")
    assert composite_kernel(call) == ("FusedDepthwiseConv2dNative" if biased else "DepthwiseConv2dNative")
    assert composite_attrs(call)["explicit_paddings"] == [0, 0, 0, 1, 1, 2, 0, 0]
    assert len(call.inputs) == (3 if biased else 2)


@pytest.mark.parametrize("op", ["Conv2D", "MatMul"])
def test_an_activation_without_bias_gets_zeros(op: str) -> None:
    import tensorflow as tf

    linear, shape = LINEAR[op]
    graph = trace(lambda x: tf.nn.relu(linear(tf, x)), shape)
    check(graph, fuse_conv, fuse_matmul, tolerance=ROUNDING)
    assert ops(graph) == [f"_Fused{op}"]


@pytest.mark.parametrize("op", LINEAR)
def test_what_others_read_is_not_fused(op: str) -> None:
    import tensorflow as tf

    linear, shape = LINEAR[op]

    def build(x: Any) -> Any:
        y = tf.nn.bias_add(linear(tf, x), weights(C))
        return [tf.nn.relu(y), tf.exp(y)]

    graph = trace(build, shape)
    check(graph, fuse_conv, fuse_matmul, fuse_composites, tolerance=ROUNDING)
    assert {"Exp", "Relu"} <= set(ops(graph))


def test_what_is_no_bias_is_not_fused() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.matmul(x, weights(4, C)) + weights(3, C), (3, 4))
    assert check(graph, fuse_matmul) == 0
    graph = trace(lambda x: tf.tanh(tf.nn.conv2d(x, weights(3, 3, 4, C), 1, "SAME")), (2, 9, 8, 4))
    assert check(graph, fuse_conv) == 0


def test_channels_first_is_an_error_that_names_the_node() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.nn.conv2d(x, weights(3, 3, 4, C), 1, "SAME", data_format="NCHW", name="first"),
                  (2, 4, 9, 8))  # fmt: skip
    with pytest.raises(PassError, match=r"'first' \(Conv2D\) has data_format NCHW"):
        fuse_conv(graph)
