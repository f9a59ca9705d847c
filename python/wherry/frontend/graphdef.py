"""Frozen GraphDefs: in memory, .pb and .pbtxt. Inputs are the Placeholders, outputs what nothing consumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wherry.errors import LoadError
from wherry.frontend.source import Source, one_line
from wherry.frontend.tf import tf
from wherry.graph import Graph, Ref
from wherry.graph.convert import from_graphdef
from wherry.graph.opdefs import output_args

_NO_OUTPUT = frozenset({"Const", "Placeholder", "PlaceholderWithDefault", "NoOp", "Assert", "VarHandleOp"})


def from_file(path: Path) -> Source:
    """The source of a .pb or .pbtxt. Raises what `read` raises."""
    return from_graph_def(read(path), path.stem)


def read(path: Path) -> Any:
    """The GraphDef of a .pb or .pbtxt. Raises LoadError when it is damaged or something else."""
    graph_def = tf.compat.v1.GraphDef()
    content = path.read_bytes()
    try:
        if path.suffix == ".pbtxt":
            from google.protobuf import text_format

            text_format.Parse(content.decode(), graph_def)
        else:
            graph_def.ParseFromString(content)
    except Exception as error:  # protobuf raises classes of its own that differ between its implementations
        if _is_saved_model(content):
            raise LoadError(f"{path}: holds a SavedModel; give the folder that it came from") from error
        raise LoadError(f"{path}: not a GraphDef, or damaged ({one_line(error)})") from error
    if not graph_def.node:
        raise LoadError(f"{path}: holds no nodes; a SavedModel is given by its folder")
    return graph_def


def _is_saved_model(content: bytes) -> bool:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(content)
    except DecodeError:
        return False
    return bool(saved_model.meta_graphs)


def from_graph_def(graph_def: Any, name: str) -> Source:
    """The source of a GraphDef in memory."""
    graph = from_graphdef(graph_def, name)
    consumed = {ref.node for node in graph.nodes.values() for ref in node.inputs}
    inputs = {node.name: node.name for node in graph.by_op("Placeholder") if node.name in consumed}
    return Source(graph, inputs, sinks(graph))


def sinks(graph: Graph) -> dict[str, Ref]:
    """The tensors that nothing consumes: of a node whose outputs are a list, every one."""
    consumed = {ref.node for node in graph.nodes.values() for ref in node.inputs}
    consumed.update(control for node in graph.nodes.values() for control in node.controls)
    outputs: dict[str, Ref] = {}
    for node in graph.nodes.values():
        if node.name in consumed or node.op in _NO_OUTPUT:
            continue
        args = output_args(node, graph.functions)
        for index in range(len(args[0].types) if args else 0):
            ref = Ref(node.name, index)
            outputs[str(ref)] = ref
    return outputs
