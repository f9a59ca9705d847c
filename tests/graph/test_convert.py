"""GraphDef -> Graph -> GraphDef loses nothing, and functions and quantized constants are written as
TensorFlow runs them."""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from wherry.errors import LoadError, WherryError
from wherry.graph import DType, FuncName, Function, Graph, Node, QuantizedValue, Ref, TensorType
from wherry.graph.convert import from_graphdef, to_graphdef, to_graphdef_and_feeds
from wherry.graph.graph import ShapeAttr
from wherry.runtime.tensorflow_runner import run_graph


def plain(graph_def: Any) -> dict[str, Any]:
    """A GraphDef as text per node and function, without what conversion may change: devices, debug
    information, the order of control inputs among others, and how a tensor's bytes are spelled."""

    def clean(nodes: Any) -> None:
        for node in nodes:
            node.device = ""
            node.ClearField("experimental_debug_info")
            node.ClearField("experimental_type")
            inputs = sorted(node.input, key=lambda item: item.startswith("^"))
            del node.input[:]
            node.input.extend(inputs)
            for attr in node.attr.values():
                for tensor in [attr.tensor] if attr.HasField("tensor") else attr.list.tensor:
                    tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(tensor), dtype=tensor.dtype))

    graph_def = copy.deepcopy(graph_def)
    clean(graph_def.node)
    result = {node.name: node for node in graph_def.node}
    for function in graph_def.library.function:
        clean(function.node_def)
        result[f"function {function.signature.name}"] = function
    return result


def assert_round_trip(graph_def: Any) -> None:
    before, after = plain(graph_def), plain(to_graphdef(from_graphdef(graph_def)))
    assert list(before) == list(after)
    for name, item in before.items():
        assert item == after[name], name


@pytest.mark.parametrize("kind", ["recurrent", "convolutional"])
def test_keras_model(kind):
    layers = keras.layers
    if kind == "recurrent":
        model = keras.Sequential(
            [layers.Input((5, 3)), layers.Bidirectional(layers.LSTM(4)), layers.Dense(2)]
        )
    else:
        model = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), classes=3)
    function = tf.function(lambda x: model(x)).get_concrete_function(
        tf.TensorSpec((None, *model.input_shape[1:]))
    )
    assert_round_trip(function.graph.as_graph_def(add_shapes=True))


def test_every_kind_of_attribute():
    graph_def = tf.compat.v1.GraphDef()
    graph_def.versions.producer = 1234
    graph_def.versions.min_consumer = 12
    node = graph_def.node.add(name="a", op="Anything")
    attr = node.attr
    attr["s"].s, attr["i"].i, attr["f"].f, attr["b"].b = b"\xff\0", -3, 1.0, False
    attr["zero"].i = 0
    attr["type"].type = tf.bfloat16.as_datatype_enum
    attr["ref"].type = 101
    attr["scalar"].shape.SetInParent()
    attr["unknown"].shape.unknown_rank = True
    attr["shape"].shape.CopyFrom(tf.TensorShape([None, 0, 7]).as_proto())
    attr["tensor"].tensor.CopyFrom(tf.make_tensor_proto(np.float32([[1, 2]])))
    attr["strings"].tensor.CopyFrom(tf.make_tensor_proto([b"a", b"b\0"]))
    attr["bf16"].tensor.CopyFrom(tf.make_tensor_proto([1.5], tf.bfloat16))
    attr["func"].func.name = "f"
    attr["bound"].func.name = "g"
    attr["bound"].func.attr["T"].type = 1
    attr["empty"].list.SetInParent()
    attr["unset"].SetInParent()
    attr["placeholder"].placeholder = "T"
    attr["_private"].s = b"x"
    attr["ints"].list.i.extend([1, 0])
    attr["floats"].list.f.extend([1.0, 2.0])
    attr["bools"].list.b.extend([True, False])
    attr["bytes"].list.s.extend([b"a"])
    attr["types"].list.type.extend([1, 9])
    attr["refs"].list.type.extend([1, 101])
    attr["shapes"].list.shape.add().unknown_rank = True
    attr["shapes"].list.shape.add()
    attr["funcs"].list.func.add().name = "h"
    attr["tensors"].list.tensor.add().CopyFrom(tf.make_tensor_proto([1, 2]))
    graph_def.node.add(name="b", op="NoOp", input=["^a"])
    graph_def.node.add(name="c", op="Identity", input=["a:3", "a", "^b"])
    assert_round_trip(graph_def)
    graph = from_graphdef(graph_def)
    assert graph.versions == (1234, 12)
    values = graph.nodes["a"].attrs
    assert type(values["f"]) is float
    assert values["b"] is False
    assert values["empty"] == []
    assert values["shape"] == ShapeAttr((None, 0, 7))
    assert values["scalar"] == ShapeAttr(())
    assert values["unknown"] == ShapeAttr(None)
    assert graph.nodes["c"].inputs == [Ref("a", 3), Ref("a", 0)]


@pytest.mark.parametrize(
    "array",
    [
        np.float32([[1, 2], [3, 4]]),
        np.int64(5),
        np.zeros((0, 3), np.float16),
        np.array([True, False]),
        np.array([b"a", b"\0", "ä".encode()], object),
        np.complex64([1j]),
        np.uint8([255]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_constants(array):
    graph_def = tf.compat.v1.GraphDef()
    node = graph_def.node.add(name="c", op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    node.attr["dtype"].type = node.attr["value"].tensor.dtype
    assert_round_trip(graph_def)
    value = from_graphdef(graph_def).nodes["c"].value
    np.testing.assert_array_equal(value.numpy(), array)
    assert "value" not in from_graphdef(graph_def).nodes["c"].attrs


def test_constant_of_a_type_that_numpy_lacks():
    with tf.Graph().as_default() as graph:
        tf.constant([1.5, 2.5], tf.bfloat16, name="c")
    assert_round_trip(graph.as_graph_def())
    assert from_graphdef(graph.as_graph_def()).nodes["c"].value.type == TensorType(DType.BFLOAT16, (2,))


def quantized_graph(value: QuantizedValue) -> Graph:
    graph = Graph()
    graph.add(Node("x", "Placeholder", attrs={"dtype": DType.FLOAT, "shape": ShapeAttr((2, 3))}))
    graph.add(Node("w", "Const", attrs={"dtype": DType.FLOAT}, value=value))
    graph.add(Node("y", "MatMul", [Ref("x"), Ref("w")], attrs={"T": DType.FLOAT}))
    graph.inputs, graph.outputs = {"x": "x"}, {"y": Ref("y"), "w": Ref("w")}
    return graph


def quantized_values() -> list[Any]:
    random = np.random.default_rng(0)
    kind = TensorType(DType.FLOAT, (3, 4))
    scale, offset = random.uniform(0.1, 1, 4).astype(np.float32), random.normal(size=4).astype(np.float32)
    none = np.zeros(1, np.float32)
    return [
        pytest.param(
            QuantizedValue(kind, random.integers(0, 16, (3, 4), np.uint8), scale, offset, 1, "minmax", 4),
            id="u4",
        ),
        pytest.param(
            QuantizedValue(
                kind, random.integers(0, 4096, (3, 4), np.uint16), scale[:1], offset[:1], None, "minmax", 12
            ),
            id="u12",
        ),
        pytest.param(
            QuantizedValue(kind, random.integers(-127, 128, (3, 4), np.int8), scale[:3], None, 0, "int8", 8),
            id="i8",
        ),
        pytest.param(
            QuantizedValue(
                kind, random.normal(size=(3, 4)).astype(np.float16), none, None, None, "float16", 16
            ),
            id="f16",
        ),
    ]


X = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)


@pytest.mark.parametrize("value", quantized_values())
@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["inside", "fed"])
def test_quantized_constant(value, limit):
    result = run_graph(quantized_graph(value), {"x": X}, limit_bytes=limit)
    np.testing.assert_array_equal(result["w"], value.numpy())
    np.testing.assert_allclose(result["y"], X @ value.numpy(), rtol=1e-5)


@pytest.mark.parametrize("value", quantized_values())
def test_function_of_our_own_with_a_quantized_constant(value):
    """Names that TensorFlow does not take for arguments are changed; the constant is dequantized inside."""
    body = quantized_graph(value)
    body.nodes["block/x"] = body.nodes.pop("x")
    body.nodes["block/x"].name = "block/x"
    body.nodes["y"].inputs[0] = Ref("block/x")
    body.inputs = {}
    graph = Graph(
        functions={"fused/block": Function(body, ["block/x"], [Ref("y"), Ref("w"), Ref("block/x")])}
    )
    graph.add(Node("x", "Placeholder", attrs={"dtype": DType.FLOAT, "shape": ShapeAttr((2, 3))}))
    graph.add(
        Node(
            "call",
            "PartitionedCall",
            [Ref("x")],
            attrs={"f": FuncName("fused/block"), "Tin": [DType.FLOAT], "Tout": [DType.FLOAT] * 3},
        )
    )
    graph.inputs = {"x": "x"}
    graph.outputs = {"y": Ref("call"), "w": Ref("call", 1), "x": Ref("call", 2)}
    result = run_graph(graph, {"x": X})
    np.testing.assert_array_equal(result["w"], value.numpy())
    np.testing.assert_array_equal(result["x"], X)
    again = from_graphdef(to_graphdef(graph))
    again.inputs, again.outputs = graph.inputs, graph.outputs
    np.testing.assert_array_equal(run_graph(again, {"x": X})["y"], result["y"])


def test_body_that_was_rewritten():
    function = tf.function(
        lambda x: tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a + 1.0), (0, x))[1]
    )
    graph = from_graphdef(
        function.get_concrete_function(tf.TensorSpec((2, 3), name="x")).graph.as_graph_def()
    )
    graph.inputs, graph.outputs = {"x": "x"}, {"y": Ref("Identity")}
    np.testing.assert_allclose(run_graph(graph, {"x": X})["y"], X + 3, rtol=1e-6)
    body = next(f for name, f in graph.functions.items() if "body" in name)
    for node in body.graph.by_op("AddV2"):
        if node.attrs["T"] is DType.FLOAT:
            two = body.graph.add_const("two", np.float32(2))
            node.op, node.inputs[1] = "Mul", two
    np.testing.assert_allclose(run_graph(graph, {"x": X})["y"], X * 8, rtol=1e-6)


def test_functions_views_follow_their_graph():
    body = Graph()
    body.add(Node("a", "Placeholder", attrs={"dtype": DType.FLOAT}))
    body.add(Node("b", "Identity", [Ref("a")], attrs={"T": DType.FLOAT}))
    function = Function(body, ["a"], [Ref("b")])
    body.replace_uses({Ref("b"): Ref("a")})
    assert function.results == (Ref("a"),)
    assert function.args == ("a",)


def test_constants_are_left_out_from_the_largest_down():
    graph = Graph(name="wide")
    for size in (10, 1000, 100):
        graph.add_const(f"c{size}", np.zeros(size, np.float32))
    graph_def, feeds = to_graphdef_and_feeds(graph, limit_bytes=500)
    assert list(feeds) == ["c1000"]
    assert {node.name: node.op for node in graph_def.node} == {
        "c10": "Const",
        "c1000": "Placeholder",
        "c100": "Const",
    }


def test_too_much_for_one_protobuf():
    value = quantized_values()[0].values[0]
    huge = QuantizedValue(
        value.type, np.broadcast_to(np.uint8(0), (1 << 16, 1 << 16)), value.scale[:1], None, None, "minmax", 8
    )
    with pytest.raises(WherryError, match="2 GB"):
        to_graphdef(quantized_graph(huge))


def test_damaged_graphs():
    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="c", op="Const")
    with pytest.raises(LoadError, match="'c' is a Const without a value"):
        from_graphdef(graph_def)
    graph_def.node[0].attr["value"].tensor.CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
    graph_def.node[0].attr["value"].tensor.tensor_shape.dim[0].size = 77
    with pytest.raises(LoadError, match="'value' is damaged"):
        from_graphdef(graph_def)
