"""Branches whose condition is constant: the branch that is taken stays, the other goes.

This is how training-only parts of TensorFlow 1 models look once `training` has its default: dropout and batch norms
behind Switch and Merge, or behind If.
"""

from __future__ import annotations

import numpy as np

from wherry.graph import ArrayValue, FuncName, Function, Graph, Node, Ref
from wherry.passes.rewrite import CONTROL_FLOW, bodies, small_const
from wherry.passes.strip import strip

_LOOPS = frozenset({"Enter", "Exit", "LoopCond", "NextIteration"})
_IFS = frozenset({"If", "StatelessIf"})
_CASES = frozenset({"Case", "StatelessCase"})


def fold_branches(graph: Graph) -> int:
    """Folds in the graph and in the functions it calls. Returns how many branchings went."""
    changed = 0
    for body in bodies(graph):
        while (found := _inline_taken(body, graph.functions) + _fold_switches(body)) > 0:
            changed += found
    if changed:
        strip(graph)
    return changed


def has_dead_tensors(graph: Graph) -> bool:
    """Whether tensors may be dead (TensorFlow 1's branches and loops), so that a constant may not take their place."""
    return any(node.op in CONTROL_FLOW for node in graph.nodes.values())


def _known(graph: Graph, ref: Ref, depth: int = 16) -> np.ndarray | None:
    """The value of a condition: a constant, or logic over constants."""
    node = graph.nodes[ref.node]
    if node.op == "Const":
        return small_const(graph, ref)
    if depth == 0 or not node.inputs:
        return None
    if node.op in ("Identity", "Switch"):
        return _known(graph, node.inputs[0], depth - 1)
    known = [_known(graph, source, depth - 1) for source in node.inputs]
    if node.op == "LogicalNot" and known[0] is not None:
        return np.logical_not(known[0])
    if node.op in ("LogicalAnd", "LogicalOr") and known[0] is not None and known[1] is not None:
        logic = np.logical_and if node.op == "LogicalAnd" else np.logical_or
        return np.asarray(logic(known[0], known[1]))
    return None


def _inline_taken(graph: Graph, functions: dict[str, Function]) -> int:
    changed = 0
    for node in list(graph.nodes.values()):
        name = _taken_branch(graph, node)
        if name is None or name not in functions:
            continue
        _inline(graph, node, functions[name])
        changed += 1
    return changed


def _taken_branch(graph: Graph, node: Node) -> FuncName | None:
    if node.op not in _IFS and node.op not in _CASES:
        return None
    condition = _known(graph, node.inputs[0])
    if condition is None or condition.ndim != 0 or condition.dtype.kind not in "biuf":
        return None
    if node.op in _IFS:
        branch: FuncName = node.attrs["then_branch" if bool(condition) else "else_branch"]
        return branch
    branches: list[FuncName] = node.attrs["branches"]
    index = int(condition)
    return branches[index] if 0 <= index < len(branches) else branches[-1]


def _inline(graph: Graph, node: Node, function: Function) -> None:
    """Copies a function's body into the graph, for a node whose inputs 1.. are the arguments."""
    renamed = {Ref(arg): ref for arg, ref in zip(function.args, node.inputs[1:], strict=True)}
    names = {name: graph.unique_name(f"{node.name}/{name}") for name in function.graph.nodes
             if name not in function.args}  # fmt: skip

    def moved(ref: Ref) -> Ref:
        return renamed[ref] if ref in renamed else Ref(names[ref.node], ref.index)

    for original in function.graph.nodes.values():
        if original.name not in names:
            continue
        copy = Node(names[original.name], original.op, [moved(ref) for ref in original.inputs],
                    [names[c] for c in original.controls if c in names] + list(node.controls),
                    dict(original.attrs), original.value)  # fmt: skip
        graph.add(copy)
    graph.replace_uses({Ref(node.name, i): moved(ref) for i, ref in enumerate(function.results)})
    del graph.nodes[node.name]
    for other in graph.nodes.values():
        if node.name in other.controls:
            other.controls = [c for c in other.controls if c != node.name]


def _fold_switches(graph: Graph) -> int:
    ops = {node.op for node in graph.nodes.values()}
    if "Switch" not in ops or not ops.isdisjoint(_LOOPS):
        return 0
    replacements: dict[Ref, Ref] = {}
    dead: set[Ref] = set()
    dead_nodes: set[str] = set()
    for node in graph.topological():
        if node.op == "Merge":
            alive = [i for i, ref in enumerate(node.inputs) if ref not in dead]
            if len(alive) == 1 and len(node.inputs) > 1:
                replacements[Ref(node.name)] = node.inputs[alive[0]]
                index = graph.add_const(f"{node.name}/taken", ArrayValue(np.array(alive[0], np.int32)))
                replacements[Ref(node.name, 1)] = index
                continue
            is_dead = not alive
        else:
            is_dead = any(ref in dead for ref in node.inputs) or any(c in dead_nodes for c in node.controls)
        if is_dead:
            dead_nodes.add(node.name)
            dead.update(Ref(node.name, i) for i in range(max(2, node.num_outputs or len(node.types))))
        elif node.op == "Switch" and (condition := _known(graph, node.inputs[1])) is not None:
            taken = int(bool(condition))
            replacements[Ref(node.name, taken)] = node.inputs[0]
            dead.add(Ref(node.name, 1 - taken))
    for node in graph.nodes.values():  # a control edge from a switch fires whichever branch is taken
        node.controls = [c for c in node.controls if graph.nodes[c].op != "Switch"]
    used = {ref for node in graph.nodes.values() for ref in node.inputs} | set(graph.outputs.values())
    graph.replace_uses(replacements)
    graph.remove_unreachable()
    return len({ref.node for ref in replacements if ref in used})
