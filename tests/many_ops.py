"""A graph that calls a great many kernels once each: what the fuzzer and the sanitizers run."""

from __future__ import annotations

from typing import Any

import numpy as np
from wherry.graph import Graph


def many_ops() -> Graph:
    """Inputs "x" [2, 6, 8, 4] float32 and "i" [2, 3] int32; an output for each op."""
    import tensorflow as tf
    from wherry.compiler import optimised

    rng = np.random.default_rng(3)

    def weights(*shape: int) -> Any:
        return tf.constant(rng.normal(size=shape).astype(np.float32) * 0.2)

    def build(x: Any, i: Any) -> dict[str, Any]:
        raw = tf.raw_ops
        flat = tf.reshape(x, [16, 24])
        small = tf.nn.relu(x) * 0.5 + 0.1
        halves = tf.split(x, 2, axis=2)
        uneven = tf.split(x, [1, 5], axis=1)
        top = tf.math.top_k(flat, 3)
        return {
            "pad": tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]),
            "pad_value": tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], constant_values=2.0),
            "mirror": tf.pad(x, [[0, 0], [1, 2], [3, 1], [0, 0]], "REFLECT"),
            "tile": tf.tile(x, [1, 2, 1, 3]),
            "transpose": tf.transpose(x, [0, 3, 1, 2]),
            "slice": tf.slice(x, [0, 1, 2, 0], [2, 3, 4, 3]),
            "strided": x[:, ::-2, 1:7:3, tf.newaxis, 2],
            "split": tf.concat([halves[1], halves[0]], axis=-1),
            "uneven": uneven[0] + tf.reduce_mean(uneven[1], axis=1, keepdims=True),
            "stack": tf.stack([flat, flat * 2.0], axis=1),
            "unstack": tf.add_n(tf.unstack(x, axis=3)),
            "gather": tf.gather(flat, i, axis=1),
            "table": tf.gather(weights(64, 32), i),
            "one_hot": tf.one_hot(i, 5, on_value=2.0, off_value=-1.0),
            "cumsum": tf.cumsum(x, axis=2, exclusive=True, reverse=True),
            "reverse": tf.reverse(x, [1, 3]),
            "top": top.values,
            "top_at": top.indices,
            "arg_max": tf.argmax(x, axis=2, output_type=tf.int32),
            "space": tf.nn.space_to_depth(x, 2),
            "depth": tf.nn.depth_to_space(x, 2),
            "blocks": tf.space_to_batch(x, [2, 2], [[1, 1], [0, 2]]),
            "broadcast": tf.broadcast_to(x[:, :1], [2, 6, 8, 4]) * 2.0,
            "select": tf.where(x > 0.0, x, tf.exp(x)),
            "compare": tf.cast(tf.logical_and(x[..., 0] > 0.1, x[..., 1] <= 0.3), tf.float32),
            "cast": tf.cast(tf.cast(x * 10.0, tf.int32) // 3 % 5, tf.float32),
            "clip": tf.clip_by_value(x, -0.5, 0.5),
            "reduce": tf.reduce_max(x, axis=[1, 3]) - tf.reduce_min(x, axis=[1, 3]) + tf.reduce_sum(x, axis=[1, 3]),
            "every": tf.reduce_all(x > -9.0, axis=2),
            "functions": tf.math.log1p(small) + tf.sqrt(small) + tf.tanh(x) + tf.sigmoid(x) + tf.math.erf(x),
            "more": tf.nn.elu(x) + tf.nn.selu(x) + tf.nn.softplus(x) + tf.nn.leaky_relu(x, 0.1),
            "and_more": tf.nn.relu6(x) + tf.sin(x),
            "arithmetic": tf.math.divide_no_nan(x, small) + tf.pow(small, 1.5) + tf.math.squared_difference(x, small),
            "softmax": tf.nn.softmax(flat) + tf.nn.log_softmax(flat),
            "lrn": tf.nn.lrn(x),
            "max_pool": tf.nn.max_pool2d(x, 3, 2, "SAME"),
            "avg_pool": tf.nn.avg_pool2d(x, 2, 1, "VALID"),
            "bilinear": raw.ResizeBilinear(images=x, size=[9, 11], half_pixel_centers=True),
            "nearest": raw.ResizeNearestNeighbor(images=x, size=[12, 16], half_pixel_centers=True),
            "conv": tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 4, 32), [1, 2, 1, 1], "SAME") + weights(32)),
            "residual": tf.nn.relu6(tf.nn.conv2d(x, weights(3, 3, 4, 4), 1, "SAME") + weights(4) + tf.abs(x)),
            "dilated": tf.nn.conv2d(x, weights(3, 3, 4, 32), 1, "SAME", dilations=2),
            "depthwise": tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 30), [1, 1, 1, 1], "SAME"),
            "transposed": tf.nn.conv2d_transpose(x, weights(3, 3, 32, 4), [2, 12, 16, 32], 2, "SAME"),
            "dense": tf.nn.tanh(tf.matmul(flat, weights(24, 64)) + weights(64)),
            "dense_t": tf.matmul(flat, weights(64, 24), transpose_b=True),
            "product": tf.matmul(flat, flat, transpose_b=True),
            "batched": tf.matmul(x, x, transpose_a=True),
            "norm": tf.nn.batch_normalization(x, weights(4), tf.abs(weights(4)) + 1.0, weights(4), weights(4), 1e-3),
        }

    function = tf.function(build).get_concrete_function(
        tf.TensorSpec([2, 6, 8, 4], tf.float32, "x"), tf.TensorSpec([2, 3], tf.int32, "i")
    )
    return optimised(function)


def recurrent() -> Any:
    """LSTM and GRU layers with enough weights to be quantized."""
    import keras

    x = keras.Input((5, 12), name="x")
    y = keras.layers.Bidirectional(keras.layers.LSTM(24, return_sequences=True))(x)
    return keras.Model(x, keras.layers.Dense(40)(keras.layers.GRU(24)(y)))


def large_lstm() -> Any:
    """An LSTM whose weights of the state are large enough to lie in 28 bits each; rows for products of bfloat16."""
    import keras

    x = keras.Input((66, 70), name="x")
    return keras.Model(x, keras.layers.Dense(8)(keras.layers.LSTM(192)(x)))


def images() -> Any:
    """Convolutions whose patches of codes are read from the image where it lies, with padding and without."""
    import keras

    x = keras.Input((16, 16, 64), name="x")
    y = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    return keras.Model(x, keras.layers.Conv2D(32, 3)(keras.layers.ZeroPadding2D(1)(y)))


def winograd() -> Any:
    """3x3 convolutions of every form that cpp/math/winograd.h has, with a residual connection."""
    import keras

    def conv(x: Any, outputs: int, padding: str = "same") -> Any:
        return keras.layers.Conv2D(outputs, 3, padding=padding)(x)

    x = keras.Input((15, 13, 40), name="x")
    y = keras.layers.ReLU()(conv(x, 56))  # 4 x 4 outputs
    y = keras.layers.ReLU()(keras.layers.Add()([y, conv(y, 56)]))
    y = keras.layers.MaxPool2D(2)(y)
    y = conv(keras.layers.ZeroPadding2D(1)(y), 90, "valid")  # in registers
    y = keras.layers.UpSampling2D((1, 7))(keras.layers.Cropping2D(((0, 5), (0, 0)))(y))
    return keras.Model(x, conv(y, 72))  # 2 x 2 outputs
