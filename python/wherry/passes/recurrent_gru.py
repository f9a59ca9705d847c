"""The GRU over a sequence as one composite, `GRUSequence`.

TensorFlow's own block op, GRUBlockCell, is a single step, and of the variant that Keras does not default
to. The function behind the composite is a While in one fixed form, the same for every layer of equal sizes;
its weights are arguments, so that they stay constants of the model and can be quantized, packed and
streamed like any others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wherry.graph import ArrayValue, DType, FuncName, Function, Graph, Node, Ref, TensorType
from wherry.graph.graph import ShapeAttr
from wherry.passes.composite import make_composite

KERNEL = "GRUSequence"
_F = {"T": DType.FLOAT}
_LISTS = {"element_dtype": DType.FLOAT, "shape_type": DType.INT32}


def add_gru_sequence(
    graph: Graph,
    name: str,
    x: Ref,
    h0: Ref,
    kernel: Ref,
    recurrent: Ref,
    bias: Ref,
    recurrent_bias: Ref,
    reset_after: bool,
) -> Node:
    """Adds a GRUSequence composite. Returns its call, whose output 0 is the state after each step [T, B, H].

    x: [T, B, I]; h0: [B, H]; kernel [I, 3H] and recurrent [H, 3H] with columns z, r, h; bias,
    recurrent_bias: [3H].
    """
    inputs = [x, h0, kernel, recurrent, bias, recurrent_bias]
    steps, batch, features = _static(graph, x)
    units = _static(graph, h0)[1]
    body, cond = _functions(graph, reset_after, steps)
    part = _Builder(graph, name)
    element = part.const("element_shape", np.array([batch, units], np.int32))
    reserved = part.op(
        "reserve", "TensorListReserve", [element, part.const("steps", np.int32(steps))], _LISTS
    )
    slice_shape = part.const("slice_shape", np.array([batch, features], np.int32))
    slices = part.op("unstack", "TensorListFromTensor", [x, slice_shape], _LISTS)
    variables = [
        part.const("time", np.int32(0)),
        reserved,
        h0,
        slices,
        kernel,
        recurrent,
        bias,
        recurrent_bias,
    ]
    types = [DType.INT32, DType.VARIANT, DType.FLOAT, DType.VARIANT, *[DType.FLOAT] * 4]
    loop = part.op(
        "while",
        "StatelessWhile",
        variables,
        {
            "T": types,
            "body": FuncName(body),
            "cond": FuncName(cond),
            "output_shapes": [ShapeAttr(None)] * len(types),
            "parallel_iterations": 1,
        },
    )
    held = TensorType(DType.FLOAT, (steps, batch, units))
    stack = part.op(
        "",
        "TensorListStack",
        [Ref(loop.node, 1), element],
        {"element_dtype": DType.FLOAT, "num_elements": steps},
        held,
    )
    return make_composite(graph, part.nodes, KERNEL, {"reset_after": reset_after}, inputs, [stack])


def _static(graph: Graph, ref: Ref) -> tuple[int, ...]:
    shape = graph.type_of(ref).shape
    assert shape is not None
    return tuple(int(d or 0) for d in shape)


class _Builder:
    """Adds nodes under a common prefix and remembers them."""

    def __init__(self, graph: Graph, prefix: str) -> None:
        self.graph, self.prefix = graph, prefix
        self.nodes: list[Node] = []

    def const(self, name: str, value: Any) -> Ref:
        array = np.asarray(value)
        held = TensorType(DType.from_numpy(array.dtype), array.shape)
        return self._add(
            Node(
                self._name(name),
                "Const",
                attrs={"dtype": held.dtype},
                value=ArrayValue(array),
                types=[held],
                num_outputs=1,
            )
        )

    def op(
        self, name: str, op: str, inputs: list[Ref], attrs: dict[str, Any], held: TensorType | None = None
    ) -> Ref:
        node = Node(self._name(name), op, inputs, attrs=dict(attrs))
        if held is not None:
            node.types, node.num_outputs = [held], 1
        return self._add(node)

    def _name(self, name: str) -> str:
        return "/".join(part for part in (self.prefix, name) if part)

    def _add(self, node: Node) -> Ref:
        node.name = self.graph.unique_name(node.name)
        self.nodes.append(self.graph.add(node))
        return Ref(node.name)


def _functions(graph: Graph, reset_after: bool, steps: int) -> tuple[str, str]:
    """Puts body and condition into the library, where they are not yet, and returns their names."""
    body = f"wherry_gru_step_{'after' if reset_after else 'before'}"
    cond = f"wherry_gru_until_{steps}"
    if body not in graph.functions:
        graph.functions[body] = _body(body, reset_after)
    if cond not in graph.functions:
        graph.functions[cond] = _cond(cond, steps)
    return body, cond


_ARGS = [
    ("time", DType.INT32),
    ("states", DType.VARIANT),
    ("h", DType.FLOAT),
    ("slices", DType.VARIANT),
    ("kernel", DType.FLOAT),
    ("recurrent", DType.FLOAT),
    ("bias", DType.FLOAT),
    ("recurrent_bias", DType.FLOAT),
]


def _arguments(name: str) -> tuple[Graph, list[Ref]]:
    graph = Graph(name=name)
    for arg, dtype in _ARGS:
        graph.add(Node(arg, "Placeholder", attrs={"dtype": dtype, "shape": ShapeAttr(None)}, num_outputs=1))
    return graph, [Ref(arg) for arg, _ in _ARGS]


def _cond(name: str, steps: int) -> Function:
    graph, args = _arguments(name)
    part = _Builder(graph, "")
    less = part.op("less", "Less", [args[0], part.const("steps", np.int32(steps))], {"T": DType.INT32})
    return Function(graph, [arg for arg, _ in _ARGS], [less])


def _body(name: str, reset_after: bool) -> Function:
    graph, (time, states, h, slices, kernel, recurrent, bias, recurrent_bias) = _arguments(name)
    part = _Builder(graph, "")

    def thirds(name: str, of: Ref, axis: int) -> list[Ref]:
        dimension = part.const(f"{name}_axis", np.int32(axis))
        split = part.op(name, "Split", [dimension, of], {**_F, "num_split": 3})
        return [Ref(split.node, i) for i in range(3)]

    def product(name: str, a: Ref, b: Ref) -> Ref:
        return part.op(name, "MatMul", [a, b], {**_F, "transpose_a": False, "transpose_b": False})

    def plain(op: str, *inputs: Ref) -> Ref:
        return part.op(op.lower(), op, list(inputs), _F)

    any_shape = part.const("any_shape", np.array([-1, -1], np.int32))
    x = part.op("slice", "TensorListGetItem", [slices, time, any_shape], {"element_dtype": DType.FLOAT})
    x_z, x_r, x_h = thirds("x_gates", plain("BiasAdd", product("x_product", x, kernel), bias), 1)
    if reset_after:
        h_z, h_r, h_h = thirds(
            "h_gates", plain("BiasAdd", product("h_product", h, recurrent), recurrent_bias), 1
        )
    else:
        of_z, of_r, of_h = thirds("recurrent_gates", recurrent, 1)
        bias_z, bias_r, bias_h = thirds("recurrent_biases", recurrent_bias, 0)
        h_z = plain("BiasAdd", product("h_product_z", h, of_z), bias_z)
        h_r = plain("BiasAdd", product("h_product_r", h, of_r), bias_r)
    z = plain("Sigmoid", plain("AddV2", x_z, h_z))
    r = plain("Sigmoid", plain("AddV2", x_r, h_r))
    if reset_after:
        reset = plain("Mul", r, h_h)
    else:
        reset = plain("BiasAdd", product("h_product_h", plain("Mul", r, h), of_h), bias_h)
    proposal = plain("Tanh", plain("AddV2", x_h, reset))
    kept = plain("Mul", z, h)
    fresh = plain("Mul", plain("Sub", part.const("one", np.float32(1)), z), proposal)
    new_h = plain("AddV2", kept, fresh)
    written = part.op(
        "write",
        "TensorListSetItem",
        [states, time, new_h],
        {"element_dtype": DType.FLOAT, "resize_if_index_out_of_bounds": False},
    )
    later = part.op("later", "AddV2", [time, part.const("step", np.int32(1))], {"T": DType.INT32})
    results = [later, written, new_h, slices, kernel, recurrent, bias, recurrent_bias]
    return Function(graph, [arg for arg, _ in _ARGS], results)
