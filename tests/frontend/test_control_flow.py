"""Variables that loops and branches capture become values that their bodies take; calls within bodies are
inlined."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from wherry.errors import LoadError
from wherry.frontend import load

X = np.random.default_rng(8).normal(size=(1, 4)).astype(np.float32)
SPEC = tf.TensorSpec((None, 4), name="x")


class Looping(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(tf.random.stateless_normal((4, 4), [1, 2]), name="w")
        self.table = tf.Variable(tf.random.stateless_normal((5, 4), [3, 4]), name="table")
        self.b = tf.Variable([0.5, -0.5, 0.25, 0.0], name="b")
        self.count = tf.Variable(0.0, name="count")

    @tf.function
    def step(self, x):
        return tf.tanh(tf.matmul(x, self.w) + self.b)

    @tf.function(input_signature=[SPEC])
    def loop(self, x):
        for i in tf.range(3):
            x = self.step(x) + tf.gather(self.table, i)
        return x

    @tf.function(input_signature=[SPEC])
    def nested(self, x):
        for _ in tf.range(2):
            x = self.loop(x)
            for _ in tf.range(2):
                if tf.reduce_sum(x) > 0.0:  # noqa: SIM108  becomes an If
                    x = self.step(x)
                else:
                    x = x * self.b
        return x

    @tf.function(input_signature=[SPEC])
    def choose(self, x):
        index = tf.cast(tf.reduce_sum(x) > 100.0, tf.int32) + 1
        return tf.switch_case(index, [lambda: x, lambda: self.step(x), lambda: x + self.b])

    @tf.function(input_signature=[SPEC])
    def counting(self, x):
        for _ in tf.range(3):
            self.count.assign_add(1.0)
        return x + 1.0

    @tf.function(input_signature=[SPEC])
    def counting_in_a_call(self, x):
        self.counting(x)
        return x * 2.0


@pytest.fixture(scope="module")
def module():
    return Looping()


@pytest.mark.parametrize("name", ["loop", "nested", "choose"])
@pytest.mark.parametrize("saved", [False, True], ids=["function", "SavedModel"])
def test_bodies_take_values(module, judge, tmp_path, name, saved):
    function = getattr(module, name)
    y = function(X).numpy()
    model = function.get_concrete_function()
    if saved:
        tf.saved_model.save(module, tmp_path / "model", model)
        model = tmp_path / "model"
    graph = judge(model, {"x": X}, {"output_0": y})
    used = [node.op for node in graph.nodes.values()]
    assert any(op in ("While", "StatelessWhile", "Case", "StatelessCase") for op in used)
    assert graph.functions


def test_one_function_with_two_variables(judge):
    """A body that is called with tensors of other shapes is made twice."""
    weights = [tf.Variable(tf.ones((size,)), name=f"w{size}") for size in (2, 3)]

    @tf.function(input_signature=[tf.TensorSpec((None, 1), name="x")])
    def both(x):
        sums = []
        for w in weights:
            total = x
            for _ in tf.range(2):
                total = total + tf.reduce_sum(w)
            sums.append(total)
        return sums

    x = np.zeros((1, 1), np.float32)
    judge(both, {"x": x}, {"output_0": x + 4, "output_1": x + 6})


@pytest.mark.parametrize("name", ["counting", "counting_in_a_call"])
@pytest.mark.parametrize("saved", [False, True], ids=["function", "SavedModel"])
def test_variable_that_inference_changes(module, tmp_path, name, saved):
    function = getattr(module, name).get_concrete_function()
    if saved:
        tf.saved_model.save(module, tmp_path / "model", function)
        function = tmp_path / "model"
    with pytest.raises(LoadError, match="'count' is changed during inference"):
        load(function)
