"""Residual connections: a convolution with bias, what is added to it, and the activation become one composite.

TensorFlow's CPU has no such op, so it is a composite (see `composite`) whose body is `_FusedConv2D`, `AddV2` and the
activation. The runtime adds while it stores the convolution's results, so the sum costs no loop of its own:

    FusedConv2DAdd
        inputs      x [N, H, W, C]; filter [kh, kw, C / groups, out]; bias [out]; residual, of the output's shape
        attributes  strides, padding, explicit_paddings, dilations as of Conv2D;
                    activation: bytes, the op name of the activation; leakyrelu_alpha: float, for LeakyRelu
        output      activation((conv(x, filter) + bias) + residual)
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.graph import Graph, Node, Ref
from wherry.passes.composite import make_composite
from wherry.passes.fuse_activations import CONV_ATTRS, MATMUL_ACTIVATIONS
from wherry.passes.rewrite import Uses, is_float, static_shape

KERNEL = "FusedConv2DAdd"


def fuse_residual(
    graph: Graph, activations: frozenset[str] = MATMUL_ACTIVATIONS, needs_activation: bool = True
) -> int:
    """Fuses `_FusedConv2D` without activation, the AddV2 that alone reads it and what activates the sum.

    activations: that may be fused. needs_activation: additions with none behind them stay.

    In float32, without an activation behind it an addition stays as it is: on MobileNetV2, which has only those, adding
    while storing was measured 2 % slower than a loop of its own; on ResNet50 it is 2.6 % faster.

    Returns how many. Types must be known (`infer_shapes`); an addition that broadcasts stays. Where both operands are
    such convolutions, the one that runs later takes the addition: the other one's result exists by then.
    """
    uses = Uses(graph)
    order = {node.name: number for number, node in enumerate(graph.topological())}
    return sum(_fuse(graph, uses, order, node, activations, needs_activation) for node in graph.by_op("AddV2"))


def _fuse(
    graph: Graph,
    uses: Uses,
    order: Mapping[str, int],
    add: Node,
    activations: frozenset[str],
    needs_activation: bool,
) -> bool:
    if add.controls or not is_float(add) or len(set(add.inputs)) != 2:
        return False
    found = [i for i, ref in enumerate(add.inputs) if _takes_addition(graph, uses, ref)]
    shapes = {static_shape(graph, ref) for ref in (*add.inputs, Ref(add.name))}
    if not found or len(shapes) != 1 or None in shapes:
        return False
    reader = uses.only_consumer(Ref(add.name))
    activation = reader[0] if reader is not None else None
    if activation is not None and (
        activation.op not in activations or not is_float(activation) or activation.controls
    ):
        activation = None
    if activation is None and needs_activation:
        return False
    position = max(found, key=lambda i: order[add.inputs[i].node])
    conv, residual = graph.nodes[add.inputs[position].node], add.inputs[1 - position]

    attrs = {key: conv.attrs[key] for key in CONV_ATTRS if key in conv.attrs}
    attrs["activation"] = b"" if activation is None else activation.op.encode()
    nodes = [conv, add] if activation is None else [conv, add, activation]
    if activation is not None and activation.op == "LeakyRelu":
        attrs["leakyrelu_alpha"] = float(activation.attrs.get("alpha", 0.2))
    make_composite(graph, nodes, KERNEL, attrs, [*conv.inputs, residual], [Ref(nodes[-1].name)])
    return True


def _takes_addition(graph: Graph, uses: Uses, ref: Ref) -> bool:
    """Whether a tensor is a convolution with bias alone, read once."""
    conv = graph.nodes[ref.node]
    return (
        conv.op == "_FusedConv2D"
        and conv.attrs["fused_ops"] == [b"BiasAdd"]
        and len(conv.inputs) == 3
        and not conv.controls
        and uses.only_consumer(ref) is not None
    )
