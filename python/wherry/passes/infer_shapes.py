"""Shape inference: fills in the types of every tensor, with TensorFlow's own shape functions.

The graph is imported into TensorFlow with every large constant replaced by a Placeholder of its shape, so no weight is
read. Only what is not known yet is inferred: a tensor of static type enters as a Placeholder, except for small integer
tensors, whose values other shapes may depend on. Calls of functions are inferred through the function's body.
"""

from __future__ import annotations

from typing import Any

from wherry.errors import PassError
from wherry.graph import DType, FuncName, Function, Graph, Node, Ref, TensorType
from wherry.graph.convert import to_graphdef
from wherry.graph.graph import ShapeAttr
from wherry.passes.composite import KERNEL_ATTR
from wherry.passes.rewrite import remove_unused_functions

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_SMALL = 1024  # elements; integer constants up to this size take part in shape inference with their values
_SHAPE_TYPES = frozenset({DType.INT32, DType.INT64, DType.BOOL})
# Function -> types of the arguments that its body was inferred with.
_Done = dict[str, list[TensorType] | None]


def infer_shapes(graph: Graph) -> int:
    """Infers what is unknown in the graph and in the functions it calls. Returns how many nodes learnt something.

    Raises PassError where TensorFlow finds the graph inconsistent.
    """
    return _infer(graph, graph.functions, {})


def _infer(graph: Graph, functions: dict[str, Function], done: _Done) -> int:
    changed = 0
    while True:
        learnt = _infer_once(graph, functions)
        called = _infer_calls(graph, functions, done)
        changed += learnt
        if not called:
            return changed
        changed += called


def _infer_once(graph: Graph, functions: dict[str, Function]) -> int:
    pending = [node for node in graph.nodes.values() if not _is_settled(node)]
    for node in pending:
        if node.op == "Const" and node.value is not None:
            node.types, node.num_outputs = [node.value.type], 1
    pending = [node for node in pending if node.op != "Const"]
    if not pending:
        return 0
    part = _part_to_import(graph, pending, functions)
    imported = _import(part, graph.name)
    changed = 0
    for node in pending:
        operation = imported.get_operation_by_name(node.name)
        types = [_type_of(tensor) for tensor in operation.outputs]
        if types and node.types and len(types) == len(node.types):
            types = [_merge(old, new) for old, new in zip(node.types, types, strict=True)]
        if types != node.types or node.num_outputs != len(types):
            node.types, node.num_outputs = types, len(types)
            changed += 1
    return changed


def _is_settled(node: Node) -> bool:
    return node.num_outputs is not None and len(node.types) == node.num_outputs and all(
        held.is_static for held in node.types
    )


def _part_to_import(graph: Graph, pending: list[Node], functions: dict[str, Function]) -> Graph:
    """The pending nodes and what their shapes may depend on; settled tensors enter as Placeholders."""
    part = Graph(graph.name, versions=graph.versions)
    names = {node.name for node in pending}
    stack = list(pending)
    stand_ins: dict[Ref, Ref] = {}
    while stack:
        node = stack.pop()
        part.nodes[node.name] = copy = Node(node.name, node.op, attrs=node.attrs, value=node.value)
        for ref in node.inputs:
            source = graph.nodes[ref.node]
            if ref.node in names:
                copy.inputs.append(ref)
                continue
            held = source.types[ref.index]
            if _may_shape_others(source, held):
                names.add(ref.node)
                stack.append(source)
                copy.inputs.append(ref)
                continue
            if ref not in stand_ins:
                name = f"{ref.node}/stand_in_{ref.index}"
                while name in graph.nodes or name in part.nodes:
                    name += "_"
                part.nodes[name] = Node(
                    name, "Placeholder", attrs={"dtype": held.dtype, "shape": ShapeAttr(held.shape)}
                )
                stand_ins[ref] = Ref(name)
            copy.inputs.append(stand_ins[ref])
    part.functions = functions
    remove_unused_functions(part)
    return part


def _may_shape_others(node: Node, held: TensorType) -> bool:
    if held.dtype in (DType.VARIANT, DType.RESOURCE, DType.STRING):
        return True
    if held.dtype not in _SHAPE_TYPES:
        return False
    assert held.shape is not None
    count = 1
    for d in held.shape:
        count *= d or 0
    return count <= _SMALL


def _import(part: Graph, name: str) -> Any:
    import tensorflow as tf

    graph_def = to_graphdef(part)
    imported = tf.Graph()
    try:
        with imported.as_default():
            tf.graph_util.import_graph_def(graph_def, name="")
    except ValueError as error:
        line = " ".join(str(error).split())
        raise PassError(f"{name}: TensorFlow finds the graph inconsistent: {line[:300]}") from error
    return imported


def _type_of(tensor: Any) -> TensorType:
    number = tensor.dtype.base_dtype.as_datatype_enum
    dtype = DType(number) if number in DType.__members__.values() else DType.INVALID
    shape = tensor.shape
    return TensorType(dtype, None if shape.rank is None else tuple(shape.as_list()))


def _merge(old: TensorType, new: TensorType) -> TensorType:
    """What both know together. A dimension that they contradict each other in is taken from the newer."""
    if new.shape is None:
        return TensorType(new.dtype, old.shape)
    if old.shape is None or len(old.shape) != len(new.shape):
        return new
    shape = tuple(o if n is None else n for o, n in zip(old.shape, new.shape, strict=True))
    return TensorType(new.dtype, shape)


def _infer_calls(graph: Graph, functions: dict[str, Function], done: _Done) -> int:
    """Infers the bodies of called functions, and the results of plain calls from them."""
    changed = 0
    for node in list(graph.nodes.values()):
        if KERNEL_ATTR in node.attrs:
            continue
        for key, name in node.attrs.items():
            if not isinstance(name, FuncName) or name not in functions:
                continue
            arguments = _arguments(graph, node, key)
            if name not in done:
                done[name] = arguments
                _infer_body(functions[name], arguments, functions, done)
            if node.op in _CALLS and done[name] == arguments:
                body = functions[name]
                types = [body.graph.nodes[ref.node].types[ref.index] for ref in body.results]
                types = [_merge(old, new) for old, new in zip(node.types, types, strict=True)]
                changed += types != node.types
                node.types, node.num_outputs = types, len(types)
    return changed


def _arguments(graph: Graph, node: Node, key: str) -> list[TensorType] | None:
    """Types of the arguments that a call passes on, or None where they vary from call to call."""
    inputs = [graph.nodes[ref.node].types[ref.index] for ref in node.inputs]
    if node.op in _CALLS:
        return inputs
    if node.op in ("While", "StatelessWhile"):
        return [held if held == out else TensorType(held.dtype, None)
                for held, out in zip(inputs, node.types, strict=True)]  # fmt: skip
    if node.op in ("If", "StatelessIf", "Case", "StatelessCase"):
        return inputs[1:]
    return None


def _infer_body(
    function: Function, arguments: list[TensorType] | None, functions: dict[str, Function], done: _Done
) -> None:
    if arguments is not None and len(arguments) == len(function.args):
        for name, held in zip(function.args, arguments, strict=True):
            node = function.graph.nodes[name]
            if node.op == "Placeholder" and held.shape is not None:
                node.attrs["shape"] = ShapeAttr(held.shape)
                node.types, node.num_outputs = [held], 1
    _infer(function.graph, functions, done)
