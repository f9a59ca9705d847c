"""Canonical forms: ops with several spellings get one, so that later passes and the runtime see fewer.

Only spellings that compute the same to the last bit are changed, except that division by a constant becomes
multiplication by its reciprocal (one rounding apart) when the pass `simplify` finds it.
"""

from __future__ import annotations

import numpy as np

from wherry.graph import DType, Graph, Node, Ref
from wherry.passes.rewrite import become, bodies, rank_of, small_const, static_shape

_FLOATS = frozenset({DType.FLOAT, DType.DOUBLE, DType.HALF})


def canonicalise(graph: Graph) -> int:
    """Rewrites spellings in the graph and in the functions it calls. Returns how many nodes changed."""
    return sum(_canonicalise_node(body, node) for body in bodies(graph) for node in list(body.nodes.values()))


def _canonicalise_node(graph: Graph, node: Node) -> int:
    rule = _RULES.get(node.op)
    return int(rule is not None and rule(graph, node))


def _rename_add(graph: Graph, node: Node) -> bool:
    if node.attrs.get("T") is DType.STRING:
        return False
    node.op = "AddV2"
    return True


def _rename_div(graph: Graph, node: Node) -> bool:
    if node.attrs.get("T") not in _FLOATS:
        return False
    node.op = "RealDiv"
    return True


def _add_n(graph: Graph, node: Node) -> bool:
    shapes = [static_shape(graph, ref) for ref in node.inputs]
    if len(node.inputs) != 2 or node.controls or shapes[0] is None or shapes[0] != shapes[1]:
        return False
    become(node, "AddV2", node.inputs, {"T": node.attrs["T"]})
    return True


def _concat(graph: Graph, node: Node) -> bool:
    become(node, "ConcatV2", [*node.inputs[1:], node.inputs[0]],
           {"T": node.attrs["T"], "N": node.attrs["N"], "Tidx": DType.INT32})  # fmt: skip
    return True


def _gather(graph: Graph, node: Node) -> bool:
    axis = graph.add_const(f"{node.name}/axis", np.array(0, np.int32))
    become(node, "GatherV2", [*node.inputs, axis],
           {"Tparams": node.attrs["Tparams"], "Tindices": node.attrs["Tindices"], "Taxis": DType.INT32})  # fmt: skip
    return True


def _batch_matmul(graph: Graph, node: Node) -> bool:
    """A product with one constant matrix: rows of all batches go through one MatMul."""
    changed = node.op != "BatchMatMulV2"
    node.op = "BatchMatMulV2"
    for key in ("Ta", "Tb", "Tout"):  # of V3, where all three are equal for the types that TensorFlow runs
        if key in node.attrs:
            node.attrs["T"] = node.attrs.pop(key)
    x, y = node.inputs
    shape, weights, result = static_shape(graph, x), graph.const_value(y), static_shape(graph, Ref(node.name))
    if (shape is None or weights is None or result is None or rank_of(graph, y) != 2 or len(shape) < 2
            or node.attrs.get("adj_x")):  # fmt: skip
        return changed
    dtype = node.attrs["T"]
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    flat = add_reshape(graph, f"{node.name}/rows", x, (rows, shape[-1]), dtype)
    product = Node(
        graph.unique_name(f"{node.name}/product"), "MatMul", [flat, y],
        attrs={"T": dtype, "transpose_a": False, "transpose_b": bool(node.attrs.get("adj_y", False))},
        types=[type(graph.type_of(x))(dtype, (rows, result[-1]))], num_outputs=1,
    )  # fmt: skip
    graph.add(product)
    to = graph.add_const(f"{node.name}/shape", np.array(result, np.int32))
    become(node, "Reshape", [Ref(product.name), to], {"T": dtype, "Tshape": DType.INT32})
    return True


def add_reshape(graph: Graph, name: str, source: Ref, shape: tuple[int, ...], dtype: DType) -> Ref:
    """A new Reshape of a tensor to a known shape."""
    to = graph.add_const(f"{name}/shape", np.array(shape, np.int32))
    node = Node(graph.unique_name(name), "Reshape", [source, to], attrs={"T": dtype, "Tshape": DType.INT32})
    node.types, node.num_outputs = [type(graph.type_of(source))(dtype, shape)], 1
    return Ref(graph.add(node).name)


def _max_pool_v2(graph: Graph, node: Node) -> bool:
    ksize, strides = small_const(graph, node.inputs[1]), small_const(graph, node.inputs[2])
    if ksize is None or strides is None:
        return False
    attrs = {key: value for key, value in node.attrs.items() if key in ("T", "padding", "data_format")}
    become(node, "MaxPool", node.inputs[:1],
           {**attrs, "ksize": ksize.tolist(), "strides": strides.tolist(), "explicit_paddings": []})  # fmt: skip
    return True


_RULES = {
    "Add": _rename_add,
    "AddN": _add_n,
    "BatchMatMul": _batch_matmul,
    "BatchMatMulV2": _batch_matmul,
    "BatchMatMulV3": _batch_matmul,
    "Concat": _concat,
    "Div": _rename_div,
    "Gather": _gather,
    "MaxPoolV2": _max_pool_v2,
}
