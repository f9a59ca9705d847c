"""Convolutions with large tensors between them become chains, and nothing that others read disappears in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import wherry
from wherry.graph import Graph
from wherry.plan.arena import plan_arena
from wherry.plan.lower import lower

_SIZE = 96
_generator = np.random.default_rng(0)


def _weight(*shape: int) -> tf.Tensor:
    return tf.constant(_generator.standard_normal(shape, np.float32) / np.float32(np.prod(shape[:-1]) ** 0.5))


_STEM, _TAPS, _EXPAND = _weight(3, 3, 3, 16), _weight(3, 3, 96, 1), _weight(1, 1, 16, 96)
_PROJECT, _SQUARE = _weight(1, 1, 96, 16), _weight(3, 3, 96, 16)


def _graph(tail: Any, size: int = _SIZE) -> Graph:
    """An image through a stem and a wide 1x1 convolution, and what `tail` makes of both."""
    from wherry.compiler import optimised

    def network(x: tf.Tensor) -> dict[str, tf.Tensor]:
        stem = tf.nn.relu6(tf.nn.bias_add(tf.nn.conv2d(x, _STEM, 2, "SAME"), tf.range(16.0) / 16.0))
        return tail(stem, tf.nn.relu6(tf.nn.conv2d(stem, _EXPAND, 1, "SAME")))

    kind = tf.TensorSpec([1, 2 * size, 2 * size, 3], tf.float32, "x")
    return optimised(tf.function(network).get_concrete_function(kind))


def _block(stem: tf.Tensor, wide: tf.Tensor) -> dict[str, tf.Tensor]:
    y = tf.nn.relu6(tf.nn.depthwise_conv2d(wide, _TAPS, [1, 2, 2, 1], "SAME"))
    return {"y": tf.nn.conv2d(y, _PROJECT, 1, "SAME")}


def _kernels(graph: Graph) -> list[str]:
    return [step.kernel for step in lower(graph).steps]


def test_large_tensors_are_never_whole(tmp_path: Path) -> None:
    graph = _graph(_block)
    program = lower(graph)
    plan_arena(program)
    (step,) = program.steps
    assert step.kernel == "ConvChain_f32_wf32"
    assert [tensor.shape[1:] for tensor in step.outputs] == [(48, 48, 16), (96, 96, 16), (96, 96, 96), (48, 48, 96)]
    assert [tensor.storage is None for tensor in step.outputs] == [False, True, True, True]
    assert program.arena_bytes == 48 * 48 * 16 * 4
    wherry.compile(graph, tmp_path / "m.wherry")
    x = _generator.standard_normal((1, 2 * _SIZE, 2 * _SIZE, 3), np.float32)
    with wherry.TensorFlowExecutor(graph, partitions=1) as executor:
        expected = executor.run({"x": x})["y"]
    results = []
    for threads in (1, 2):
        with wherry.Executor(tmp_path / "m.wherry", threads=threads) as executor:
            results.append(executor.run({"x": x})["y"])
    assert np.abs(results[0] - expected).max() <= 1e-5 * np.abs(expected).max()
    np.testing.assert_array_equal(results[0], results[1])


def test_a_chain_adds_what_its_last_part_adds(tmp_path: Path) -> None:
    def tail(stem: tf.Tensor, wide: tf.Tensor) -> dict[str, tf.Tensor]:
        y = tf.nn.relu6(tf.nn.depthwise_conv2d(wide, _TAPS, [1, 1, 1, 1], "SAME"))
        return {"y": tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(y, _PROJECT, 1, "SAME"), tf.range(16.0)) + stem)}

    graph = _graph(tail)
    program = lower(graph)
    last = program.steps[-1]
    assert last.kernel == "ConvChain_f32_wf32" and last.attrs["adds"] == 1
    assert last.inputs[-1] is program.steps[0].outputs[0]
    assert last.outputs[0].storage is not last.inputs[-1].storage  # rows are read after others are written
    wherry.compile(graph, tmp_path / "m.wherry")
    x = _generator.standard_normal((1, 2 * _SIZE, 2 * _SIZE, 3), np.float32)
    with wherry.TensorFlowExecutor(graph, partitions=1) as executor:
        expected = executor.run({"x": x})["y"]
    for threads in (1, 2):
        with wherry.Executor(tmp_path / "m.wherry", threads=threads) as executor:
            y = executor.run({"x": x})["y"]
        assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()


def test_what_else_is_read_stays() -> None:
    def tail(stem: tf.Tensor, wide: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**_block(stem, wide), "wide": wide}

    graph = _graph(tail)
    names = {step.outputs[0].name for step in lower(graph).steps}
    assert str(graph.outputs["wide"]) in names

    def twice(stem: tf.Tensor, wide: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": _block(stem, wide)["y"] + tf.reduce_sum(wide)}

    steps = lower(_graph(twice)).steps
    (reduced,) = [step.inputs[0] for step in steps if step.op == "Sum"]
    assert reduced.storage is not None
    assert any(reduced in step.outputs for step in steps)


def test_small_tensors_need_no_chain() -> None:
    assert "ConvChain_f32_wf32" not in _kernels(_graph(_block, size=16))


def test_what_has_a_loop_of_its_own_stays() -> None:
    def tail(stem: tf.Tensor, wide: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.nn.conv2d(wide, _SQUARE, 1, "SAME")}

    assert _kernels(_graph(tail))[-1] == "Conv2D_f32_wf32"


def test_quantized_weights_make_no_chain(tmp_path: Path) -> None:
    report = wherry.compile(_graph(_block), tmp_path / "m.wherry", quantize="int8-weights")
    assert "ConvChain_f32_wf32" not in report.kernels


def test_leaky_relu_makes_no_chain() -> None:
    def tail(stem: tf.Tensor, wide: tf.Tensor) -> dict[str, tf.Tensor]:
        y = tf.nn.leaky_relu(tf.nn.depthwise_conv2d(wide, _TAPS, [1, 1, 1, 1], "SAME"), 0.1)
        return {"y": tf.nn.conv2d(y, _PROJECT, 1, "SAME")}

    kernels = _kernels(_graph(tail))
    assert kernels[-2:] == ["DepthwiseConv2dNative_f32_wf32", "Conv2D_f32_wf32"]
