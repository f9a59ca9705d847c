"""Shape inference knows what TensorFlow knows, without reading a weight."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import trace, weights
from wherry.errors import PassError
from wherry.graph import DType, Graph, Node, Ref, TensorType, Value
from wherry.graph.graph import ShapeAttr
from wherry.passes.infer_shapes import infer_shapes


class Unreadable(Value):
    """A weight that must not be read."""

    def __init__(self, *shape: int) -> None:
        self.type = TensorType(DType.FLOAT, shape)

    def numpy(self) -> np.ndarray:
        raise AssertionError("shape inference read a weight")


def test_every_tensor_gets_its_type_and_weights_stay_unread() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 4, 8), 2, "SAME")), (1, 9, 9, 4), infer=False)
    for node in graph.by_op("Const"):
        node.value = Unreadable(3, 3, 4, 8)
    assert infer_shapes(graph) > 0
    assert graph.type_of(graph.outputs["y0"]) == TensorType(DType.FLOAT, (1, 5, 5, 8))
    assert all(node.num_outputs == 1 for node in graph.nodes.values())
    assert infer_shapes(graph) == 0


def test_shapes_that_depend_on_values() -> None:
    import tensorflow as tf

    def build(x: tf.Tensor) -> tf.Tensor:
        n = tf.shape(x)[0]
        return tf.reshape(x, tf.stack([n * 2, -1]))

    graph = trace(build, (4, 6))
    assert graph.type_of(graph.outputs["y0"]).shape == (8, 3)


def test_unknown_dimensions_stay_unknown() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.exp(x) @ weights(6, 2), (None, 6))
    assert graph.type_of(graph.outputs["y0"]).shape == (None, 2)


def test_calls_are_inferred_through_their_function() -> None:
    import tensorflow as tf

    @tf.function
    def called(x: tf.Tensor) -> tf.Tensor:
        return tf.transpose(x) @ x

    graph = trace(lambda x: tf.exp(called(x)), (3, 5), infer=False)
    for node in graph.nodes.values():
        node.attrs.pop("_output_shapes", None)
    infer_shapes(graph)
    assert graph.type_of(graph.outputs["y0"]).shape == (5, 5)


def test_loops_have_the_types_of_their_inputs() -> None:
    import tensorflow as tf

    def build(x: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), [0, x])[1]

    import tensorflow.compat.v1 as tf1

    tf1.enable_control_flow_v2()
    graph = trace(build, (3, 5))
    assert graph.type_of(graph.outputs["y0"]).shape == (3, 5)


def test_learns_more_when_a_value_becomes_known() -> None:
    graph = Graph(inputs={"x": "x", "s": "s"}, outputs={"y": Ref("y")})
    graph.add(Node("x", "Placeholder", attrs={"dtype": DType.FLOAT, "shape": ShapeAttr((4, 6))}))
    graph.add(Node("s", "Placeholder", attrs={"dtype": DType.INT32, "shape": ShapeAttr((2,))}))
    graph.add(Node("r", "Reshape", [Ref("x"), Ref("s")], attrs={"T": DType.FLOAT, "Tshape": DType.INT32}))
    graph.add(Node("y", "Exp", [Ref("r")], attrs={"T": DType.FLOAT}))
    infer_shapes(graph)
    assert graph.type_of(Ref("y")).shape == (None, None)
    graph.nodes["r"].inputs[1] = graph.add_const("shape", np.array([3, 8], np.int32))
    assert infer_shapes(graph) == 2
    assert graph.type_of(Ref("y")).shape == (3, 8)


def test_an_inconsistent_graph_is_an_error() -> None:
    graph = Graph("odd", inputs={"x": "x"}, outputs={"y": Ref("y")})
    graph.add(Node("x", "Placeholder", attrs={"dtype": DType.FLOAT, "shape": ShapeAttr((4, 6))}))
    graph.add(Node("y", "MatMul", [Ref("x"), Ref("x")], attrs={"T": DType.FLOAT}))
    with pytest.raises(PassError, match="odd"):
        infer_shapes(graph)
