"""Merges variables into constants: the node that stood for a variable becomes a Const that holds its value.

Reads of the variable become uses of the constant, also in the bodies of While, If and Case, which get the
value as an argument where they got the handle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wherry.errors import LoadError
from wherry.frontend.inline import prune, writes_variable
from wherry.graph import ArrayValue, DType, FuncName, Function, Graph, Node, Ref, TensorType, Value
from wherry.graph.graph import ShapeAttr

VARIABLES = frozenset({"VarHandleOp", "VariableV2", "Variable", "TemporaryVariable"})
_LOOPS = frozenset({"While", "StatelessWhile"})
_BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})
_PASS_ON = frozenset({"Identity", "Enter", "RefIdentity", "RefEnter"})
_STATE = frozenset(
    {
        "HashTable",
        "HashTableV2",
        "MutableHashTable",
        "MutableHashTableV2",
        "AnonymousHashTable",
        "MutableDenseHashTableV2",
        "LookupTableFind",
        "LookupTableFindV2",
        "LookupTableSize",
        "LookupTableSizeV2",
        "LookupTableExportV2",
        "LookupTableImportV2",
        "InitializeTableV2",
        "InitializeTableFromTextFileV2",
    }
)


class _Frozen(NamedTuple):
    """A node that was a handle and is a value now."""

    type: TensorType
    label: str  # the variable's name


def freeze(graph: Graph, values: Mapping[str, Value], labels: Mapping[str, str], effects: list[str]) -> None:
    """Puts `values` (by node name) where the variables are. `effects` are nodes that run though no output
    needs them.

    Raises LoadError naming the variable when it has no value, is written to, or is used in an unknown way;
    and naming the node for any other state, such as hash tables.
    """
    prune(graph, _without_idle_writes(graph, effects))
    frozen: dict[str, _Frozen] = {}
    for node in graph.nodes.values():
        is_variable = node.op in VARIABLES
        if node.name not in values:
            if is_variable:
                raise LoadError(
                    f"variable {variable_name(node)!r} has no value in the model (is the checkpoint "
                    "complete, or a GraphDef not frozen?)"
                )
            continue
        value = values[node.name]
        label = labels.get(node.name) or variable_name(node)
        if is_variable or node.attrs.get("dtype") is DType.RESOURCE:
            frozen[node.name] = _Frozen(value.type, label)
        node.op, node.attrs, node.value = "Const", {"dtype": value.type.dtype}, value
        node.inputs, node.controls = [], []
    freezer = _Freezer(graph.functions)
    freezer.lower(graph, frozen)
    freezer.finish(graph)
    _rename(graph, labels)
    prune(graph, [])


def _without_idle_writes(graph: Graph, effects: list[str]) -> list[str]:
    """Drops writes to variables that no output reads, such as the seeds of dropout, which Keras advances
    even when it infers. Returns the effects that remain."""
    needed: set[str] = set()
    stack = [ref.node for ref in graph.outputs.values()]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack.extend(ref.node for ref in graph.nodes[name].inputs)
    idle = set()
    for node in graph.nodes.values():
        if writes_variable(node.op):
            handle = graph.nodes[node.inputs[0].node]
            while handle.op in _PASS_ON:
                handle = graph.nodes[handle.inputs[0].node]
            if handle.name not in needed:
                idle.add(node.name)
    for node in graph.nodes.values():
        if not idle.isdisjoint(node.controls):
            node.controls = [name for name in node.controls if name not in idle]
    return [name for name in effects if name not in idle]


def variable_name(node: Node) -> str:
    """The name users know: shared_name where there is one."""
    shared = node.attrs.get("shared_name")
    return shared.decode() if isinstance(shared, bytes) and shared else node.name


class _Freezer:
    def __init__(self, functions: dict[str, Function]) -> None:
        self.originals = dict(functions)
        self.functions = functions
        self.specialised: dict[tuple[str, tuple[tuple[int, TensorType], ...]], FuncName] = {}
        self.used: set[str] = set()

    def lower(self, graph: Graph, frozen: dict[str, _Frozen]) -> None:
        """Rewrites the uses of the handles in `frozen`; nodes that pass a handle on are added to it."""
        replaced: dict[Ref, Ref] = {}
        for node in _passing_on(graph, frozen):
            origin = frozen[node.inputs[0].node]
            frozen[node.name] = origin
            node.op = node.op.removeprefix("Ref")
            node.attrs["T"] = origin.type.dtype
        for node in list(graph.nodes.values()):
            handles = [i for i, ref in enumerate(node.inputs) if ref.node in frozen]
            if node.op in _LOOPS or node.op in _BRANCHES:
                self.control_flow(graph, node, frozen, handles, replaced)
            elif handles and node.name not in frozen:
                self.use(graph, node, frozen[node.inputs[handles[0]].node], replaced)
        graph.replace_uses(replaced)

    def use(self, graph: Graph, node: Node, variable: _Frozen, replaced: dict[Ref, Ref]) -> None:
        if writes_variable(node.op):
            raise LoadError(
                f"variable {variable.label!r} is changed during inference (node {node.name!r}, "
                f"{node.op}); export the model without its state"
            )
        if node.op == "ReadVariableOp":
            replaced[Ref(node.name)] = node.inputs[0]
        elif node.op == "ResourceGather":
            batch_dims = node.attrs.pop("batch_dims", 0)
            axis = graph.add_const(f"{node.name}/axis", np.int32(batch_dims))
            node.op, node.inputs = "GatherV2", [*node.inputs, axis]
            node.attrs = {
                "Tparams": variable.type.dtype,
                "Tindices": node.attrs["Tindices"],
                "Taxis": DType.INT32,
                "batch_dims": batch_dims,
            }
        elif node.op == "ResourceGatherNd":
            node.op = "GatherNd"
            node.attrs = {"Tparams": variable.type.dtype, "Tindices": node.attrs["Tindices"]}
        elif node.op == "VariableShape":
            dtype = node.attrs.get("out_type", DType.INT32)
            _make_const(node, np.asarray(variable.type.shape, dtype.numpy))
        elif node.op in ("VarIsInitializedOp", "IsVariableInitialized"):
            _make_const(node, np.asarray(True))
        elif _takes_handle(node):
            raise LoadError(
                f"variable {variable.label!r} is used by node {node.name!r} ({node.op}) in a way that is not supported"
            )

    def control_flow(
        self,
        graph: Graph,
        node: Node,
        frozen: dict[str, _Frozen],
        handles: list[int],
        replaced: dict[Ref, Ref],
    ) -> None:
        """Passes the values of handles into the bodies of a loop or branch."""
        is_loop = node.op in _LOOPS
        first = 0 if is_loop else 1  # a branch's first input is the condition
        given = {i - first: frozen[node.inputs[i].node] for i in handles if i >= first}
        types = list(node.attrs["T" if is_loop else "Tin"])
        for key, value in node.attrs.items():
            if isinstance(value, FuncName):
                node.attrs[key] = self.body(value, given, is_loop and key == "body")
            elif isinstance(value, list) and value and isinstance(value[0], FuncName):
                node.attrs[key] = [self.body(item, given, False) for item in value]
        for position, variable in given.items():
            types[position] = variable.type.dtype
            if is_loop:
                shapes = node.attrs.get("output_shapes")
                if shapes:
                    shapes = list(shapes)
                    shapes[position] = ShapeAttr(variable.type.shape)
                    node.attrs["output_shapes"] = shapes
                replaced[Ref(node.name, position)] = node.inputs[position]
        node.attrs["T" if is_loop else "Tin"] = types

    def body(self, name: FuncName, given: Mapping[int, _Frozen], is_loop_body: bool) -> FuncName:
        """The function that takes values where `name` took handles."""
        key = (str(name), tuple(sorted((position, variable.type) for position, variable in given.items())))
        if key in self.specialised:
            return self.specialised[key]
        original = self.originals[name]
        fresh, number = str(name), 0
        while fresh in self.used:
            number += 1
            fresh = f"{name}_{number}"
        self.used.add(fresh)
        function = _copy(original, fresh)
        self.specialised[key] = FuncName(fresh)
        self.functions[fresh] = function
        args, inner = function.args, function.graph
        frozen = {args[position]: variable for position, variable in given.items()}
        for arg, variable in frozen.items():
            inner.nodes[arg].attrs = {"dtype": variable.type.dtype, "shape": ShapeAttr(variable.type.shape)}
        self.lower(inner, frozen)
        if is_loop_body and given:
            results = list(function.results)
            for position, variable in given.items():
                if frozen.get(results[position].node) is not variable:
                    raise LoadError(
                        f"variable {variable.label!r} is exchanged for another one in loop {name!r}, which "
                        "is not supported"
                    )
                results[position] = Ref(args[position])
            function.results = tuple(results)
        inner.remove_unreachable()
        return FuncName(fresh)

    def finish(self, graph: Graph) -> None:
        """Drops the functions nothing uses, and raises LoadError where state is left."""
        prune(graph, [])
        graphs, kept, seen = [graph], {}, set()
        while graphs:
            for node in graphs.pop().nodes.values():
                _refuse_state(node)
                for value in node.attrs.values():
                    for item in value if isinstance(value, list) else (value,):
                        if isinstance(item, FuncName) and item not in seen and item in self.functions:
                            seen.add(item)
                            kept[str(item)] = self.functions[item]
                            graphs.append(kept[str(item)].graph)
        graph.functions = kept


def _passing_on(graph: Graph, frozen: Mapping[str, _Frozen]) -> list[Node]:
    """Identity and the like that hand a handle on, each after the one it takes it from."""
    candidates = [n for n in graph.nodes.values() if n.op in _PASS_ON and len(n.inputs) == 1 and _takes_handle(n)]
    by_source: dict[str, list[Node]] = {}
    for node in candidates:
        by_source.setdefault(node.inputs[0].node, []).append(node)
    found: list[Node] = []
    stack = list(frozen)
    while stack:
        for node in by_source.get(stack.pop(), ()):
            found.append(node)
            stack.append(node.name)
    return found


def _takes_handle(node: Node) -> bool:
    """Whether a node works on the variable itself; ops on VariableV2 read its value where no ref type is
    asked for."""
    from wherry.graph.opdefs import op_def

    if node.op.startswith("Ref"):
        return True
    if node.attrs.get("T") is DType.RESOURCE:
        return True
    definition = op_def(node.op)
    return definition is not None and any(arg.type == DType.RESOURCE or arg.is_ref for arg in definition.input_arg)


def _make_const(node: Node, array: np.ndarray) -> None:
    value = ArrayValue(array)
    node.op, node.inputs, node.attrs, node.value = "Const", [], {"dtype": value.type.dtype}, value


def _copy(function: Function, name: str) -> Function:
    graph = Graph(name=name, versions=function.graph.versions)
    graph.nodes = {
        node.name: Node(node.name, node.op, list(node.inputs), list(node.controls), dict(node.attrs), node.value)
        for node in function.graph.nodes.values()
    }
    graph.outputs = dict(function.graph.outputs)
    return Function(graph, function.args, function.results, function.signature)


def _refuse_state(node: Node) -> None:
    if node.op in VARIABLES:
        raise LoadError(f"variable {variable_name(node)!r} is made inside a function, which is not supported")
    if node.op in _STATE or node.attrs.get("dtype") is DType.RESOURCE:
        raise LoadError(
            f"node {node.name!r} ({node.op}) needs state that is not a variable, such as a lookup table; "
            "choose outputs that do not depend on it"
        )
    if node.op in ("SymbolicGradient", "RemoteCall", "PyFunc", "EagerPyFunc", "PyFuncStateless"):
        raise LoadError(f"node {node.name!r}: {node.op} cannot run on a device")


def _rename(graph: Graph, labels: Mapping[str, str]) -> None:
    """Gives constants the names of the variables they came from, where those are free."""
    renamed = {}
    for name, label in labels.items():
        if name in graph.nodes and graph.nodes[name].op == "Const" and label and label not in graph.nodes:
            renamed[name] = label
            graph.nodes[name].name = label
            graph.nodes[label] = graph.nodes.pop(name)
    if renamed:
        graph.replace_uses({Ref(old): Ref(new) for old, new in renamed.items()})
        for node in graph.nodes.values():
            node.controls = [renamed.get(control, control) for control in node.controls]
