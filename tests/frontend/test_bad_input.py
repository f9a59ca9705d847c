"""What is not a model, or is a damaged one, gets one clear line."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from wherry.errors import LoadError, UsageError
from wherry.frontend import load

layers = keras.layers


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model"
    model = keras.Sequential([layers.Input((4,)), layers.Dense(300, name="wide"), layers.Dense(2)])
    model.export(path, verbose=False)
    return path


@pytest.fixture
def damaged(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "model")


def refusal(model, kind=LoadError, **options):
    with pytest.raises(kind) as caught:
        graph = load(model, **options)
        for node in graph.nodes.values():
            if node.value is not None:
                node.value.numpy()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_path_that_does_not_exist(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "nothing")


def test_folder_that_is_not_a_model(tmp_path):
    assert "no saved_model.pb" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", [".pb", ".pbtxt", ".keras", ".h5", ".txt"])
@pytest.mark.parametrize(
    "content", [b"", b"this is not a model\n" * 50, bytes(range(256)) * 9], ids=["empty", "text", "bytes"]
)
def test_file_that_is_not_a_model(tmp_path, suffix, content):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert str(path) in refusal(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_file_cut_short(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    keras.Sequential([layers.Input((4,)), layers.Dense(300)]).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    assert "damaged" in refusal(path)


def test_weights_only_file(tmp_path):
    path = tmp_path / "model.weights.h5"
    keras.Sequential([layers.Input((4,)), layers.Dense(3)]).save_weights(path)
    assert str(path) in refusal(path)


def test_saved_model_with_garbage_for_a_graph(damaged):
    (damaged / "saved_model.pb").write_bytes(b"\xff" * 999)
    assert "saved_model.pb" in refusal(damaged)


def test_saved_model_without_checkpoint(damaged):
    shutil.rmtree(damaged / "variables")
    assert "variables" in refusal(damaged)


def test_saved_model_without_data_file(damaged):
    next(damaged.glob("variables/*.data*")).unlink()
    assert "data files of the checkpoint are missing" in refusal(damaged)


def test_saved_model_with_a_damaged_index(damaged):
    index = damaged / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:-20])
    assert "variables.index" in refusal(damaged)


def test_saved_model_with_data_cut_short(damaged):
    """Found when the tensor is read: weights are not read at load."""
    data = next(damaged.glob("variables/*.data*"))
    data.write_bytes(data.read_bytes()[:500])
    assert "damaged" in refusal(damaged)


def test_checkpoint_of_another_model(damaged, tmp_path):
    other = keras.Sequential([layers.Input((4,)), layers.Dense(301), layers.Dense(2)])
    other.export(tmp_path / "other", verbose=False)
    shutil.rmtree(damaged / "variables")
    shutil.copytree(tmp_path / "other" / "variables", damaged / "variables")
    message = refusal(damaged)
    assert "sequential" in message
    assert "301" in message


def test_saved_model_folder_as_graphdef(tmp_path, exported):
    shutil.copy(exported / "saved_model.pb", tmp_path / "graph.pb")
    assert "SavedModel" in refusal(tmp_path / "graph.pb")


def test_lambda_layer(tmp_path):
    model = keras.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "model.keras")
    assert "export a SavedModel" in refusal(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        load(model).nodes[next(iter(load(model).inputs.values()))].attrs["shape"].dims, (1, 4)
    )


def test_custom_layer(tmp_path):
    class Own(layers.Layer):
        def call(self, x):
            return x * 2

    keras.Sequential([layers.Input((4,)), Own()]).save(tmp_path / "model.keras")
    assert "export a SavedModel" in refusal(tmp_path / "model.keras")


def test_hash_table():
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0]), 0.0)
    function = tf.function(lambda x: table.lookup(x)).get_concrete_function(tf.TensorSpec((1,), tf.int32))
    assert "lookup table" in refusal(function)


def test_hash_table_in_a_saved_model(tmp_path):
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0]), 0.0)
    function = tf.function(lambda x: module.table.lookup(x)).get_concrete_function(tf.TensorSpec((1,), tf.int32))
    tf.saved_model.save(module, tmp_path / "model", function)
    assert "lookup table" in refusal(tmp_path / "model")


def test_python_code_in_the_graph():
    function = tf.function(lambda x: tf.numpy_function(lambda a: a, [x], tf.float32))
    assert "PyFunc" in refusal(function.get_concrete_function(tf.TensorSpec((1,), tf.float32)))


def test_graph_that_is_not_frozen():
    with tf.Graph().as_default() as graph:
        w = tf.compat.v1.get_variable("w", (3,), use_resource=True)
        tf.add(w, 1.0, name="y")
    assert "'w' has no value" in refusal(graph.as_graph_def(), outputs=["y"])


def test_unknown_op():
    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="a", op="OpOfMyOwn")
    assert "'OpOfMyOwn'" in refusal(graph_def)


def test_missing_node():
    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="a", op="Identity", input=["nowhere"])
    assert "'nowhere'" in refusal(graph_def)


def test_duplicate_node():
    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="a", op="NoOp")
    graph_def.node.add(name="a", op="NoOp")
    assert "'a'" in refusal(graph_def)


def test_something_else():
    assert "int" in refusal(3, UsageError)
