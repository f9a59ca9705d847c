"""FunctionDef <-> Function: the library of a GraphDef.

A FunctionDef names tensors by argument (`split:output:1`) and its arguments by their own names (`x`); the
body of a Function counts outputs like any graph, and its arguments are Placeholder nodes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wherry.errors import LoadError
from wherry.graph.attributes import attr_from_proto, attr_to_proto
from wherry.graph.graph import Function, Graph, Node, Ref, ShapeAttr
from wherry.graph.nodes import check_references, expand_quantized, node_from_proto, node_to_proto
from wherry.graph.opdefs import op_def, output_args, tensor_dtype
from wherry.graph.types import DType

_ARG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def functions_from_library(library: Any) -> dict[str, Function]:
    """The functions of a FunctionDefLibrary by name. Raises LoadError on a damaged one."""
    signatures = {item.signature.name: item.signature for item in library.function}
    return {item.signature.name: _from_functiondef(item, signatures) for item in library.function}


def functions_to_library(functions: Mapping[str, Function], library: Any) -> None:
    """Adds every function to a FunctionDefLibrary."""
    for name, function in functions.items():
        _to_functiondef(name, function, functions, library.function.add())


def _from_functiondef(proto: Any, signatures: Mapping[str, Any]) -> Function:
    name = proto.signature.name
    graph = Graph(name=name)
    for index, arg in enumerate(proto.signature.input_arg):
        if arg.type not in set(DType):
            raise LoadError(
                f"function {name!r}: argument {arg.name!r} has no fixed type (generic functions are not "
                "supported)"
            )
        node = Node(arg.name, "Placeholder", attrs={"dtype": DType(arg.type), "shape": ShapeAttr(None)})
        if index in proto.arg_attr:
            for key, attr in proto.arg_attr[index].attr.items():
                node.attrs[key] = attr_from_proto(attr)
        shapes = node.attrs.get("_output_shapes")
        if shapes and isinstance(shapes[0], ShapeAttr):
            node.attrs["shape"] = shapes[0]
        graph.add(node)
    for node_def in proto.node_def:
        if node_def.name in graph.nodes:
            raise LoadError(f"function {name!r}: two nodes are called {node_def.name!r}")
        graph.nodes[node_def.name] = node_from_proto(node_def)

    offsets: dict[str, dict[str, int]] = {}

    def resolve(text: str) -> Ref:
        node_name, *rest = text.split(":")
        if not rest:
            return Ref(node_name)
        if node_name not in offsets:
            node = graph.nodes.get(node_name)
            if node is None:
                raise LoadError(f"function {name!r}: {text!r} refers to a node that does not exist")
            offsets[node_name] = _offsets(node, signatures)
        if rest[0] not in offsets[node_name]:
            raise LoadError(f"function {name!r}: {text!r} refers to an output that does not exist")
        return Ref(node_name, offsets[node_name][rest[0]] + (int(rest[1]) if len(rest) > 1 else 0))

    for node_def in proto.node_def:
        node = graph.nodes[node_def.name]
        for item in node_def.input:
            if item.startswith("^"):
                node.controls.append(item[1:])
            else:
                node.inputs.append(resolve(item))
    check_references(graph)
    args = [arg.name for arg in proto.signature.input_arg]
    graph.outputs = {arg.name: resolve(proto.ret[arg.name]) for arg in proto.signature.output_arg}
    signature = type(proto)()
    signature.CopyFrom(proto)
    del signature.node_def[:]  # the body is in the graph; kept here are names and attributes only
    return Function(graph, args, tuple(graph.outputs.values()), signature)


def _offsets(node: Node, signatures: Mapping[str, Any]) -> dict[str, int]:
    """Index of the first tensor of each output argument of a node."""
    if node.op in signatures:
        return {arg.name: index for index, arg in enumerate(signatures[node.op].output_arg)}
    offsets, start = {}, 0
    definition = op_def(node.op)
    if definition is not None and not any(a.number_attr or a.type_list_attr for a in definition.output_arg):
        return {arg.name: index for index, arg in enumerate(definition.output_arg)}
    for arg in output_args(node, {}):
        offsets[arg.name] = start
        start += len(arg.types)
    return offsets


def _to_functiondef(name: str, function: Function, functions: Mapping[str, Function], proto: Any) -> None:
    nodes = function.graph.nodes
    old = function.signature
    _keep_signature(name, function, proto)
    arg_names = _valid_names(function.args, set(nodes) - set(function.args))
    old_args = (
        {arg.name: (index, arg) for index, arg in enumerate(old.signature.input_arg)}
        if old is not None
        else {}
    )
    for index, arg in enumerate(function.args):
        node = nodes[arg]
        arg_proto = proto.signature.input_arg.add()
        old_index, old_arg = old_args.get(arg, (None, None))
        if old_arg is not None and old_arg.type != int(node.attrs["dtype"]):
            old_index = old_arg = (
                None  # a pass gave it another type, so what was said about it no longer holds
            )
        if old_arg is not None:
            arg_proto.CopyFrom(old_arg)
        arg_proto.name = arg_names[arg]
        arg_proto.type = int(node.attrs["dtype"])
        for key in sorted(key for key in node.attrs if key.startswith("_")):
            attr_to_proto(node.attrs[key], proto.arg_attr[index].attr[key])
        if old_index is not None and old_index in old.resource_arg_unique_id:
            proto.resource_arg_unique_id[index] = old.resource_arg_unique_id[old_index]

    spelled: dict[str, list[str]] = {}

    def spell(ref: Ref) -> str:
        if ref.node in arg_names:
            return arg_names[ref.node]
        if ref.node not in spelled:
            args = output_args(_as_written(nodes[ref.node]), functions)
            spelled[ref.node] = [f"{ref.node}:{arg.name}:{i}" for arg in args for i in range(len(arg.types))]
        return spelled[ref.node][ref.index]

    fresh: dict[str, str] = {}  # nodes made here have one output each
    for original in nodes.values():
        if original.name in arg_names:
            continue
        for node in expand_quantized(original, nodes):
            node_def = proto.node_def.add()
            node_to_proto(node, node_def)
            if node.name not in nodes:
                fresh[node.name] = f"{node.name}:{output_args(node, {})[0].name}:0"
            node_def.input.extend(fresh[r.node] if r.node in fresh else spell(r) for r in node.inputs)
            node_def.input.extend(f"^{arg_names.get(control, control)}" for control in node.controls)

    result_names = _valid_names(function.graph.outputs, set())
    old_results = {arg.name: arg for arg in old.signature.output_arg} if old is not None else {}
    for result, ref in function.graph.outputs.items():
        dtype = tensor_dtype(_as_written(nodes[ref.node]), ref.index, functions)
        if dtype is None:
            raise LoadError(f"function {name!r}: result {result!r} has a type that is not supported")
        arg_proto = proto.signature.output_arg.add()
        if result in old_results and old_results[result].type == dtype:
            arg_proto.CopyFrom(old_results[result])
        arg_proto.name, arg_proto.type = result_names[result], int(dtype)
        proto.ret[result_names[result]] = spell(ref)


def _as_written(node: Node) -> Node:
    """A quantized constant is written as the op that ends its dequantization; see `expand_quantized`."""
    return expand_quantized(node, {})[-1] if node.op == "Const" else node


def _keep_signature(name: str, function: Function, proto: Any) -> None:
    """Copies what the original FunctionDef says beside arguments and body: attributes and control outputs."""
    old = function.signature
    if old is not None:
        proto.signature.is_stateful = old.signature.is_stateful
        proto.signature.description = old.signature.description
        proto.signature.attr.extend(old.signature.attr)
        for key, attr in old.attr.items():
            proto.attr[key].CopyFrom(attr)
        for key in old.signature.control_output:
            if old.control_ret[key] in function.graph.nodes:
                proto.control_ret[key] = old.control_ret[key]
                proto.signature.control_output.append(key)
    proto.signature.name = name


def _valid_names(names: Any, taken: set[str]) -> dict[str, str]:
    """Each name as a FunctionDef takes it for an argument, unchanged where it already is."""
    result: dict[str, str] = {}
    used = set(taken) | {name for name in names if _ARG_NAME.fullmatch(name)}
    for name in names:
        if _ARG_NAME.fullmatch(name):
            result[name] = name
            continue
        base = re.sub(r"[^A-Za-z0-9_]", "_", name)
        base = base if _ARG_NAME.fullmatch(base) else f"arg_{base}"
        fresh, number = base, 0
        while fresh in used:
            number += 1
            fresh = f"{base}_{number}"
        used.add(fresh)
        result[name] = fresh
    return result
