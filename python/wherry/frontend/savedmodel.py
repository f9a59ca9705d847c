"""SavedModel folders: the graph is read from saved_model.pb, weights tensor by tensor from the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wherry.errors import LoadError, UsageError
from wherry.frontend.checkpoint import Checkpoint, restored_keys, variable_values
from wherry.frontend.freeze import VARIABLES
from wherry.frontend.interface import listing, natural
from wherry.frontend.objects import captured_keys
from wherry.frontend.source import Source, one_line
from wherry.frontend.tf import tf  # noqa: F401  its protobufs and op registry are used below
from wherry.graph import Graph, Ref, Value
from wherry.graph.convert import from_graphdef
from wherry.graph.nodes import parse_ref

DEFAULT_SIGNATURE = "serving_default"


def from_folder(folder: Path, signature: str | None) -> Source:
    """Reads a SavedModel. Raises LoadError when it is damaged, UsageError for a signature that it does not
    have."""
    meta_graph = _meta_graph(folder)
    chosen = _choose(folder, meta_graph, signature)
    graph = from_graphdef(meta_graph.graph_def, folder.name)
    inputs = {
        name: _tensor(folder, graph, chosen.inputs[name], name).node for name in sorted(chosen.inputs, key=natural)
    }
    outputs = {name: _tensor(folder, graph, chosen.outputs[name], name) for name in sorted(chosen.outputs, key=natural)}
    variables = _variables(folder, meta_graph, graph)
    return Source(graph, inputs, outputs, variables)


def _variables(folder: Path, meta_graph: Any, graph: Graph) -> dict[str, Value]:
    names = {node.name for node in graph.by_op(*VARIABLES)}
    if not names:
        return {}
    prefix = folder / "variables" / "variables"
    if not prefix.with_suffix(".index").exists():
        raise LoadError(f"{folder}: the model has variables, but there is no {prefix.name}.index in variables/")
    checkpoint = Checkpoint(prefix)
    keys = restored_keys(graph, meta_graph.saver_def.restore_op_name)
    if not names <= keys.keys():
        for name, key in captured_keys(graph, meta_graph.object_graph_def, checkpoint).items():
            keys.setdefault(name, (key, None))
    return variable_values(graph, keys, checkpoint)


def _meta_graph(folder: Path) -> Any:
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    binary, text = folder / "saved_model.pb", folder / "saved_model.pbtxt"
    path = binary if binary.exists() else text
    if not path.exists():
        raise LoadError(f"{folder}: not a SavedModel, there is no saved_model.pb in it")
    try:
        if path is binary:
            saved_model.ParseFromString(path.read_bytes())
        else:
            text_format.Parse(path.read_text(), saved_model)
    except Exception as error:  # protobuf raises classes of its own that differ between its implementations
        raise LoadError(f"{path}: not a SavedModel, or damaged ({one_line(error)})") from error
    if not saved_model.meta_graphs:
        raise LoadError(f"{path}: not a SavedModel, it holds no graph")
    serving = [item for item in saved_model.meta_graphs if "serve" in item.meta_info_def.tags]
    return (serving or list(saved_model.meta_graphs))[0]


def _choose(folder: Path, meta_graph: Any, name: str | None) -> Any:
    """The SignatureDef of a name; the only one, if there is just one and none was asked for."""
    signatures = {
        key: item
        for key, item in meta_graph.signature_def.items()
        if item.outputs and not key.startswith("__saved_model")
    }
    if name is None and DEFAULT_SIGNATURE not in signatures and len(signatures) == 1:
        name = next(iter(signatures))
    name = name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise UsageError(f"{folder}: there is no signature {name!r}; signatures are {listing(sorted(signatures))}")
    return signatures[name]


def _tensor(folder: Path, graph: Any, info: Any, name: str) -> Ref:
    if info.WhichOneof("encoding") != "name":
        raise LoadError(f"{folder}: {name!r} is a sparse or composite tensor, which is not supported")
    ref = parse_ref(info.name)
    if ref.node not in graph.nodes:
        raise LoadError(f"{folder}: the signature names {info.name!r}, which is not in the graph")
    return ref
