"""SavedModels as TensorFlow 1 programs wrote them: variables in the graph, restored by a part of the
graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

v1 = tf.compat.v1
X = np.random.default_rng(6).normal(size=(1, 4)).astype(np.float32)


def save_and_run(path, build):
    """Saves the graph that `build(x)` makes, with its variables; returns its answer."""
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        x = v1.placeholder(tf.float32, (None, 4), name="x")
        y = build(x)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(path), {"x": x}, {"y": y})
        return session.run(y, {x: X})


@pytest.mark.parametrize("resource", [False, True], ids=["VariableV2", "VarHandleOp"])
def test_simple_save(tmp_path, judge, resource):
    def build(x):
        w = v1.get_variable("dense/w", (4, 3), use_resource=resource, initializer=v1.random_normal_initializer(seed=1))
        b = v1.get_variable("dense/b", (3,), use_resource=resource, initializer=v1.random_normal_initializer(seed=2))
        steps = v1.get_variable("steps", (), tf.int64, use_resource=resource, initializer=v1.zeros_initializer())
        v1.assign_add(steps, 1)
        return tf.nn.relu(tf.matmul(x, w) + b)

    y = save_and_run(tmp_path / "model", build)
    graph = judge(tmp_path / "model", {"x": X}, {"y": y})
    assert {"dense/w", "dense/b"} <= graph.nodes.keys()


def test_embedding_of_resource_variable(tmp_path, judge):
    def build(x):
        table = v1.get_variable("table", (9, 5), use_resource=True, initializer=v1.random_normal_initializer(seed=3))
        return tf.gather(table, tf.cast(tf.abs(x), tf.int32)) + tf.cast(tf.shape(table)[0], tf.float32)

    y = save_and_run(tmp_path / "model", build)
    graph = judge(tmp_path / "model", {"x": X}, {"y": y})
    assert len(graph.by_op("GatherV2")) == 1


def test_partitioned_variable(tmp_path, judge):
    def build(x):
        w = v1.get_variable(
            "w",
            (4, 6),
            partitioner=v1.fixed_size_partitioner(3, axis=1),
            use_resource=False,
            initializer=v1.random_normal_initializer(seed=4),
        )
        return tf.matmul(x, tf.convert_to_tensor(w))

    y = save_and_run(tmp_path / "model", build)
    judge(tmp_path / "model", {"x": X}, {"y": y})


def test_loop_of_version_1(tmp_path):
    """Enter, Exit and the rest are handed on as they are; the variable they use is a constant."""
    from wherry.frontend import load
    from wherry.runtime.tensorflow_runner import run_graph

    v1.disable_control_flow_v2()
    try:

        def build(x):
            w = v1.get_variable("w", (4, 4), use_resource=True, initializer=v1.random_normal_initializer(seed=5))
            return v1.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, tf.tanh(tf.matmul(a, w))), (0, x))[1]

        y = save_and_run(tmp_path / "model", build)
    finally:
        v1.enable_control_flow_v2()
    graph = load(tmp_path / "model")
    assert "VarHandleOp" not in {node.op for node in graph.nodes.values()}
    np.testing.assert_allclose(run_graph(graph, {"x": X})["y"], y, atol=1e-6)


def test_builder_with_two_signatures(tmp_path, judge):
    build_signature = v1.saved_model.signature_def_utils.predict_signature_def
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        x = v1.placeholder(tf.float32, (None, 4), name="x")
        w = v1.get_variable("w", (4,), use_resource=False, initializer=v1.random_normal_initializer(seed=7))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "model"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": build_signature({"x": x}, {"y": x * w}),
                "sum": build_signature({"x": x}, {"total": tf.reduce_sum(x * w, axis=1)}),
            },
        )
        builder.save(as_text=True)
        product = session.run(x * w, {x: X})
    judge(tmp_path / "model", {"x": X}, {"y": product})
    judge(tmp_path / "model", {"x": X}, {"total": product.sum(axis=1)}, signature="sum")
