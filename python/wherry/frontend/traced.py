"""Functions that TensorFlow traced in this process: ConcreteFunction, tf.function, and loaded SavedModels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from wherry.errors import LoadError, UsageError
from wherry.frontend.interface import listing
from wherry.frontend.source import Source, one_line
from wherry.frontend.tf import tf
from wherry.graph import ArrayValue, DType, Ref, TensorType, Value
from wherry.graph.convert import from_graphdef


class VariableValue(Value):
    """The value of a tf.Variable, read when asked for."""

    def __init__(self, variable: Any) -> None:
        self.variable = variable
        self.type = TensorType(DType(variable.dtype.as_datatype_enum), tuple(variable.shape.as_list()))

    def numpy(self) -> np.ndarray:
        return np.asarray(self.variable.numpy())


def is_function(model: Any) -> bool:
    return hasattr(model, "captured_inputs") or hasattr(model, "get_concrete_function")


def from_function(function: Any) -> Source:
    """The source of a ConcreteFunction, or of a tf.function that has an input signature."""
    if not hasattr(function, "captured_inputs"):
        try:
            function = function.get_concrete_function()
        except (TypeError, ValueError) as error:
            raise UsageError(
                "a tf.function without an input signature does not say its shapes; give "
                "function.get_concrete_function(tf.TensorSpec(...))"
            ) from error
    name = function.name.decode() if isinstance(function.name, bytes) else function.name
    return from_concrete(function, name.removeprefix("__inference_") or "function")


def from_loaded(model: Any, signature: str | None) -> Source:
    """The source of what tf.saved_model.load returned."""
    signatures = model.signatures
    chosen = signature or "serving_default"
    if chosen not in signatures:
        raise UsageError(f"there is no signature {chosen!r}; signatures are {listing(sorted(signatures))}")
    return from_concrete(signatures[chosen], chosen)


def from_concrete(function: Any, name: str) -> Source:
    """The source of a ConcreteFunction; its variables are read when asked for."""
    try:
        graph = from_graphdef(function.graph.as_graph_def(), name)
    except ValueError as error:
        raise LoadError(
            f"{name}: the function cannot be written as a GraphDef ({one_line(error)}); keep large arrays in variables"
        ) from error
    captured = list(function.captured_inputs)
    tensors = list(function.inputs)
    own = tensors[: len(tensors) - len(captured)]
    by_handle = {id(variable.handle): variable for variable in function.graph.variables}
    variables: dict[str, Value] = {}
    labels: dict[str, str] = {}
    for outer, inner in zip(captured, tensors[len(own) :], strict=True):
        variable = by_handle.get(id(outer))
        if variable is not None:
            variables[inner.op.name] = VariableValue(variable)
            labels[inner.op.name] = variable.name.split(":")[0]
        elif outer.dtype not in (tf.resource, tf.variant):
            variables[inner.op.name] = ArrayValue(outer.numpy())
    inputs = {tensor.op.name: tensor.op.name for tensor in own}
    names = output_names(function.structured_outputs)
    outputs = {
        key: Ref(tensor.op.name, tensor.value_index) for key, tensor in zip(names, function.outputs, strict=True)
    }
    effects = [operation.name for operation in function.graph.control_outputs]
    return Source(graph, inputs, outputs, variables, labels, effects)


def output_names(structure: Any) -> list[str]:
    """Names as a SavedModel would give them: the keys of a dict, else output_0, output_1 ..."""
    if isinstance(structure, Mapping) and all(not tf.nest.is_nested(item) for item in structure.values()):
        return [key for key in sorted(structure) if structure[key] is not None]
    count = sum(item is not None for item in tf.nest.flatten(structure))
    return [f"output_{index}" for index in range(count)]
