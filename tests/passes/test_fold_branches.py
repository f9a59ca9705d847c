"""Branches on constants: only what is taken stays, whichever control flow spells them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from small_graphs import ROUNDING, check, ops, trace, weights
from wherry.passes import optimise
from wherry.passes.fold_branches import fold_branches
from wherry.passes.fold_constants import fold_constants
from wherry.passes.infer_shapes import infer_shapes
from wherry.passes.strip import strip


@pytest.fixture(params=["v1", "v2"])
def control_flow(request: pytest.FixtureRequest) -> Iterator[str]:
    import tensorflow.compat.v1 as tf1

    (tf1.enable_control_flow_v2 if request.param == "v2" else tf1.disable_control_flow_v2)()
    yield request.param
    tf1.enable_control_flow_v2()


def dropout_when_training(default: Any) -> Any:
    import tensorflow as tf
    import tensorflow.compat.v1 as tf1

    def build(x: Any) -> Any:
        training = tf1.placeholder_with_default(default, [])
        y = tf1.cond(training, lambda: tf.nn.dropout(x, 0.5, seed=1) + 100.0, lambda: x * tf.constant(3.0) + 1.0)
        return tf.abs(y)

    return build


def test_the_branch_not_taken_goes(control_flow: str) -> None:
    graph = trace(dropout_when_training(False), (3, 4))
    assert check(graph, strip, fold_branches) > 0
    assert ops(graph) == ["Abs", "AddV2", "Mul"]
    assert not any(node.controls for node in graph.nodes.values())
    assert not graph.functions
    infer_shapes(graph)
    assert graph.type_of(graph.outputs["y0"]).shape == (3, 4)


def test_the_branch_taken_stays(control_flow: str) -> None:
    graph = trace(dropout_when_training(True), (3, 4))
    strip(graph)
    fold_branches(graph)
    assert "RandomUniform" in ops(graph) and "Switch" not in ops(graph) and "If" not in ops(graph)


def test_nested_conditions_and_logic(control_flow: str) -> None:
    import tensorflow as tf
    import tensorflow.compat.v1 as tf1

    def build(x: Any) -> Any:
        no = tf1.placeholder_with_default(False, [])
        inner = lambda: tf1.cond(tf.logical_not(no), lambda: tf.exp(x), lambda: tf.sin(x))  # noqa: E731
        return tf.abs(tf1.cond(tf.logical_or(no, True), inner, lambda: tf.cos(x)))

    graph = trace(build, (3, 4))
    check(graph, strip, fold_branches)
    assert ops(graph) == ["Abs", "Exp"]


def test_an_unknown_condition_keeps_both_branches(control_flow: str) -> None:
    import tensorflow as tf
    import tensorflow.compat.v1 as tf1

    def build(x: Any, flag: Any) -> Any:
        y = tf1.cond(flag > 0, lambda: tf.reshape(x, [-1]) * 2.0, lambda: tf.zeros(tf.size(x)) + tf.exp(1.0))
        return tf.reshape(y, [4, 3])

    graph = trace(build, (3, 4), ((), "int32"))
    assert check(graph, strip, fold_branches, infer_shapes, fold_constants, tolerance=ROUNDING) >= 0
    assert {"If", "StatelessIf", "Switch"} & set(ops(graph))
    optimise(graph)
    for flag in (0, 1):
        from wherry.runtime.tensorflow_runner import run_graph

        x = weights(3, 4)
        got = run_graph(graph, {"x0": x, "x1": np.int32(flag)})["y0"].reshape(-1)
        want = x.reshape(-1) * 2 if flag else np.full(12, np.exp(np.float32(1)))
        assert np.allclose(got, want, rtol=1e-6)


def test_a_case_on_a_constant() -> None:
    import tensorflow as tf
    import tensorflow.compat.v1 as tf1

    tf1.enable_control_flow_v2()
    for index, op in ((0, "Exp"), (1, "Sin"), (7, "Sin")):
        def build(x: Any, index: int = index) -> Any:
            return tf.switch_case(tf1.placeholder_with_default(index, []), [lambda: tf.exp(x), lambda: tf.sin(x)])

        graph = trace(build, (3,))
        check(graph, strip, fold_branches)
        assert ops(graph) == [op]
