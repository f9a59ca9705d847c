"""Linear op, bias and activation become one op.

Where TensorFlow's CPU has the fused kernel it is TensorFlow's own op: `_FusedConv2D` with BiasAdd and optionally Relu,
Relu6, Elu or LeakyRelu, `_FusedMatMul` with those and Tanh or Sigmoid. Depthwise and transposed convolutions become
composites (see `composite`) for the runtime's FusedDepthwiseConv2dNative and FusedConv2DBackpropInput, convolutions
with an activation that `_FusedConv2D` lacks composites for its FusedConv2D: the inputs and attributes of the op they
come from, the bias as last input, and

    activation       bytes: "" or the name of the activation: of an op, or Swish or HardSwish (see `gated`)
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
from wherry.passes.composite import composite_attrs, composite_kernel, make_composite
from wherry.passes.gated import Activation, gated_activation
from wherry.passes.rewrite import Uses, become, bodies, is_float, rank_of

CONVOLUTION_ACTIVATIONS = frozenset({"Elu", "LeakyRelu", "Relu", "Relu6"})
MATMUL_ACTIVATIONS = CONVOLUTION_ACTIVATIONS | {"Sigmoid", "Tanh"}
COMPOSITE_ACTIVATIONS = MATMUL_ACTIVATIONS | {"HardSwish", "Swish"}
CONV_ATTRS = ("T", "strides", "padding", "explicit_paddings", "data_format", "dilations")
COMPOSITES = {
    "DepthwiseConv2dNative": "FusedDepthwiseConv2dNative",
    "Conv2DBackpropInput": "FusedConv2DBackpropInput",
}


@dataclass
class Epilogue:
    """What follows a linear op; every tensor in between is read once."""

    bias: Node | None
    activation: Activation | None

    @property
    def last(self) -> Node | None:
        return self.bias if self.activation is None else self.activation.last


def fuse_conv(graph: Graph, activations: frozenset[str] = COMPOSITE_ACTIVATIONS) -> int:
    """Fuses Conv2D, with no other activations than these. Returns how many. Raises PassError for a layout other than
    NHWC."""
    return sum(_fuse_all(body, "Conv2D", _fuse_conv, activations) for body in bodies(graph))


def fuse_matmul(graph: Graph, activations: frozenset[str] = COMPOSITE_ACTIVATIONS) -> int:
    """Fuses MatMul. Returns how many."""
    return sum(_fuse_all(body, "MatMul", _fuse_matmul, activations) for body in bodies(graph))


def fuse_composites(graph: Graph, activations: frozenset[str] = COMPOSITE_ACTIVATIONS) -> int:
    """Fuses depthwise and transposed convolutions of the model itself, and what is left of others. Returns how many."""
    changed = sum(_fuse_all(graph, op, _fuse_conv_composite, activations) for op in ("Conv2D", "_FusedConv2D"))
    return changed + sum(_fuse_all(graph, op, _fuse_composite, activations) for op in COMPOSITES)


_Fuse = Callable[[Graph, Uses, Node, frozenset[str]], bool]


def _fuse_all(graph: Graph, op: str, fuse: _Fuse, activations: frozenset[str]) -> int:
    uses = Uses(graph)
    changed = sum(fuse(graph, uses, node, activations) for node in graph.by_op(op))
    graph.remove_unreachable()
    return changed


def _epilogue(graph: Graph, uses: Uses, node: Node, channels: int, activations: frozenset[str]) -> Epilogue:
    bias = None
    reader = _reader(uses, node)
    if reader is not None and _is_bias(graph, *reader, channels):
        bias = reader[0]
    return Epilogue(bias, _activation(graph, uses, Ref((bias or node).name), activations))


def _activation(graph: Graph, uses: Uses, ref: Ref, allowed: frozenset[str]) -> Activation | None:
    """What activates a tensor, one of `allowed`."""
    reader = uses.only_consumer(ref)
    if reader is None:
        found = gated_activation(graph, uses, ref)
        return found if found is not None and found.name in allowed else None
    node = reader[0]
    if node.controls or node.op not in allowed or node.attrs.get("T") != DType.FLOAT:
        return None
    return Activation(node.op, [node])


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


def _fuse_conv(graph: Graph, uses: Uses, node: Node, activations: frozenset[str]) -> bool:
    _require_nhwc(graph, node)
    channels = _channels(graph, node)
    if channels is None or node.attrs.get("T") != DType.FLOAT or node.controls:
        return False
    epilogue = _epilogue(graph, uses, node, channels, CONVOLUTION_ACTIVATIONS & activations)
    if epilogue.last is None:
        return False
    attrs: dict[str, Any] = {
        key: node.attrs[key]
        for key in (*CONV_ATTRS, "use_cudnn_on_gpu")
        if key in node.attrs
    }
    inputs = [*node.inputs, _bias_of(graph, node, epilogue, channels)]
    become(epilogue.last, "_FusedConv2D", inputs, {**attrs, "TArgs": [DType.FLOAT], **_fused(epilogue)})
    return True


def _fuse_matmul(graph: Graph, uses: Uses, node: Node, activations: frozenset[str]) -> bool:
    channels = _channels(graph, node)
    if channels is None or node.attrs.get("T") != DType.FLOAT or node.controls:
        return False
    epilogue = _epilogue(graph, uses, node, channels, MATMUL_ACTIVATIONS & activations)
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
        names.append(epilogue.activation.name.encode())
        alpha = float(epilogue.activation.last.attrs.get("alpha", alpha))
    return {"num_args": 1, "fused_ops": names, "epsilon": 0.0, "leakyrelu_alpha": alpha}


def _fuse_composite(graph: Graph, uses: Uses, node: Node, activations: frozenset[str]) -> bool:
    _require_nhwc(graph, node)
    channels = _channels(graph, node)
    if channels is None or node.attrs.get("T") != DType.FLOAT or node.controls or not node.types:
        return False
    epilogue = _epilogue(graph, uses, node, channels, COMPOSITE_ACTIVATIONS & activations)
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
    nodes.append(epilogue.bias or _add_bias(graph, node, bias, epilogue.activation))
    attrs["activation"] = b""
    if epilogue.activation is not None:
        nodes += _activate(graph, epilogue.activation, attrs)
    make_composite(graph, nodes, COMPOSITES[node.op], attrs, [*inputs, bias], [Ref(last.name)])
    return True


def _activate(graph: Graph, activation: Activation, attrs: dict[str, Any]) -> list[Node]:
    """The nodes of an activation for a composite, constants that they read copied; `attrs` say which it is."""
    attrs["activation"] = activation.name.encode()
    if activation.name == "LeakyRelu":
        attrs["leakyrelu_alpha"] = float(activation.last.attrs.get("alpha", 0.2))
    constants = []
    for node in activation.nodes:
        for i, ref in enumerate(node.inputs):
            value = graph.const_value(ref)
            if value is not None:
                node.inputs[i] = graph.add_const(f"{node.name}/constant", value.numpy())
                constants.append(graph.nodes[node.inputs[i].node])
    return [*constants, *activation.nodes]


def _fuse_conv_composite(graph: Graph, uses: Uses, node: Node, activations: frozenset[str]) -> bool:
    """A convolution with at most a bias, and an activation that `_FusedConv2D` does not have."""
    if node.controls or not node.types or not is_float(node):
        return False
    if node.op == "_FusedConv2D" and (node.attrs["fused_ops"] != [b"BiasAdd"] or len(node.inputs) != 3):
        return False
    lacking = (COMPOSITE_ACTIVATIONS - CONVOLUTION_ACTIVATIONS) & activations
    activation = _activation(graph, uses, Ref(node.name), lacking)
    if activation is None:
        return False
    attrs = {key: node.attrs[key] for key in CONV_ATTRS if key in node.attrs}
    nodes = [node, *_activate(graph, activation, attrs)]
    make_composite(graph, nodes, "FusedConv2D", attrs, node.inputs, [Ref(activation.last.name)])
    return True


def fuse_behind(graph: Graph) -> int:
    """Activations that the passes for codes left behind convolutions, which now compute in floats. Returns how many."""
    changed = fuse_composites(graph)
    uses = Uses(graph)
    for node in [node for node in graph.nodes.values() if _lacks_activation(node)]:
        activation = _activation(graph, uses, Ref(node.name), COMPOSITE_ACTIVATIONS)
        if activation is None:
            continue
        kernel, attrs = composite_kernel(node), composite_attrs(node)
        assert kernel is not None
        nodes = [node, *_activate(graph, activation, attrs)]
        make_composite(graph, nodes, kernel, attrs, node.inputs, [Ref(activation.last.name)])
        changed += 1
    return changed


def _lacks_activation(node: Node) -> bool:
    return composite_kernel(node) in COMPOSITES.values() and composite_attrs(node).get("activation") == b""


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


def _add_bias(graph: Graph, node: Node, bias: Ref, activation: Activation | None) -> Node:
    """A BiasAdd between a linear op and its activation."""
    added = Node(graph.unique_name(f"{node.name}/biased"), "BiasAdd", [Ref(node.name), bias],
                 attrs={"T": DType.FLOAT, "data_format": b"NHWC"}, types=list(node.types), num_outputs=1)  # fmt: skip
    for reader in activation.nodes if activation is not None else ():
        reader.inputs = [Ref(added.name) if ref == Ref(node.name) else ref for ref in reader.inputs]
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
