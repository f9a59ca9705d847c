"""A convolution with a residual writes over the residual: same bits as beside it, at every depth and width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wherry
from wherry.graph import Graph
from wherry.plan.lower import lower
from wherry.plan.program import Step

# Channels in and out, filter size, image size. Depths on either side of one block of the inner loops (64 and 256) and
# of several; widths that do not fill a panel of 16; few rows, and more than are summed up at once.
SIZES = [
    (8, 8, 1, 5), (40, 24, 3, 9), (300, 40, 1, 14), (96, 160, 1, 7), (64, 530, 3, 8), (520, 33, 1, 1), (130, 7, 3, 2),
]  # fmt: skip


def _block(channels: int, outputs: int, size: int, width: int) -> Graph:
    """y = relu(conv(x) + s), where s is r in memory that y may take; z = relu(conv(x) + r), where r is the caller's."""
    from wherry.compiler import optimised

    rng = np.random.default_rng([channels, outputs])
    weights = rng.normal(size=(size, size, channels, outputs)).astype(np.float32) / np.float32(channels)
    bias = rng.normal(size=outputs).astype(np.float32)

    def function(x: Any, r: Any) -> dict[str, Any]:
        both = [tf.nn.bias_add(tf.nn.conv2d(x, weights, 1, "SAME"), bias) for _ in range(2)]
        return {"y": tf.nn.relu(both[0] + tf.maximum(r, -100.0)), "z": tf.nn.relu(both[1] + r)}

    specs = [tf.TensorSpec([1, width, width, channels], tf.float32, "x"),
             tf.TensorSpec([1, width, width, outputs], tf.float32, "r")]  # fmt: skip
    return optimised(tf.function(function).get_concrete_function(*specs))


def _is_in_place(step: Step) -> bool:
    return step.outputs[0].storage is step.inputs[3].storage


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("quantize", [None, "int8"])
def test_in_place_gives_the_same_bits(size: tuple[int, int, int, int], quantize: str | None, tmp_path: Path) -> None:
    channels, outputs, _, width = size
    graph = _block(*size)
    inputs = {"x": np.random.default_rng(1).normal(size=(1, width, width, channels)).astype(np.float32),
              "r": np.random.default_rng(2).normal(size=(1, width, width, outputs)).astype(np.float32)}  # fmt: skip
    steps = [step for step in lower(graph).steps if step.op == "FusedConv2DAdd"]
    assert sorted(map(_is_in_place, steps)) == [False, True]
    wherry.compile(graph, tmp_path / "m.wherry", quantize=quantize, measure_outputs=False)
    seen = []
    for threads in (1, 2, 3):
        with wherry.Executor(tmp_path / "m.wherry", threads=threads) as executor:
            seen.append(executor.run(inputs))
        np.testing.assert_array_equal(seen[-1]["y"], seen[-1]["z"])
        np.testing.assert_array_equal(seen[-1]["y"], seen[0]["y"])


def test_a_residual_that_is_the_image_too_is_not_written_over() -> None:
    from wherry.compiler import optimised

    weights = np.ones((3, 3, 4, 4), np.float32)

    def function(x: Any) -> dict[str, Any]:
        image = tf.tanh(x)
        product = tf.nn.bias_add(tf.nn.conv2d(image, weights, 1, "SAME"), np.ones(4, np.float32))
        return {"y": tf.nn.relu(product + image)}

    spec = tf.TensorSpec([1, 5, 5, 4], tf.float32, "x")
    steps = lower(optimised(tf.function(function).get_concrete_function(spec))).steps
    assert [step.op for step in steps] == ["Tanh", "FusedConv2DAdd"]
    assert not _is_in_place(steps[1])
