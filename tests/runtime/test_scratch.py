"""Scratch memory lies in the arena wherever tensors leave room, and does not disturb them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wherry


def test_scratch_memory_finds_room_in_the_arena(tmp_path: Path) -> None:
    import tensorflow as tf

    generator = np.random.default_rng(0)
    wide = tf.constant(generator.standard_normal((1, 1, 16, 2048), np.float32))
    narrow = tf.constant(generator.standard_normal((1, 1, 2048, 128), np.float32) / 32)
    square = tf.constant(generator.standard_normal((3, 3, 128, 128), np.float32) / 32)

    @tf.function(input_signature=[tf.TensorSpec((1, 28, 28, 16), tf.float32, name="x")])
    def network(x: tf.Tensor) -> tf.Tensor:
        y = tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, wide, 1, "SAME")), narrow, 1, "SAME")
        return tf.nn.conv2d(y, square, 1, "SAME") + y

    path = tmp_path / "network.wherry"
    report = wherry.compile(wherry.load(network.get_concrete_function()), path)
    x = generator.standard_normal((1, 28, 28, 16), np.float32)
    outputs = {}
    for threads in (1, 2):
        with wherry.Executor(path, threads=threads) as executor:
            (outputs[threads],) = executor.run({"x": x}).values()
            added = executor.stats.peak_bytes - report.arena_bytes - report.largest_partition_bytes
            # Of the 1x1 convolutions; the 3x3 convolution asks for a megabyte, and more with each thread.
            assert added < 400_000 * threads
    expected = network(tf.constant(x)).numpy()
    assert np.abs(outputs[1] - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.array_equal(outputs[1], outputs[2])


def test_many_threads_get_by_with_little_behind_a_full_arena(tmp_path: Path) -> None:
    import tensorflow as tf

    generator = np.random.default_rng(1)
    square = tf.constant(generator.standard_normal((3, 3, 64, 64), np.float32) / 24)

    @tf.function(input_signature=[tf.TensorSpec((1, 56, 56, 64), tf.float32, name="x")])
    def network(x: tf.Tensor) -> tf.Tensor:
        y = tf.nn.relu(x)
        return tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(y, square, 1, "SAME")), square, 1, "SAME") + y

    path = tmp_path / "network.wherry"
    report = wherry.compile(wherry.load(network.get_concrete_function()), path)
    x = generator.standard_normal((1, 56, 56, 64), np.float32)
    outputs = {}
    for threads in (1, 8):
        with wherry.Executor(path, threads=threads) as executor:
            (outputs[threads],) = executor.run({"x": x}).values()
            added = executor.stats.peak_bytes - report.arena_bytes - report.largest_partition_bytes
            assert added < max(800_000, 300_000 * threads)  # twice as much without a limit
    assert np.array_equal(outputs[1], outputs[8])
