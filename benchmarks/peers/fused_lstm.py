"""Keras' LSTM layers in the forms that the peers' converters know as one operation.

Keras 3 exports an LSTM as a `While` loop. Of that loop tf2onnx makes an ONNX `Loop` and LiteRT's converter a
`WHILE` of small kernels, which ncnn cannot run and the others mostly run slower than the LSTM kernel that all
four have. A comparison should meet them at their best, so before conversion each layer can be replaced:

- for LiteRT by a function marked as an LSTM in the way Keras 2 marked its own, which the converter turns
  into UNIDIRECTIONAL_SEQUENCE_LSTM;
- for ONNX by TensorFlow's BlockLSTMV2, for which `onnx_lstm` here is tf2onnx's handler.

The weights stay the same, and every converted model is compared with TensorFlow's answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class _ReplacedLSTM(keras.layers.Layer):  # type: ignore[misc]
    """An LSTM layer's place in the model, computed by `sequence`: [1, steps, in] to [1, steps, units]."""

    def __init__(self, lstm: keras.layers.LSTM) -> None:
        super().__init__(name=f"{lstm.name}_fused")
        self.units: int = lstm.units
        self.whole: bool = lstm.return_sequences
        self.kernel, self.recurrent, self.bias = (np.asarray(w) for w in lstm.get_weights())

    def sequence(self, x: Any) -> Any:
        raise NotImplementedError

    def call(self, x: Any, mask: Any = None) -> Any:
        y = self.sequence(x)
        return y if self.whole else y[:, -1]

    def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], self.units) if self.whole else (shape[0], self.units)


class LiteRTLSTM(_ReplacedLSTM):
    """A call of a function that LiteRT's converter replaces whole; its body only gives TensorFlow the same answer."""

    def sequence(self, x: Any) -> Any:
        marks = {"api_implements": f"lstm_{self.name}", "time_major": False, "go_backwards": False}

        @tf.function(autograph=False, experimental_attributes=marks)
        def standard_lstm(x: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
            def step(state: Any, row: Any) -> Any:
                gates = row @ kernel + state[0] @ recurrent + bias
                i, f, g, o = tf.split(gates, 4, axis=1)
                c = tf.sigmoid(f) * state[1] + tf.sigmoid(i) * tf.tanh(g)
                return tf.sigmoid(o) * tf.tanh(c), c

            hidden, cells = tf.scan(step, tf.transpose(x, (1, 0, 2)), (h, c))
            y = tf.transpose(hidden, (1, 0, 2))
            return y[:, -1], y, y[:, -1], cells[-1], tf.constant(0.0)  # the five outputs the converter expects

        zero = tf.zeros((1, self.units))
        weights = (tf.constant(w) for w in (self.kernel, self.recurrent, self.bias))
        return standard_lstm(x, zero, zero, *weights)[1]


class BlockLSTM(_ReplacedLSTM):
    """TensorFlow's BlockLSTMV2, whose order of gates (input, forget, cell, output) is Keras' own."""

    def sequence(self, x: Any) -> Any:
        steps = x.shape[1]
        zero, none = tf.zeros((1, self.units)), tf.zeros((self.units,))
        y = tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.constant(steps, tf.int64),
            x=tf.transpose(x, (1, 0, 2)),
            cs_prev=zero,
            h_prev=zero,
            w=tf.constant(np.concatenate([self.kernel, self.recurrent])),
            wci=none,
            wcf=none,
            wco=none,
            b=tf.constant(self.bias),
            cell_clip=0.0,
            use_peephole=False,
        ).h
        return tf.transpose(tf.reshape(y, (steps, 1, self.units)), (1, 0, 2))


def replace_lstms(model: keras.Model, by: Callable[[keras.layers.LSTM], _ReplacedLSTM]) -> keras.Model:
    """A copy of a functional model of batch one with every LSTM layer replaced; other layers are shared."""

    def replaced(layer: Any) -> Any:
        return by(layer) if isinstance(layer, keras.layers.LSTM) else layer

    return keras.models.clone_model(model, clone_function=replaced)


def onnx_lstm(ctx: Any, node: Any, name: str, args: Any) -> None:
    """tf2onnx's handler of BlockLSTMV2: an ONNX LSTM, whose gates come as input, output, forget, cell."""
    from tf2onnx.utils import make_name

    def reordered(w: np.ndarray) -> np.ndarray:
        i, f, c, o = np.split(w, 4)
        return np.concatenate([i, o, f, c])

    def constant(suffix: str, value: np.ndarray) -> str:
        output: str = ctx.make_const(make_name(f"{node.name}_{suffix}"), value).output[0]
        return output

    weights = reordered(node.inputs[4].get_tensor_value(as_list=False).T)
    bias = reordered(node.inputs[8].get_tensor_value(as_list=False))
    units = len(bias) // 4
    features = weights.shape[1] - units
    x, hidden = node.input[1], node.output[6]
    steps, kind = ctx.get_shape(x)[0], ctx.get_dtype(x)
    inputs = [
        x,
        constant("W", np.ascontiguousarray(weights[None, :, :features])),
        constant("R", np.ascontiguousarray(weights[None, :, features:])),
        constant("B", np.concatenate([bias, np.zeros_like(bias)])[None]),
    ]
    ctx.remove_node(node.name)
    lstm = ctx.make_node("LSTM", inputs, attr={"hidden_size": units}, shapes=[[steps, 1, 1, units]], dtypes=[kind])
    axes = constant("axes", np.array([1], np.int64))
    ctx.make_node("Squeeze", [lstm.output[0], axes], outputs=[hidden], shapes=[[steps, 1, units]], dtypes=[kind])
