"""Reshapes between a linear op and its bias or activation move behind these, so that they can fuse.

TensorFlow spells Conv1D as ExpandDims, Conv2D, Squeeze, BiasAdd, activation, and a dense layer over a sequence as
Reshape, MatMul, Reshape, AddV2, activation. What works per element, or per channel where the channels stay the last
dimension, gives the same on either side of the reshape.
"""

from __future__ import annotations

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, TensorType
from wherry.passes import linear
from wherry.passes.affine import affine_step
from wherry.passes.rewrite import Uses, become, bodies, static_shape

_RESHAPES = frozenset({"ExpandDims", "Reshape", "Squeeze"})
_ELEMENTWISE = frozenset({"Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Sigmoid", "Softplus", "Tanh"})


def sink_reshapes(graph: Graph) -> int:
    """Sinks in the graph and in the functions it calls. Returns how many ops a reshape moved behind."""
    return sum(_sink_one(body) for body in bodies(graph))


def _sink_one(graph: Graph) -> int:
    uses = Uses(graph)
    changed = 0
    for node in list(graph.nodes.values()):
        if not linear.is_linear(graph, node):
            continue
        ref = Ref(node.name)
        while (found := uses.only_consumer(ref)) is not None:
            reader, position = found
            if reader.op in _RESHAPES and position == 0 and _swap_with_reader(graph, uses, reader):
                changed += 1
            elif reader.op not in _ELEMENTWISE and not _is_affine(graph, reader, position):
                break
            ref = Ref(reader.name)
    graph.remove_unreachable()
    return changed


def _is_affine(graph: Graph, node: Node, position: int) -> bool:
    shape = static_shape(graph, Ref(node.name)) if node.types else None
    return bool(shape) and shape is not None and affine_step(graph, node, position, shape[-1]) is not None


def _swap_with_reader(graph: Graph, uses: Uses, reshape: Node) -> bool:
    """Moves a reshape behind its only reader. The reader keeps its name and becomes the reshape."""
    found = uses.only_consumer(Ref(reshape.name))
    before, after = static_shape(graph, reshape.inputs[0]), static_shape(graph, Ref(reshape.name))
    if found is None or before is None or after is None or len(before) < 2 or len(after) < 2:
        return False
    reader, position = found
    if reshape.controls or reader.controls:
        return False
    if reader.op not in _ELEMENTWISE and (before[-1] != after[-1] or not _is_affine(graph, reader, position)):
        return False
    inputs = list(reader.inputs)
    inputs[position] = reshape.inputs[0]
    if reader.op not in _ELEMENTWISE:
        _flatten_operand(graph, inputs, 1 - position)
    dtype = reader.types[0].dtype
    become(reshape, reader.op, inputs, reader.attrs)
    reshape.types, reshape.num_outputs = [TensorType(dtype, before)], 1
    shape = graph.add_const(f"{reader.name}/shape", np.array(after, np.int32))
    become(reader, "Reshape", [Ref(reshape.name), shape], {"T": dtype, "Tshape": DType.INT32})
    return True


def _flatten_operand(graph: Graph, inputs: list[Ref], index: int) -> None:
    """The constant of an affine step as a vector or scalar, which broadcasts to any rank."""
    value = graph.const_value(inputs[index])
    assert value is not None
    array = value.numpy()
    if array.ndim > 1:
        inputs[index] = graph.add_const(f"{inputs[index].node}/vector", array.reshape(-1))
