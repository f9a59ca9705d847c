"""Inlines function calls: PartitionedCall, StatefulPartitionedCall, and calls by the function's own name.

Bodies of While, If and Case stay functions, and are themselves flat afterwards. Every function is flattened
once, before the graphs that call it, so the work grows with the size of the result and no faster.
"""

from __future__ import annotations

from wherry.errors import LoadError
from wherry.graph import FuncName, Function, Graph, Node, Ref

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})

# Ops that write to a variable: what a call must not lose when its outputs do not need it.
_RESOURCE_WRITES = (
    "AssignVariableOp",
    "AssignAddVariableOp",
    "AssignSubVariableOp",
    "ResourceScatter",
    "ResourceApply",
    "ResourceSparseApply",
    "ResourceStridedSliceAssign",
    "ResourceAccumulator",
)
_REF_WRITES = frozenset(
    {
        "Assign",
        "AssignAdd",
        "AssignSub",
        "ScatterUpdate",
        "ScatterAdd",
        "ScatterSub",
        "ScatterMul",
        "ScatterDiv",
        "ScatterMin",
        "ScatterMax",
        "ScatterNdUpdate",
        "ScatterNdAdd",
        "ScatterNdSub",
        "StridedSliceAssign",
    }
)


def writes_variable(op: str) -> bool:
    """Whether an op changes the variable that is its first input."""
    return op in _REF_WRITES or op.startswith(_RESOURCE_WRITES)


def inline(graph: Graph, effects: list[str] | None = None) -> list[str]:
    """Inlines every call that the graph's outputs, or the nodes in `effects`, need; drops what they do not
    need.

    Returns the names of nodes that write to variables and run whenever the graph does. Raises LoadError for a
    function that calls itself or does not exist.
    """
    return _Inliner(graph.functions).flatten_graph(graph, list(effects or []))


class _Inliner:
    def __init__(self, functions: dict[str, Function]) -> None:
        self.functions = functions
        self.flat: dict[str, list[str]] = {}  # function -> nodes of its flat body that write to variables
        self.running: set[str] = set()

    def flatten(self, name: str, caller: Node) -> Function:
        function = self.functions.get(name)
        if function is None:
            raise LoadError(f"node {caller.name!r} ({caller.op}) calls function {name!r}, which does not exist")
        if name in self.running:
            raise LoadError(f"function {name!r} calls itself; recursion is not supported")
        if name not in self.flat:
            self.running.add(name)
            signature = function.signature
            writes = self.flatten_graph(function.graph, list(signature.control_ret.values()) if signature else [])
            if signature is not None:  # of what must run in a call, only the writes are kept
                signature.control_ret.clear()
                signature.control_ret.update({write: write for write in writes})
                signature.signature.control_output[:] = writes
            self.flat[name] = writes
            self.running.discard(name)
        return function

    def flatten_graph(self, graph: Graph, effects: list[str]) -> list[str]:
        prune(graph, effects)
        writes = [name for name in effects if writes_variable(graph.nodes[name].op)]
        nodes: dict[str, Node] = {}
        taken = set(graph.nodes)
        results: dict[Ref, Ref] = {}
        controls: dict[str, list[str]] = {}
        for node in graph.nodes.values():
            callee = self.callee(node)
            if callee is None:
                nodes[node.name] = node
                self.flatten_bodies(node)
                continue
            function = self.flatten(callee, node)
            renamed = self.splice(node, function, nodes, taken, results)
            writes += [renamed[name] for name in self.flat[callee]]
            ends = [results[Ref(node.name, i)].node for i in range(len(function.results))]
            controls[node.name] = list(dict.fromkeys(ends + [renamed[name] for name in self.flat[callee]]))
        graph.nodes = nodes
        if controls:
            graph.replace_uses(results)
            for node in nodes.values():
                if any(name in controls for name in node.controls):
                    node.controls = _resolve_controls(node.controls, controls)
        prune(graph, writes + [name for name in effects if name in nodes])
        return writes

    def callee(self, node: Node) -> str | None:
        if node.op in _CALLS:
            return str(node.attrs["f"])
        return node.op if node.op in self.functions else None

    def flatten_bodies(self, node: Node) -> None:
        for value in node.attrs.values():
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, FuncName):
                    self.flatten(item, node)

    def splice(
        self, call: Node, function: Function, nodes: dict[str, Node], taken: set[str], results: dict[Ref, Ref]
    ) -> dict[str, str]:
        """Copies a flat body in place of a call. Returns the body's names -> the names they got."""
        if len(call.inputs) != len(function.args):
            raise LoadError(
                f"node {call.name!r} calls {function.graph.name!r} with {len(call.inputs)} arguments; "
                f"it takes {len(function.args)}"
            )
        given = dict(zip(function.args, call.inputs, strict=True))
        renamed: dict[str, str] = {}
        for name in function.graph.nodes:
            if name not in given:
                renamed[name] = fresh = _fresh_name(name, call.name, taken)
                taken.add(fresh)
        for name, node in function.graph.nodes.items():
            if name in given:
                continue
            controls = [renamed[control] for control in node.controls if control not in given]
            if not node.inputs and not controls:
                controls = list(call.controls)
            nodes[renamed[name]] = Node(
                renamed[name],
                node.op,
                [given[ref.node] if ref.node in given else Ref(renamed[ref.node], ref.index) for ref in node.inputs],
                controls,
                dict(node.attrs),
                node.value,
            )
        for index, ref in enumerate(function.results):
            results[Ref(call.name, index)] = given[ref.node] if ref.node in given else Ref(renamed[ref.node], ref.index)
        return renamed


def prune(graph: Graph, roots: list[str]) -> None:
    """Drops the nodes that neither the outputs nor `roots` need; inputs stay."""
    outputs = graph.outputs
    graph.outputs = {**outputs, **{f"^{name}": Ref(name) for name in roots}}
    graph.remove_unreachable()
    graph.outputs = outputs


def _fresh_name(name: str, call: str, taken: set[str]) -> str:
    """The name a node of a body gets: its own if that is free, else with the call's name before it."""
    if name not in taken:
        return name
    base = fresh = f"{call}/{name}"
    number = 0
    while fresh in taken:
        number += 1
        fresh = f"{base}_{number}"
    return fresh


def _resolve_controls(names: list[str], controls: dict[str, list[str]]) -> list[str]:
    """Replaces calls by the nodes that end them; a call may end in the result of another call."""
    resolved: dict[str, None] = {}
    stack = list(reversed(names))
    seen = set()
    while stack:
        name = stack.pop()
        if name in controls:
            if name not in seen:
                seen.add(name)
                stack.extend(reversed(controls[name]))
        else:
            resolved[name] = None
    return list(resolved)
