"""Zeros around a tensor go into the op that reads it, where that computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from small_graphs import ROUNDING, check, only, ops, trace, weights
from wherry.passes.absorb_pads import absorb_pads

AROUND = [[0, 0], [1, 2], [0, 1], [0, 0]]


def conv(tf: Any, x: Any, padding: Any = "VALID", stride: int = 2, dilation: int = 1) -> Any:
    return tf.nn.conv2d(x, weights(3, 3, 4, 5), stride, padding, dilations=dilation)


def pool(tf: Any, x: Any, size: int = 3) -> Any:
    return tf.nn.max_pool2d(x, size, 2, "VALID")


CASES: dict[str, tuple[Callable[[Any, Any], Any], bool]] = {
    "conv": (lambda tf, x: conv(tf, tf.pad(x, AROUND)), True),
    "dilated conv": (lambda tf, x: conv(tf, tf.pad(x, AROUND), stride=1, dilation=2), True),
    "pad of pad": (lambda tf, x: conv(tf, tf.pad(tf.pad(x, AROUND), AROUND)), True),
    "explicit conv": (
        lambda tf, x: conv(tf, tf.pad(x, AROUND), [[0, 0], [1, 1], [2, 2], [0, 0]]), True),
    "depthwise, which only a composite may": (
        lambda tf, x: tf.nn.depthwise_conv2d(tf.pad(x, AROUND), weights(3, 3, 4, 2), [1, 2, 2, 1], "VALID"), False),
    "PadV2 of zeros": (lambda tf, x: conv(tf, tf.raw_ops.PadV2(input=x, paddings=AROUND, constant_values=0.0)), True),
    "PadV2 of ones": (lambda tf, x: conv(tf, tf.raw_ops.PadV2(input=x, paddings=AROUND, constant_values=1.0)), False),
    "same conv": (lambda tf, x: conv(tf, tf.pad(x, AROUND), "SAME"), False),
    "pool of what is not negative": (lambda tf, x: pool(tf, tf.pad(tf.nn.relu(x), AROUND)), True),
    "pool through concat": (
        lambda tf, x: pool(tf, tf.pad(tf.concat([tf.nn.relu6(x), tf.sigmoid(x)], 3), AROUND)), True),
    "pool of anything": (lambda tf, x: pool(tf, tf.pad(x - 5.0, AROUND)), False),
    "pool smaller than the padding": (lambda tf, x: pool(tf, tf.pad(tf.nn.relu(x), AROUND), 2), False),
    "average pool": (lambda tf, x: tf.nn.avg_pool2d(tf.pad(x, AROUND), 3, 2, "VALID"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_absorb_pads(name: str) -> None:
    import tensorflow as tf

    build, absorbed = CASES[name]
    graph = trace(lambda x: build(tf, x), (2, 9, 10, 4))
    assert (check(graph, absorb_pads, tolerance=ROUNDING) > 0) == absorbed
    assert any(op in ("Pad", "PadV2") for op in ops(graph)) != absorbed
    assert absorb_pads(graph) == 0


def test_a_pad_with_other_readers_stays_for_them() -> None:
    import tensorflow as tf

    def build(x: Any) -> Any:
        padded = tf.pad(x, AROUND)
        return [conv(tf, padded), tf.exp(padded)]

    graph = trace(build, (2, 9, 10, 4))
    check(graph, absorb_pads, tolerance=ROUNDING)
    assert ops(graph) == ["Conv2D", "Exp", "Pad"]
    assert only(graph, "Conv2D").attrs["explicit_paddings"] == [0, 0, 1, 2, 0, 1, 0, 0]
