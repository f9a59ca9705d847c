"""Linear op, bias and activation become one op.

Where TensorFlow's CPU has the fused kernel it is TensorFlow's own op: `_FusedConv2D` with BiasAdd and optionally Relu,
Relu6, Elu or LeakyRelu, `_FusedMatMul` with those and Tanh or Sigmoid. Depthwise and transposed convolutions become
composites (see `composite`) for the runtime's FusedDepthwiseConv2dNative and FusedConv2DBackpropInput: the inputs and
attributes of the op they come from, the bias as last input, and

    activation       bytes: "" or the op name of the activation
    leakyrelu_alpha  float, for LeakyRelu

Zeros around the input of a depthwise convolution go into its composite as padding=EXPLICIT; a padded depthwise
convolution without bias and activation becomes a composite for the runtime's plain DepthwiseConv2dNative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wherry.errors import PassError
from wherry.graph import DType, Graph, Node, Ref
from wherry.passes import linear
from wherry.passes.absorb_pads import zeros_around
from wherry.passes.composite import make_composite
from wherry.passes.rewrite import Uses, become, bodies, rank_of

CONVOLUTION_ACTIVATIONS = frozenset({"Elu", "LeakyRelu", "Relu", "Relu6"})
MATMUL_ACTIVATIONS = CONVOLUTION_ACTIVATIONS | {"Sigmoid", "Tanh"}
COMPOSITES = {
    "DepthwiseConv2dNative": "FusedDepthwiseConv2dNative",
    "Conv2DBackpropInput": "FusedConv2DBackpropInput",
}


@dataclass
class Epilogue:
    """What follows a linear op; every tensor in between is read once."""

    bias: Node | None
    activation: Node | None

    @property
    def last(self) -> Node | None:
        return self.activation or self.bias


def fuse_conv(graph: Graph) -> int:
    """Fuses Conv2D. Returns how many. Raises PassError for a layout other than NHWC."""
    return sum(_fuse_all(body, "Conv2D", _fuse_conv) for body in bodies(graph))


def fuse_matmul(graph: Graph) -> int:
    """Fuses MatMul. Returns how many."""
    return sum(_fuse_all(body, "MatMul", _fuse_matmul) for body in bodies(graph))


def fuse_composites(graph: Graph) -> int:
    """Fuses depthwise and transposed convolutions of the model itself. Returns how many."""
    return sum(_fuse_all(graph, op, _fuse_composite) for op in COMPOSITES)


def _fuse_all(graph: Graph, op: str, fuse: Callable[[Graph, Uses, Node], bool]) -> int:
    uses = Uses(graph)
    changed = sum(fuse(graph, uses, node) for node in graph.by_op(op))
    graph.remove_unreachable()
    return changed


def _epilogue(graph: Graph, uses: Uses, node: Node, channels: int, activations: frozenset[str]) -> Epilogue:
    bias = activation = None
    reader = _reader(uses, node)
    if reader is not None and _is_bias(graph, *reader, channels):
        bias = reader[0]
        reader = _reader(uses, bias)
    if reader is not None and reader[0].op in activations and reader[0].attrs.get("T") == DType.FLOAT:
        activation = reader[0]
    return Epilogue(bias, activation)


def _reader(uses: Uses, node: Node) -> tuple[Node, int] | None:
    found = uses.only_consumer(Ref(node.name))
    return None if found is None or found[0].controls else found


def _is_bias(graph: Graph, node: Node, position: int, channels: int) -> bool:
    """Whether a node adds a vector [channels] to its input."""
    if node.op == "BiasAdd":
        return position == 0 and node.attrs.get("data_format", b"NHWC") == b"NHWC"
    if node.op != "AddV2" or len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return False
    other = node.inputs[1 - position]
    held = graph.nodes[other.node].types
    return other.index < len(held) and held[other.index].shape == (channels,) and (rank_of(graph, Ref(node.name))
                                                                                   or 0) > 1  # fmt: skip


def _bias_of(graph: Graph, node: Node, epilogue: Epilogue, channels: int) -> Ref:
    """The tensor that is added; zeros where there is only an activation."""
    if epilogue.bias is None:
        return graph.add_const(f"{node.name}/bias", np.zeros(channels, np.float32))
    first, second = epilogue.bias.inputs
    return second if first.node == node.name else first


def _require_nhwc(graph: Graph, node: Node) -> None:
    layout = node.attrs.get("data_format", b"NHWC")
    if layout != b"NHWC":
        raise PassError(
            f"{graph.name}: node {node.name!r} ({node.op}) has data_format {layout.decode()}; export the model with "
            "channels last (NHWC)"
        )


def _fuse_conv(graph: Graph, uses: Uses, node: Node) -> bool:
    _require_nhwc(graph, node)
    channels = _channels(graph, node)
    if channels is None or node.attrs.get("T") != DType.FLOAT or node.controls:
        return False
    epilogue = _epilogue(graph, uses, node, channels, CONVOLUTION_ACTIVATIONS)
    if epilogue.last is None:
        return False
    attrs: dict[str, Any] = {
        key: node.attrs[key]
        for key in ("T", "strides", "padding", "explicit_paddings", "data_format", "dilations", "use_cudnn_on_gpu")
        if key in node.attrs
    }
    inputs = [*node.inputs, _bias_of(graph, node, epilogue, channels)]
    become(epilogue.last, "_FusedConv2D", inputs, {**attrs, "TArgs": [DType.FLOAT], **_fused(epilogue)})
    return True


def _fuse_matmul(graph: Graph, uses: Uses, node: Node) -> bool:
    channels = _channels(graph, node)
    if channels is None or node.attrs.get("T") != DType.FLOAT or node.controls:
        return False
    epilogue = _epilogue(graph, uses, node, channels, MATMUL_ACTIVATIONS)
    if epilogue.last is None or node.attrs.get("transpose_a"):
        return False
    attrs: dict[str, Any] = {key: node.attrs[key] for key in ("T", "transpose_a", "transpose_b") if key in node.attrs}
    inputs = [*node.inputs, _bias_of(graph, node, epilogue, channels)]
    become(epilogue.last, "_FusedMatMul", inputs, {**attrs, **_fused(epilogue)})
    return True


def _fused(epilogue: Epilogue) -> dict[str, Any]:
    """The attributes of TensorFlow's fused ops that say what is fused."""
    names, alpha = [b"BiasAdd"], 0.2
    if epilogue.activation is not None:
        names.append(epilogue.activation.op.encode())
        alpha = float(epilogue.activation.attrs.get("alpha", alpha))
    return {"num_args": 1, "fused_ops": names, "epsilon": 0.0, "leakyrelu_alpha": alpha}


def _fuse_composite(graph: Graph, uses: Uses, node: Node) -> bool:
    _require_nhwc(graph, node)
    channels = _channels(graph, node)
    if channels is None or node.attrs.get("T") != DType.FLOAT or node.controls or not node.types:
        return False
    epilogue = _epilogue(graph, uses, node, channels, MATMUL_ACTIVATIONS)
    attrs = {key: value for key, value in node.attrs.items() if not key.startswith("_")}
    inputs, nodes = list(node.inputs), [node]
    padded = _take_padding(graph, node, attrs)
    if padded is not None:
        inputs[0] = padded[-1].inputs[0]
        nodes = [*padded, node]
    last = epilogue.last or node
    if last is node and padded is None:
        return False
    if last is node:
        make_composite(graph, nodes, node.op, attrs, inputs, [Ref(node.name)])
        return True
    bias = _bias_of(graph, node, epilogue, channels)
    nodes.append(epilogue.bias or _add_bias(graph, node, bias, last))
    activation = epilogue.activation
    attrs["activation"] = activation.op.encode() if activation is not None else b""
    if activation is not None:
        nodes.append(activation)
        if activation.op == "LeakyRelu":
            attrs["leakyrelu_alpha"] = float(activation.attrs.get("alpha", 0.2))
    make_composite(graph, nodes, COMPOSITES[node.op], attrs, [*inputs, bias], [Ref(last.name)])
    return True


def _take_padding(graph: Graph, node: Node, attrs: dict[str, Any]) -> list[Node] | None:
    """A copy of the Pad before a depthwise convolution, for its composite alone; `attrs` get the padding."""
    found = None
    if node.op == "DepthwiseConv2dNative" and attrs.get("padding") == b"VALID":
        found = zeros_around(graph, node.inputs[0])
    if found is None:
        return None
    source, amounts = found
    if not graph.nodes[source.node].types:
        return None
    attrs["padding"], attrs["explicit_paddings"] = b"EXPLICIT", amounts
    rows = graph.add_const(f"{node.name}/paddings", np.array(amounts, np.int32).reshape(4, 2))
    pad = Node(graph.unique_name(f"{node.name}/pad"), "Pad", [source, rows],
               attrs={"T": DType.FLOAT, "Tpaddings": DType.INT32})  # fmt: skip
    pad.types, pad.num_outputs = list(graph.nodes[node.inputs[0].node].types), 1
    node.inputs[0] = Ref(graph.add(pad).name)
    return [graph.nodes[rows.node], pad]


def _add_bias(graph: Graph, node: Node, bias: Ref, activation: Node) -> Node:
    """A BiasAdd between a linear op and its activation."""
    added = Node(graph.unique_name(f"{node.name}/biased"), "BiasAdd", [Ref(node.name), bias],
                 attrs={"T": DType.FLOAT, "data_format": b"NHWC"}, types=list(node.types), num_outputs=1)  # fmt: skip
    activation.inputs = [Ref(added.name)]
    return graph.add(added)


def _channels(graph: Graph, node: Node) -> int | None:
    """Output channels, when the type of the weights is known."""
    weights = linear.weights_input(node)
    held = graph.nodes[weights.node].types
    if weights.index >= len(held) or not held[weights.index].is_static:
        return None
    shape = held[weights.index].shape
    assert shape is not None
    if node.op == "DepthwiseConv2dNative":
        return (shape[2] or 0) * (shape[3] or 0)
    if node.op == "Conv2DBackpropInput":
        return shape[2]
    if node.op == "MatMul":
        return shape[0] if node.attrs.get("transpose_b") else shape[1]
    return shape[3]
