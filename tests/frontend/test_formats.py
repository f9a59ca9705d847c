"""Every format of the same model loads to a graph that gives the model's own answer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from wherry.errors import LoadError
from wherry.frontend import load
from wherry.graph.convert import to_graphdef


def concrete(case, batch=None):
    spec = tf.TensorSpec((batch, *case.x.shape[1:]), case.x.dtype, name="x")
    return tf.function(lambda x: case.model(x, training=False)).get_concrete_function(spec)


def test_keras_export(case, judge, tmp_path):
    case.model.export(tmp_path / "model", verbose=False)
    graph = judge(tmp_path / "model", case.x, {"output_0": case.y})
    assert list(graph.inputs) == [case.model.inputs[0].name]
    assert graph.name == "model"


def test_saved_model_file_stands_for_its_folder(conv_case, judge, tmp_path):
    conv_case.model.export(tmp_path / "model", verbose=False)
    judge(tmp_path / "model" / "saved_model.pb", conv_case.x, conv_case.y)


def test_tf_saved_model_save_of_keras_model(case, judge, tmp_path):
    """The restore op of such a SavedModel assigns only copies of the variables."""
    tf.saved_model.save(case.model, tmp_path / "model")
    judge(tmp_path / "model", case.x, {"output_0": case.y})


def test_loaded_saved_model(recurrent_case, judge, tmp_path):
    recurrent_case.model.export(tmp_path / "model", verbose=False)
    judge(tf.saved_model.load(tmp_path / "model"), recurrent_case.x, {"output_0": recurrent_case.y})


def test_keras_file(case, judge, tmp_path):
    case.model.save(tmp_path / "model.keras")
    judge(tmp_path / "model.keras", case.x, {"output_0": case.y})


def test_h5_file(case, judge, tmp_path):
    case.model.save(tmp_path / "model.h5")
    judge(str(tmp_path / "model.h5"), case.x, {"output_0": case.y})


def test_keras_object(case, judge):
    judge(case.model, case.x, {"output_0": case.y})


def test_keras_object_reads_weights_when_asked():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="d")])
    graph = load(model)
    model.layers[0].kernel.assign(np.full((3, 2), 7, np.float32))
    kernel = next(node for node in graph.nodes.values() if node.value is not None and node.value.type.shape == (3, 2))
    assert kernel.name.endswith("d/kernel")
    assert (kernel.value.numpy() == 7).all()


def test_subclassed_keras_model(judge):
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.other = keras.layers.Dense(3), keras.layers.Dense(2)

        def call(self, inputs):
            return {"sum": self.one(inputs["a"]) + self.one(inputs["b"]), "other": self.other(inputs["b"])}

    model = Two()
    x = {name: np.random.default_rng(4).normal(size=(1, 5)).astype(np.float32) for name in "ab"}
    y = {name: np.asarray(value) for name, value in sorted(model(x).items())}
    judge(model, x, y)


def test_unbuilt_keras_model():
    with pytest.raises(LoadError, match="has not been called yet"):
        load(keras.Sequential([keras.layers.Dense(2)]))


def test_dropout_inside_a_loop(judge, tmp_path):
    """Keras advances the seeds of dropout even where it drops nothing; that is no reason to refuse the model."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((7, 5)),
            layers.LSTM(4, dropout=0.5, recurrent_dropout=0.5),
            layers.Dropout(0.4),
        ]
    )
    x = np.random.default_rng(10).normal(size=(1, 7, 5)).astype(np.float32)
    y = np.asarray(model(x, training=False))
    judge(model, x, y)
    model.export(tmp_path / "model", verbose=False)
    judge(tmp_path / "model", x, y)


def test_recurrent_state_that_is_kept(tmp_path):
    layers = keras.layers
    model = keras.Sequential([layers.Input((7, 5), batch_size=1), layers.LSTM(4, stateful=True)])
    with pytest.raises(LoadError, match="rnn_state' is changed during inference"):
        load(model)


def test_masking_attention_and_bfloat16(judge, tmp_path):
    layers = keras.layers
    x = np.random.default_rng(11).normal(size=(1, 7, 8)).astype(np.float32)
    x[:, 4:] = 0
    given = layers.Input((7, 8))
    hidden = layers.GRU(8, return_sequences=True)(layers.Masking()(given))
    hidden = layers.LayerNormalization()(hidden + layers.MultiHeadAttention(2, 4)(hidden, hidden))
    hidden = layers.Dense(5, dtype="bfloat16")(hidden)
    model = keras.Model(given, layers.Dense(3, dtype="float32")(hidden))
    y = np.asarray(model(x, training=False))
    judge(model, x, y)
    model.export(tmp_path / "model", verbose=False)
    judge(tmp_path / "model", x, y)


def test_keras_model_with_several_inputs_and_outputs(judge, tmp_path):
    a, b = keras.Input((4,), name="a"), keras.Input((6,), name="b")
    joined = keras.layers.Concatenate()([keras.layers.Dense(3)(a), b])
    model = keras.Model([a, b], {"late": keras.layers.Dense(2)(joined), "early": keras.layers.ReLU()(joined)})
    random = np.random.default_rng(5)
    x = {
        "a": random.normal(size=(1, 4)).astype(np.float32),
        "b": random.normal(size=(1, 6)).astype(np.float32),
    }
    y = {name: np.asarray(value) for name, value in sorted(model([x["a"], x["b"]]).items())}
    judge(model, x, y)
    model.export(tmp_path / "model", verbose=False)
    judge(tmp_path / "model", x, y)


def test_concrete_function(case, judge):
    graph = judge(concrete(case), {"x": case.x}, {"output_0": case.y})
    assert graph.nodes["x"].attrs["shape"].dims == case.x.shape


def test_function_with_input_signature(judge):
    scale = tf.Variable([2.0, 3.0])

    @tf.function(input_signature=[tf.TensorSpec((None, 2), name="x")])
    def scaled(x):
        return x * scale, x + 1.0

    x = np.ones((1, 2), np.float32)
    judge(scaled, {"x": x}, {"output_0": x * [2, 3], "output_1": x + 1})


def test_frozen_graphs(case, judge, tmp_path):
    """As a .pb, a .pbtxt and in memory; frozen by TensorFlow, whose function calls are inlined by it, or
    not."""
    frozen = convert_variables_to_constants_v2(concrete(case), lower_control_flow=False).graph.as_graph_def()
    (tmp_path / "model.pb").write_bytes(frozen.SerializeToString())
    (tmp_path / "model.pbtxt").write_text(text_format.MessageToString(frozen))
    for model in (frozen, tmp_path / "model.pb", tmp_path / "model.pbtxt"):
        graph = judge(model, {"x": case.x}, case.y)
        assert list(graph.outputs) == ["Identity"]


def test_own_graphdef_loads_again(case, judge):
    graph = load(case.model)
    output = str(graph.outputs["output_0"])
    judge(to_graphdef(graph), case.x, {output: case.y}, outputs=[output])


def test_frozen_graph_with_old_control_flow(recurrent_case, judge):
    """Switch, Merge, Enter and Exit are kept, with the control edges that place nodes in their frames."""
    frozen = convert_variables_to_constants_v2(concrete(recurrent_case), lower_control_flow=True)
    graph_def = frozen.graph.as_graph_def()
    assert "Enter" in {node.op for node in graph_def.node}
    graph = load(graph_def)
    from wherry.runtime.tensorflow_runner import run_graph

    np.testing.assert_allclose(run_graph(graph, {"x": recurrent_case.x})["Identity"], recurrent_case.y, atol=1e-6)
