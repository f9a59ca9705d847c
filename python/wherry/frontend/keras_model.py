"""keras.Model objects and the files Keras writes (.keras, .h5): traced once, then read as a function."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wherry.errors import LoadError
from wherry.frontend.source import Source, one_line
from wherry.frontend.tf import tf
from wherry.frontend.traced import from_concrete


def is_keras_model(model: Any) -> bool:
    return any(
        cls.__name__ == "Model" and cls.__module__.split(".")[0] in ("keras", "tf_keras") for cls in type(model).__mro__
    )


def from_file(path: Path) -> Source:
    """The source of a .keras or .h5 file. Raises what `read` and `from_model` raise."""
    return from_model(read(path), path.stem)


def read(path: Path) -> Any:
    """The keras.Model of a .keras or .h5 file. Raises LoadError for a damaged one, and for layers that only its
    author's code has."""
    import keras

    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise LoadError(f"{path}: damaged or cut short, or no Keras model; save it or copy it again")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # keras raises whatever the layer, h5py or zipfile raised
        text = str(error)
        if any(
            sign in text
            for sign in (
                "Lambda",
                "lambda",
                "custom",
                "Unknown layer",
                "registered",
                "locate class",
                "Could not deserialize class",
            )
        ):
            raise LoadError(
                f"{path}: has a Lambda layer or a custom class that cannot be rebuilt from the file; "
                "export a SavedModel (model.export) or pass the loaded model "
                f"({one_line(error)})"
            ) from error
        raise LoadError(f"{path}: not a Keras model, or damaged ({one_line(error)})") from error


def from_model(model: Any, name: str | None = None) -> Source:
    """The source of a keras.Model, with the input names of its own and output names as its export has
    them."""
    name = name or model.name
    return from_concrete(traced(model, name)[0], name)


def traced(model: Any, name: str) -> tuple[Any, list[Any]]:
    """The ConcreteFunction of a keras.Model, and the arguments that it takes as TensorSpecs."""
    try:
        signature = _input_signature(model)
        function = tf.function(lambda *args: model(*args, training=False), autograph=False)
        return function.get_concrete_function(*signature), signature
    except LoadError:
        raise
    except Exception as error:  # tracing runs the model's own code
        raise LoadError(
            f"{name}: the model cannot be traced ({one_line(error)}); export a SavedModel (model.export) and load that"
        ) from error


def _input_signature(model: Any) -> list[Any]:
    """TensorSpecs in the structure that the model's call takes."""
    structure = getattr(model, "_inputs_struct", None)
    if structure is None and getattr(model, "inputs", None):
        structure = model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)
    signature = [structure] if structure is not None else _called_with(model)
    names: set[str] = set()

    def spec(item: Any, key: str) -> Any:
        base = (getattr(item, "name", None) or key).replace(":0", "")
        name, number = base, 0
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.add(name)
        return tf.TensorSpec(item.shape, item.dtype, name=name)

    def specs(structure: Any, key: str) -> Any:
        if isinstance(structure, Mapping):
            return {key: specs(item, key) for key, item in structure.items()}
        if isinstance(structure, (list, tuple)):
            return [specs(item, key) for item in structure]
        return spec(structure, key)

    return [specs(item, "inputs") for item in signature]


def _called_with(model: Any) -> list[Any]:
    """What a subclassed model was called with, which is all that says what it takes."""
    from keras.src.export.export_utils import get_input_signature

    try:
        return list(get_input_signature(model))
    except ValueError as error:
        raise LoadError(
            f"{model.name}: the model has not been called yet, so its inputs are not known; call it once on an example"
        ) from error
