"""Batch norms, biases and constant scales go into the weights of the linear op next to them.

Behind a linear op: the chain of affine steps that follows becomes a scale of the weights and one BiasAdd.
Before a linear op that alone reads it: the chain becomes a scale of the weights and a bias. The zeros that an op pads
with take no offset, so a chain with an offset only goes into an op that pads nothing.
Elsewhere (before an activation, as in ResNetV2 and DenseNet): the chain becomes one Mul and one AddV2.
Folded weights are computed in float64, rounded once, and only when they are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wherry.graph import DType, Graph, Node, Ref, Value
from wherry.passes import linear
from wherry.passes.affine import NORMS, Affine, Chain, affine_step, follow
from wherry.passes.fold_constants import LARGE
from wherry.passes.rewrite import Uses, become, bodies, static_shape


def fold_batch_norms(graph: Graph) -> int:
    """Folds in the graph and in the functions it calls. Returns how many affine steps went."""
    return sum(_fold_one(body) for body in bodies(graph))


def _fold_one(graph: Graph) -> int:
    changed = 0
    for sweep in (_fold_behind, _fold_before, _merge_elsewhere):
        changed += sweep(graph, Uses(graph))
        graph.remove_unreachable()
    return changed


def _fold_behind(graph: Graph, uses: Uses) -> int:
    changed = 0
    for node in list(graph.nodes.values()):
        if not linear.is_linear(graph, node) or not node.types:
            continue
        channels = linear.out_channels(graph, node)
        chain = follow(graph, uses, Ref(node.name), channels, allow_scale=_may_copy_weights(graph, uses, node))
        if chain is None or _is_plain_bias(chain):
            continue
        _attach(graph, node, chain.total, chain.last)
        changed += len(chain.nodes)
    return changed


def _may_copy_weights(graph: Graph, uses: Uses, node: Node) -> bool:
    """Weights that several ops share are scaled for one of them only where a copy costs little."""
    weights = linear.weights_input(node)
    value = graph.const_value(weights)
    return value is not None and (uses.count(weights) == 1 or value.nbytes <= LARGE)


def _is_plain_bias(chain: Chain) -> bool:
    return len(chain.nodes) == 1 and chain.last.op == "BiasAdd"


def _attach(graph: Graph, node: Node, total: Affine, last: Node) -> None:
    """Puts `total` into the weights of `node` and a bias; `last` becomes the node with the final result."""
    inputs, attrs = list(node.inputs), dict(node.attrs)
    if (total.scale != 1).any():
        value = linear.scaled_by_output(graph, node, total.scale)
        inputs[linear.INPUTS[node.op][1]] = _add_weights(graph, linear.weights_input(node), value)
    if (total.offset == 0).all():
        become(last, node.op, inputs, attrs, list(node.controls))
    else:
        node.inputs = inputs
        bias = graph.add_const(f"{node.name}/bias", total.offset.astype(np.float32))
        become(last, "BiasAdd", [Ref(node.name), bias], {"T": DType.FLOAT, "data_format": b"NHWC"})
    last.types, last.num_outputs = last.types[:1], 1


def _add_weights(graph: Graph, old: Ref, value: Value) -> Ref:
    return graph.add_const(f"{old.node}/folded", value)


def _fold_before(graph: Graph, uses: Uses) -> int:
    changed = 0
    for node in list(graph.nodes.values()):
        if not linear.is_linear(graph, node) or not node.types or node.controls:
            continue
        if not _may_copy_weights(graph, uses, node):
            continue
        found = _chain_into(graph, uses, node)
        if found is None:
            continue
        source, total, steps = found
        if total.offset.any() and not linear.pads_nothing(graph, node):
            continue
        if total.offset.any():
            response = linear.response_to_offset(graph, node, total.offset)
        else:
            response = np.zeros(linear.out_channels(graph, node))
        inputs = list(node.inputs)
        value = linear.scaled_by_input(graph, node, total.scale)
        position = linear.INPUTS[node.op][1]
        inputs[position] = _add_weights(graph, inputs[position], value)
        inputs[linear.INPUTS[node.op][0]] = source
        _replace_with_bias(graph, uses, node, inputs, response)
        changed += steps
    return changed


def _chain_into(graph: Graph, uses: Uses, node: Node) -> tuple[Ref, Affine, int] | None:
    """The affine steps that only `node` reads: what they start from, their sum, how many they are."""
    if node.op == "MatMul" and node.attrs.get("transpose_a"):
        return None
    channels = linear.in_channels(graph, node)
    total = Affine(np.ones(channels), np.zeros(channels))
    ref, steps = linear.data_input(node), 0
    while uses.count(ref) == 1:
        before = graph.nodes[ref.node]
        position = next((i for i, r in enumerate(before.inputs) if graph.const_value(r) is None), None)
        if position is None or before.controls or ref.index != 0 or before.op == "BiasAdd":
            break  # a BiasAdd belongs to the linear op before it
        step = affine_step(graph, before, position, channels)
        if step is None:
            break
        total, ref, steps = step.then(total), before.inputs[position], steps + 1
    return (ref, total, steps) if steps else None


def _replace_with_bias(graph: Graph, uses: Uses, node: Node, inputs: list[Ref], bias: np.ndarray) -> None:
    """Gives `node` new inputs and a bias; a BiasAdd behind it takes the bias up."""
    if (bias == 0).all():
        node.inputs = inputs
        return
    reader = uses.only_consumer(Ref(node.name))
    if reader is not None and reader[0].op == "BiasAdd" and reader[1] == 0:
        old = graph.const_value(reader[0].inputs[1])
        if old is not None:
            total = old.numpy().astype(np.float64) + bias
            reader[0].inputs[1] = graph.add_const(f"{node.name}/bias", total.astype(np.float32))
            node.inputs = inputs
            return
    moved = Node(graph.unique_name(f"{node.name}/linear"), node.op, inputs, [], dict(node.attrs))
    moved.types, moved.num_outputs = list(node.types), node.num_outputs
    graph.add(moved)
    offset = graph.add_const(f"{node.name}/bias", bias.astype(np.float32))
    become(node, "BiasAdd", [Ref(moved.name), offset], {"T": DType.FLOAT, "data_format": b"NHWC"})


def _merge_elsewhere(graph: Graph, uses: Uses) -> int:
    """Chains that stay become at most one Mul and one AddV2; batch norms do so even alone."""
    changed = 0
    done: set[str] = set()
    for node in graph.topological():
        if node.name in done or (step := _start(graph, uses, node)) is None:
            continue
        done.update(n.name for n in step.chain.nodes)
        needed = int((step.chain.total.scale != 1).any()) + int((step.chain.total.offset != 0).any())
        if len(step.chain.nodes) <= needed and not any(n.op in NORMS for n in step.chain.nodes):
            continue
        _write_affine(graph, step)
        changed += len(step.chain.nodes)
    return changed


@dataclass
class _Start:
    source: Ref
    chain: Chain


def _start(graph: Graph, uses: Uses, node: Node) -> _Start | None:
    """The chain that begins with `node`, when it is an affine step."""
    position = next((i for i, ref in enumerate(node.inputs) if graph.const_value(ref) is None), None)
    shape = static_shape(graph, Ref(node.name)) if node.types else None
    if position is None or not node.types or node.controls or node.op == "BiasAdd":
        return None
    held = node.types[0].shape
    if held is None or not held or held[-1] is None or (shape is not None and 0 in shape):
        return None
    step = affine_step(graph, node, position, held[-1])
    if step is None or (node.op in NORMS and any(uses.count(Ref(node.name, i)) for i in range(1, 6))):
        return None
    rest = follow(graph, uses, Ref(node.name), held[-1])
    nodes = [node] + (rest.nodes if rest else [])
    return _Start(node.inputs[position], Chain(nodes, step.then(rest.total) if rest else step))


def _write_affine(graph: Graph, step: _Start) -> None:
    last, total, source = step.chain.last, step.chain.total, step.source
    last.types, last.num_outputs = last.types[:1], 1
    scale = None
    if (total.scale != 1).any():
        scale = graph.add_const(f"{last.name}/scale", _shortest(total.scale))
    offset = None
    if (total.offset != 0).any():
        offset = graph.add_const(f"{last.name}/offset", _shortest(total.offset))
    attrs = {"T": DType.FLOAT}
    if scale is not None and offset is not None:
        product = Node(graph.unique_name(f"{last.name}/scaled"), "Mul", [source, scale], attrs=dict(attrs))
        product.types, product.num_outputs = list(last.types), 1
        source = Ref(graph.add(product).name)
    if offset is not None:
        become(last, "AddV2", [source, offset], attrs)
    elif scale is not None:
        become(last, "Mul", [source, scale], attrs)
    else:
        become(last, "Identity", [source], attrs)


def _shortest(vector: np.ndarray) -> np.ndarray:
    """Float32, as a scalar where all channels agree."""
    single = vector.astype(np.float32)
    return single[0] if (single == single[0]).all() else single
