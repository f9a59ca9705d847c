"""Strip: drops what the outputs do not need and what only training or debugging needs.

Pass-through nodes are bypassed, control edges that only ordered side effects go, and so do functions that nothing
calls. Names of outputs and Placeholders of inputs stay.
"""

from __future__ import annotations

from wherry.graph import Graph, Node, Ref
from wherry.passes.rewrite import CONTROL_FLOW, bodies, remove_unused_functions

# Ops whose output i is their input i.
PASS_THROUGH = frozenset({
    "CheckNumerics", "CheckNumericsV2", "Copy", "CopyHost", "DebugGradientIdentity", "DebugIdentity",
    "DebugIdentityV2", "DebugIdentityV3", "EnsureShape", "Identity", "IdentityN", "OptimizationBarrier",
    "PlaceholderWithDefault", "PreventGradient", "Print", "Snapshot", "StopGradient",
})  # fmt: skip
# Ops that change or read something outside of the graph's tensors, so that their order matters.
_STATEFUL = ("Assign", "ReadVariable", "VarHandle", "Queue", "Stack", "Resource", "Lookup", "Iterator")
_HINTS = ("_class", "_output_shapes")
_DEBUG = frozenset({"Assert", "NoOp", "PrintV2"})


def strip(graph: Graph) -> int:
    """Strips the graph and the functions it calls. Returns how many nodes and functions went."""
    removed = sum(_strip_one(body, body is graph) for body in bodies(graph))
    return removed + remove_unused_functions(graph)


def _strip_one(graph: Graph, is_model: bool) -> int:
    before = len(graph.nodes)
    _drop_controls(graph)
    for node in graph.nodes.values():
        for hint in _HINTS:  # of colocation and of shapes; they name nodes and sizes that passes change
            if node.op != "Placeholder":
                node.attrs.pop(hint, None)
    inputs = set(graph.inputs.values())
    replacements: dict[Ref, Ref] = {}
    for node in graph.nodes.values():
        if node.op in PASS_THROUGH and node.inputs and node.name not in inputs:
            count = len(node.inputs) if node.op == "IdentityN" else 1
            replacements.update((Ref(node.name, i), node.inputs[i]) for i in range(count))
    if is_model:
        _keep_computed_outputs(graph, replacements)
    graph.replace_uses(replacements)
    graph.remove_unreachable()
    return before - len(graph.nodes)


def _drop_controls(graph: Graph) -> None:
    """Drops control edges. Those from debugging go always; others stay where order or dead branches matter."""
    ops = {node.op for node in graph.nodes.values()}
    keep = not ops.isdisjoint(CONTROL_FLOW) or any(op.startswith(_STATEFUL) for op in ops)
    for node in graph.nodes.values():
        if not node.controls:
            continue
        if keep:
            node.controls = [name for name in node.controls if graph.nodes[name].op not in _DEBUG]
        else:
            node.controls = []


def _keep_computed_outputs(graph: Graph, replacements: dict[Ref, Ref]) -> None:
    """Leaves an Identity in front of an output that would otherwise be an input or a constant of the model."""
    for name, ref in list(graph.outputs.items()):
        source = ref
        while source in replacements:
            source = replacements[source]
        if source == ref or graph.nodes[source.node].op not in ("Const", "Placeholder"):
            continue
        node = graph.nodes[ref.node]
        if node.op == "Identity":
            del replacements[ref]
        else:
            graph.outputs[name] = add_identity(graph, source)


def add_identity(graph: Graph, source: Ref) -> Ref:
    """A new Identity of a Placeholder or Const."""
    held = graph.nodes[source.node]
    node = Node(graph.unique_name(f"{source.node}/output"), "Identity", [source], attrs={"T": held.attrs["dtype"]})
    node.types, node.num_outputs = list(held.types), 1
    return Ref(graph.add(node).name)
