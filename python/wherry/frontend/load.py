"""`load`: a model of any format becomes a flat Graph with static inputs and no variables.

The steps are the same for all formats: read (a Source), inline calls, choose outputs, merge variables into
constants, give the inputs static shapes, tidy up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry.errors import LoadError, UsageError
from wherry.frontend import graphdef, interface, keras_model, savedmodel, traced
from wherry.frontend.freeze import freeze
from wherry.frontend.inline import inline
from wherry.frontend.normalise import normalise
from wherry.frontend.source import Source
from wherry.frontend.tf import tf
from wherry.graph import Graph

InputShapes = Mapping[str, Sequence[int | None]] | Sequence[int | None]

_SUFFIXES = "a SavedModel folder, .keras, .h5, .pb or .pbtxt"


def load(
    model: Any,
    signature: str | None = None,
    input_shapes: InputShapes | None = None,
    outputs: Sequence[str] | None = None,
) -> Graph:
    """Reads a model into a Graph whose calls are inlined and whose variables are constants, read when asked
    for.

    model: path of a SavedModel folder, .keras, .h5, .pb or .pbtxt; or a GraphDef, ConcreteFunction,
    tf.function with
        an input signature, keras.Model, or what tf.saved_model.load returned.
    signature: of a SavedModel; `serving_default` when it is not given.
    input_shapes: by input name, or one shape for a model with one input. Unknown first dimensions become 1.
    outputs: names in the signature, or of tensors (`node:0`).

    Raises LoadError when the model cannot be read, UsageError when the call asks for something it does not
    have.
    """
    source = _read(model, signature)
    graph = source.graph
    wanted = interface.choose_outputs(source, outputs)
    effects = inline(graph, source.effects)
    interface.find_tensors(graph, wanted)
    interface.pin_inputs(graph, source)
    freeze(graph, source.variables, source.labels, effects)
    interface.set_input_shapes(graph, input_shapes)
    normalise(graph)
    return graph


def _read(model: Any, signature: str | None) -> Source:
    if isinstance(model, (str, os.PathLike)):
        return _read_path(Path(model), signature)
    if isinstance(model, tf.compat.v1.GraphDef):
        _no_signature(signature, "a GraphDef")
        return graphdef.from_graph_def(model, "GraphDef")
    if keras_model.is_keras_model(model):
        _no_signature(signature, "a keras.Model")
        return keras_model.from_model(model)
    if traced.is_function(model):
        _no_signature(signature, "a function")
        return traced.from_function(model)
    if hasattr(model, "signatures"):
        return traced.from_loaded(model, signature)
    raise UsageError(
        f"an object of type {type(model).__name__} is not a model: give {_SUFFIXES}, a GraphDef, a ConcreteFunction "
        "or a keras.Model"
    )


def _read_path(path: Path, signature: str | None) -> Source:
    if not path.exists():
        raise LoadError(f"{path}: there is no such file or folder")
    if path.name in ("saved_model.pb", "saved_model.pbtxt"):
        path = path.parent
    if path.is_dir():
        return savedmodel.from_folder(path, signature)
    with path.open("rb") as stream:
        magic = stream.read(8)
    if magic[:4] == b"PK\3\4" and path.suffix != ".keras":
        raise LoadError(f"{path}: a zip file; a Keras model's name ends in .keras, so rename it if it is one")
    if path.suffix in (".keras", ".h5", ".hdf5") or magic == b"\x89HDF\r\n\x1a\n":
        _no_signature(signature, str(path))
        return keras_model.from_file(path)
    if path.suffix in (".pb", ".pbtxt"):
        _no_signature(signature, str(path))
        return graphdef.from_file(path)
    raise LoadError(f"{path}: not a model that can be read; give {_SUFFIXES}")


def _no_signature(signature: str | None, what: str) -> None:
    if signature is not None:
        raise UsageError(f"{what} has no signatures, so {signature!r} cannot be chosen; choose outputs instead")
