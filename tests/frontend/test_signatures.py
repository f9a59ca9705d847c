"""Signatures, outputs and input shapes are chosen as asked, and messages name what there is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from wherry.errors import LoadError, UsageError
from wherry.frontend import load
from wherry.runtime.tensorflow_runner import run_graph


class Model(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(tf.random.stateless_normal((4, 3), [1, 2]), name="w")
        self.b = tf.Variable([1.0, 2.0, 3.0], name="b")

    @tf.function(input_signature=[tf.TensorSpec((None, 4), name="x")])
    def serve(self, x):
        hidden = tf.matmul(x, self.w, name="product")
        return {"y": tf.nn.relu(hidden + self.b, name="activated"), "raw": hidden}

    @tf.function(input_signature=[tf.TensorSpec((None, None), name="a"), tf.TensorSpec((None, None), name="z")])
    def add(self, a, z):
        return {f"out_{i}": a + float(i) * z for i in range(11)}


@pytest.fixture(scope="module")
def model():
    return Model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("signatures") / "model"
    tf.saved_model.save(model, path, {"serving_default": model.serve, "add": model.add})
    return path


X = np.arange(4, dtype=np.float32).reshape(1, 4) - 1.5


def test_default_signature(folder, model, judge):
    y = {name: value.numpy() for name, value in sorted(model.serve(X).items())}
    judge(folder, {"x": X}, y)


def test_other_signature_in_natural_order(folder, judge):
    a = np.float32([[1, 2]])
    graph = judge(
        folder,
        {"a": a, "z": a},
        {f"out_{i}": a * (1 + i) for i in range(11)},
        signature="add",
        input_shapes={"a": (None, 2), "z": (1, 2)},
    )
    assert graph.nodes[graph.inputs["a"]].attrs["shape"].dims == (1, 2)


def test_outputs_by_name_drop_what_they_do_not_need(folder, model, judge):
    graph = judge(folder, {"x": X}, {"raw": model.serve(X)["raw"].numpy()}, outputs=["raw"])
    assert not any(node.op == "Relu" for node in graph.nodes.values())


def test_outputs_by_tensor_inside_the_function(folder, model, judge):
    wanted = model.serve(X)
    judge(
        folder,
        {"x": X},
        {"activated:0": wanted["y"].numpy(), "raw": wanted["raw"].numpy()},
        outputs=["activated:0", "raw"],
    )


def test_outputs_of_a_graphdef(judge):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (2, 6), name="x")
        a, b, _ = tf.split(x, 3, axis=1, name="split")
        tf.add(a, b, name="sum")
    array = np.arange(12, dtype=np.float32).reshape(2, 6)
    judge(graph.as_graph_def(), {"x": array}, {"sum": array[:, :2] + array[:, 2:4]})
    judge(
        graph.as_graph_def(),
        {"x": array},
        {"split:2": array[:, 4:], "sum:0": array[:, :2] + array[:, 2:4]},
        outputs=["split:2", "sum:0"],
    )


def test_shape_for_the_only_input(folder, model):
    graph = load(folder, input_shapes=(5, 4))
    x = np.repeat(X, 5, axis=0)
    np.testing.assert_array_equal(run_graph(graph, {"x": x})["y"], model.serve(x)["y"])


def test_unused_input_stays(judge):
    def first(x, y):
        return x + 1.0

    spec = tf.TensorSpec((1, 2))
    function = tf.function(first).get_concrete_function(spec, spec)
    x = np.zeros((1, 2), np.float32)
    assert list(judge(function, {"x": x, "y": x}, {"output_0": x + 1}).inputs) == ["x", "y"]


def test_placeholder_with_default(judge):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (1, 2), name="x")
        keep = tf.compat.v1.placeholder_with_default(np.float32(3), (), name="keep")
        tf.multiply(x, keep, name="y")
    x = np.float32([[1, 2]])
    judge(graph.as_graph_def(), {"x": x}, {"y": 3 * x})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"signature": "train"}, ["'train'", "'add', 'serving_default'"]),
        ({"outputs": ["logits"]}, ["'logits'", "'raw', 'y'"]),
        ({"outputs": ["product:3"]}, ["'product'", "1 outputs"]),
        ({"outputs": []}, ["outputs is empty"]),
        ({"input_shapes": {"q": (1, 4)}}, ["'q'", "'x'"]),
        ({"input_shapes": (1, 5)}, ["'x'", "?,4", "1,5"]),
        ({"input_shapes": (4,)}, ["'x'", "?,4"]),
        ({"input_shapes": (0, 4)}, ["'x'", "0,4"]),
        ({"signature": "add"}, ["'a'", "--input-shapes a=1,128"]),
        ({"signature": "add", "input_shapes": (1, 2)}, ["'a', 'z'"]),
    ],
)
def test_usage_errors(folder, options, words):
    with pytest.raises(UsageError) as caught:
        load(folder, **options)
    assert_line(caught.value, words)


def test_unknown_rank(judge):
    function = tf.function(lambda x: x + 1.0).get_concrete_function(tf.TensorSpec(None, tf.float32, name="x"))
    with pytest.raises(UsageError, match="--input-shapes x=1,128"):
        load(function)
    x = np.ones((2, 3), np.float32)
    judge(function, {"x": x}, {"output_0": x + 1}, input_shapes={"x": (2, 3)})


def test_no_signature_where_there_is_none(model):
    with pytest.raises(UsageError, match="no signatures"):
        load(model.serve.get_concrete_function(), signature="serving_default")


def test_function_without_signature():
    with pytest.raises(UsageError, match="get_concrete_function"):
        load(tf.function(lambda x: x + 1))


def test_output_that_needs_an_input_outside_of_the_signature(tmp_path):
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        x = tf.compat.v1.placeholder(tf.float32, (1, 2), name="x")
        hidden = tf.compat.v1.placeholder(tf.float32, (), name="hidden")
        tf.compat.v1.saved_model.simple_save(session, str(tmp_path / "model"), {"x": x}, {"y": x * hidden})
    with pytest.raises(LoadError, match="'hidden'"):
        load(tmp_path / "model")


def assert_line(error, words):
    assert "\n" not in str(error)
    for word in words:
        assert word in str(error), error
