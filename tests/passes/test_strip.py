"""Strip drops what the answer does not depend on, and nothing else."""

from __future__ import annotations

from small_graphs import check, duplicate, ops, trace
from wherry.graph import FuncName, Graph, Node, Ref
from wherry.passes.strip import strip


def test_pass_through_assertions_and_unused_nodes_go() -> None:
    import tensorflow as tf

    def build(x: tf.Tensor) -> tf.Tensor:
        tf.sin(x)
        with tf.control_dependencies([tf.debugging.assert_all_finite(x, "x"), tf.no_op()]):
            y = tf.identity(tf.stop_gradient(x) + 1.0)
        a, b = tf.raw_ops.IdentityN(input=[y, tf.cos(y)])
        return tf.debugging.check_numerics(a * b, "bad")

    graph = trace(build, (2, 3))
    assert check(graph, strip) > 0
    assert ops(graph) == ["AddV2", "Cos", "Mul"]
    assert not any(node.controls for node in graph.nodes.values())
    assert strip(duplicate(graph)) == 0


def test_a_default_that_nobody_feeds_becomes_the_value() -> None:
    import tensorflow as tf

    graph = trace(lambda x: x * tf.compat.v1.placeholder_with_default(3.0, []), (2,))
    check(graph, strip)
    assert ops(graph) == ["Mul"]


def test_an_input_keeps_its_placeholder() -> None:
    import tensorflow as tf

    graph = trace(lambda x, unused: tf.exp(x), (2,), (3,))
    check(graph, strip)
    assert graph.inputs == {"x0": "x0", "x1": "x1"}
    assert {"x0", "x1"} <= graph.nodes.keys()


def test_outputs_that_are_inputs_or_constants_stay_computed() -> None:
    import tensorflow as tf

    graph = trace(lambda x: [tf.identity(tf.stop_gradient(x)), tf.stop_gradient(tf.constant([1.0, 2.0]))], (2,))
    check(graph, strip)
    assert [graph.nodes[ref.node].op for ref in graph.outputs.values()] == ["Identity", "Identity"]


def test_functions_that_nothing_calls_go() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.identity(y) * 2.0), [0, x])[1],
                  (2,))  # fmt: skip
    used = {str(value) for node in graph.nodes.values() for value in node.attrs.values()
            if isinstance(value, FuncName)}  # fmt: skip
    graph.functions["unused"] = next(iter(graph.functions.values())) if graph.functions else None  # type: ignore
    check(graph, strip)
    assert set(graph.functions) == used


def test_order_of_effects_is_kept() -> None:
    graph = Graph(outputs={"y": Ref("read")})
    graph.add(Node("handle", "VarHandleOp"))
    graph.add(Node("value", "Const"))
    graph.add(Node("write", "AssignVariableOp", [Ref("handle"), Ref("value")]))
    graph.add(Node("read", "ReadVariableOp", [Ref("handle")], controls=["write"]))
    strip(graph)
    assert graph.nodes["read"].controls == ["write"]
