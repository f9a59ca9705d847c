"""ops_to_register.h for a source build of TensorFlow itself, with -DSELECTIVE_REGISTRATION.

Names the ops and kernel classes that a GraphDef needs, as TensorFlow's own print_selective_registration_header.py does:
every node and every node of the function library is looked up in TensorFlow's registry of CPU kernels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.errors import MissingKernelError, UsageError
from wherry.graph import Graph
from wherry.pack.reader import is_pack
from wherry.selection.header import render

# What every TensorFlow runtime needs: (op, kernel class).
DEFAULT_OPS = (("NoOp", "NoOp"), ("_Recv", "RecvOp"), ("_Send", "SendOp"))
# Ops that TensorFlow rewrites away before it looks for their kernel.
WITHOUT_KERNEL = frozenset({"AccumulateNV2"})
_CONST_LIMIT = 1 << 20  # weights beyond this are left out: a kernel does not depend on them


@dataclass(frozen=True)
class TensorFlowSelection:
    """ops: names. kernel_classes: C++ class names as TensorFlow's registry spells them. Both sorted."""

    models: tuple[str, ...]
    ops: tuple[str, ...]
    kernel_classes: tuple[str, ...]


def kernel_class(node_def: Any) -> str | None:
    """The class of the CPU kernel that TensorFlow would run a NodeDef with, or None."""
    from tensorflow.python.util import _pywrap_kernel_registry

    query = type(node_def)()
    query.CopyFrom(node_def)
    query.device = "/cpu:0"
    query.attr.pop("value", None) if node_def.op == "Const" else None
    found = _pywrap_kernel_registry.TryFindKernelClass(query.SerializeToString())
    return found.decode() if found else None


def select_graphdef(graph_def: Any, name: str = "graph") -> TensorFlowSelection:
    """The ops and kernel classes of a GraphDef, its functions included.

    Raises MissingKernelError, a line for each node, where TensorFlow has no CPU kernel. Nodes whose op is a function of
    the library have none and need none.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    pairs: set[tuple[str, str | None]] = set(DEFAULT_OPS)
    missing: list[str] = []
    for place, nodes in _bodies(graph_def, name):
        for node_def in nodes:
            found = kernel_class(node_def)
            if found is not None or node_def.op in WITHOUT_KERNEL:
                pairs.add((node_def.op, found))
            elif node_def.op not in functions:
                types = ", ".join(_types(node_def)) or "no types"
                missing.append(
                    f"{place}: node {node_def.name!r}: TensorFlow has no CPU kernel for {node_def.op} ({types})"
                )
    if missing:
        raise MissingKernelError("\n".join(missing))
    return _selection((name,), pairs)


def select(model: Any, optimise: bool = False) -> TensorFlowSelection:
    """The same for what `wherry.load` takes, a Graph or a GraphDef; `optimise` runs Wherry's passes first.

    A GraphDef, in memory or in a .pb or .pbtxt file, is taken as it is unless it is to be optimised. Raises UsageError
    for a pack or a scan: they know Wherry's kernels, not TensorFlow's ops.
    """
    if isinstance(model, str | os.PathLike):
        _check_is_model(Path(model))
    name = Path(model).name if isinstance(model, str | os.PathLike) else type(model).__name__
    if not optimise:
        as_it_is = _graphdef(model)
        if as_it_is is not None:
            return select_graphdef(as_it_is, name)
    if optimise:
        from wherry.compiler import optimised

        graph = optimised(model)
    else:
        from wherry.frontend import load

        graph = model if isinstance(model, Graph) else load(model)
    return select_graphdef(_without_weights(graph), name)


def _check_is_model(path: Path) -> None:
    if is_pack(path) or path.suffix in (".wherry", ".json"):
        what = "what wherry scan wrote" if path.suffix == ".json" else "a pack"
        raise UsageError(f"{path}: TensorFlow's header is made from a model, not from {what}; give the model itself")


def merge(selections: Sequence[TensorFlowSelection]) -> TensorFlowSelection:
    return TensorFlowSelection(
        tuple(name for selection in selections for name in selection.models),
        tuple(sorted({op for selection in selections for op in selection.ops})),
        tuple(sorted({each for selection in selections for each in selection.kernel_classes})),
    )


def render_tensorflow_header(selection: TensorFlowSelection) -> str:
    return render("tensorflow_ops_to_register.h.j2", {
        "models": [" ".join(name.split()).replace("\\", "/") for name in selection.models],
        "ops": selection.ops,
        "kernel_classes": selection.kernel_classes,
        "gradients": "SymbolicGradient" in selection.ops,
    })


def _selection(models: tuple[str, ...], pairs: Iterable[tuple[str, str | None]]) -> TensorFlowSelection:
    ops, classes = zip(*pairs, strict=True)
    return TensorFlowSelection(models, tuple(sorted(set(ops))), tuple(sorted(set(classes) - {None})))


def _bodies(graph_def: Any, name: str) -> Iterable[tuple[str, Any]]:
    yield name, graph_def.node
    for function in graph_def.library.function:
        yield f"{name}, function {function.signature.name}", function.node_def


def _types(node_def: Any) -> list[str]:
    from wherry.graph import DType

    attrs = sorted(node_def.attr.items())
    return [f"{key}={DType(attr.type).short}" for key, attr in attrs if attr.WhichOneof("value") == "type"]


def _graphdef(model: Any) -> Any | None:
    from tensorflow.core.framework import graph_pb2

    if isinstance(model, graph_pb2.GraphDef):
        return model
    if isinstance(model, str | os.PathLike) and Path(model).suffix in (".pb", ".pbtxt"):
        from google.protobuf import text_format
        from google.protobuf.message import DecodeError

        from wherry.errors import LoadError

        path = Path(model)
        try:
            if path.suffix == ".pbtxt":
                return text_format.Parse(path.read_text(), graph_pb2.GraphDef())
            return graph_pb2.GraphDef.FromString(path.read_bytes())
        except OSError as error:
            raise LoadError(f"{path}: cannot be read: {error.strerror}") from error
        except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
            raise LoadError(f"{path}: this is not a GraphDef") from error
    return None


def _without_weights(graph: Graph) -> Any:
    """The GraphDef of a Graph whose large constants have no value: only their type matters here."""
    from wherry.graph.convert import to_graphdef_and_feeds

    graph_def, feeds = to_graphdef_and_feeds(graph, _CONST_LIMIT)
    for node_def in graph_def.node:
        if node_def.name in feeds:
            node_def.op = "Const"
            node_def.attr.pop("shape", None)
    return graph_def
