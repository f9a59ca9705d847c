"""Residual connections become one composite with the convolution before them, in TensorFlow too."""

from __future__ import annotations

from typing import Any

import pytest
from small_graphs import EXACT, ROUNDING, check, only, ops, trace, weights
from wherry.graph import Ref
from wherry.passes.composite import composite_attrs, composite_kernel
from wherry.passes.fuse_activations import MATMUL_ACTIVATIONS, fuse_conv
from wherry.passes.fuse_residual import fuse_residual

C = 6
SHAPE = (2, 9, 8, C)


def conv(tf: Any, x: Any, size: int = 3, **options: Any) -> Any:
    linear = tf.nn.conv2d(x, weights(size, size, x.shape[-1], C), options.pop("strides", 1), "SAME", **options)
    return tf.nn.bias_add(linear, weights(C))


def activated(tf: Any, name: str, x: Any) -> Any:
    if name == "LeakyRelu":
        return tf.nn.leaky_relu(x, 0.3)
    return getattr(tf.raw_ops, name)(**{"x" if name in ("Sigmoid", "Tanh") else "features": x})


@pytest.mark.parametrize("activation", sorted(MATMUL_ACTIVATIONS))
@pytest.mark.parametrize("first", [True, False])
def test_conv_add_activation(activation: str, first: bool) -> None:
    import tensorflow as tf

    def build(x: Any, residual: Any) -> Any:
        y = conv(tf, x, strides=2, name="conv")
        return activated(tf, activation, y + residual if first else residual + y)

    graph = trace(build, (2, 17, 16, 4), SHAPE)
    fuse_conv(graph)
    last = graph.outputs["y0"]
    assert check(graph, fuse_residual, tolerance=EXACT) == 1
    assert ops(graph) == ["PartitionedCall"] and graph.outputs["y0"] == last
    call = only(graph, "PartitionedCall")
    attrs = composite_attrs(call)
    assert composite_kernel(call) == "FusedConv2DAdd"
    assert attrs["activation"] == activation.encode()
    assert attrs.get("leakyrelu_alpha") == (pytest.approx(0.3) if activation == "LeakyRelu" else None)
    assert attrs["strides"] == [1, 2, 2, 1] and attrs["padding"] == b"SAME"
    assert call.inputs[0] == Ref("x0") and call.inputs[3] == Ref("x1")
    assert [graph.type_of(ref).shape for ref in call.inputs] == [(2, 17, 16, 4), (3, 3, 4, C), (C,), SHAPE]
    (function,) = graph.functions.values()
    assert ops(function.graph) == sorted(["_FusedConv2D", "AddV2", activation])


def test_of_two_convolutions_the_later_one_takes_the_addition() -> None:
    import tensorflow as tf

    for swapped in (False, True):

        def build(x: Any, swapped: bool = swapped) -> Any:
            both = [conv(tf, x, 1, name="shortcut"), conv(tf, tf.nn.relu(conv(tf, x)), name="main")]
            return tf.nn.relu(tf.add(*(reversed(both) if swapped else both)))

        graph = trace(build, SHAPE)
        fuse_conv(graph)
        runs_later = [node for node in graph.topological() if node.op == "_FusedConv2D"][-1]
        source = runs_later.inputs[0]
        assert check(graph, fuse_residual, tolerance=EXACT) == 1
        assert ops(graph) == ["PartitionedCall", "_FusedConv2D", "_FusedConv2D"]
        call = only(graph, "PartitionedCall")
        assert call.inputs[0] == source
        assert graph.nodes[call.inputs[3].node].op == "_FusedConv2D"


def test_a_chain_of_blocks_shares_functions() -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        for _ in range(4):
            x = tf.nn.relu(conv(tf, tf.nn.relu(conv(tf, x))) + x)
        return x

    graph = trace(build, SHAPE)
    assert check(graph, fuse_conv, fuse_residual, tolerance=ROUNDING) == 4
    assert ops(graph) == ["PartitionedCall"] * 4 + ["_FusedConv2D"] * 4
    assert len(graph.functions) == 1


def test_both_sums_of_one_addition_chain_are_fused() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.nn.relu(conv(tf, x) + tf.nn.relu6(conv(tf, x, 1) + tf.nn.relu(x))), SHAPE)
    assert check(graph, fuse_conv, fuse_residual, tolerance=ROUNDING) == 2
    assert ops(graph) == ["PartitionedCall", "PartitionedCall", "Relu"]


def test_an_input_that_is_also_the_residual() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.nn.relu(conv(tf, x) + x), SHAPE)
    assert check(graph, fuse_conv, fuse_residual, tolerance=ROUNDING) == 1
    call = only(graph, "PartitionedCall")
    assert call.inputs[0] == call.inputs[3] == Ref("x0")


@pytest.mark.parametrize(
    "build",
    [
        lambda tf, x: (lambda y: [tf.nn.relu(y + x), tf.exp(y)])(conv(tf, x)),  # somebody else reads the convolution
        lambda tf, x: (lambda y: [y, tf.nn.relu(y + x)])(conv(tf, x)),  # it is an output of the model
        lambda tf, x: (lambda y: tf.nn.relu(y + y))(conv(tf, x)),
        lambda tf, x: tf.nn.relu(conv(tf, x) + x[:, :1]),  # the addition broadcasts
        lambda tf, x: tf.nn.relu(conv(tf, x[:, :1, :1]) + x),
        lambda tf, x: tf.nn.relu(tf.nn.relu(conv(tf, x)) + x),  # the activation comes before it
        lambda tf, x: tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, C, C), 1, "SAME") + x),  # no bias
        lambda tf, x: tf.nn.relu(tf.exp(x) + x),
        lambda tf, x: conv(tf, x) + x,  # no activation behind it
    ],
    ids=[
        "read twice", "output", "with itself", "broadcast", "broadcast conv", "activation", "no bias", "no conv",
        "bare sum",
    ],
)
def test_what_does_not_fit_stays(build: Any) -> None:
    import tensorflow as tf

    graph = trace(lambda x: build(tf, x), SHAPE)
    assert check(graph, fuse_conv, fuse_residual, tolerance=ROUNDING) == 0


def test_unknown_shapes_stay() -> None:
    import tensorflow as tf

    graph = trace(lambda x, y: tf.nn.relu(conv(tf, x) + y), (None, 9, 8, C), (None, 9, 8, C))
    assert check(graph, fuse_conv, fuse_residual, tolerance=ROUNDING) == 0


def test_a_sum_that_is_read_twice_stays() -> None:
    import tensorflow as tf

    graph = trace(lambda x: (lambda y: [tf.nn.relu(y), tf.exp(y)])(conv(tf, x) + tf.sin(x)), SHAPE)
    assert check(graph, fuse_conv, fuse_residual, tolerance=ROUNDING) == 0
