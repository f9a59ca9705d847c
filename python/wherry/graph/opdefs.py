"""What TensorFlow's op registry says of a node: its output arguments, and where each output lies among them.

A GraphDef counts a node's outputs (`split:1`); a FunctionDef names them (`split:output:1`). Converting one
into the other, and knowing the element type of a tensor without shape inference, both need the op's
definition.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from wherry.errors import LoadError
from wherry.graph.graph import Function, Node
from wherry.graph.types import DType


class OutputArg(NamedTuple):
    """One named output argument of an op and the types of the tensors it stands for (None: not a known
    type)."""

    name: str
    types: list[DType | None]


@functools.cache
def op_def(op: str) -> Any:
    """TensorFlow's OpDef for an op name, or None when TensorFlow does not know the op."""
    import tensorflow  # noqa: F401  the registry is empty before TensorFlow is loaded
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op)


def output_args(node: Node, functions: Mapping[str, Function]) -> list[OutputArg]:
    """The output arguments of a node in order. Raises LoadError when neither TensorFlow nor `functions`
    know its op."""
    function = functions.get(node.op)
    if function is not None:
        names = list(function.graph.outputs)
        types = [
            tensor_dtype(function.graph.nodes[ref.node], ref.index, functions) for ref in function.results
        ]
        return [OutputArg(name, [dtype]) for name, dtype in zip(names, types, strict=True)]
    definition = op_def(node.op)
    if definition is None:
        raise LoadError(
            f"node {node.name!r}: TensorFlow has no op {node.op!r} (custom ops are not supported)"
        )
    attrs = node.attrs
    defaults = {attr.name: attr.default_value for attr in definition.attr if attr.HasField("default_value")}

    def attr_of(name: str, kind: str) -> Any:
        if name in attrs:
            return attrs[name]
        if name in defaults:
            return getattr(defaults[name], kind)
        raise LoadError(f"node {node.name!r} ({node.op}) lacks the attribute {name!r}")

    result = []
    for arg in definition.output_arg:
        if arg.type_list_attr:
            value = attr_of(arg.type_list_attr, "list")
            types = [_dtype(item) for item in (value if isinstance(value, list) else value.type)]
        else:
            dtype = _dtype(attr_of(arg.type_attr, "type")) if arg.type_attr else _dtype(arg.type)
            types = [dtype] * (int(attr_of(arg.number_attr, "i")) if arg.number_attr else 1)
        result.append(OutputArg(arg.name, types))
    return result


def output_dtypes(node: Node, functions: Mapping[str, Function]) -> list[DType | None]:
    """The element types of a node's outputs in order."""
    return [dtype for arg in output_args(node, functions) for dtype in arg.types]


def tensor_dtype(node: Node, index: int, functions: Mapping[str, Function]) -> DType | None:
    """The element type of output `index` of a node. Raises LoadError when it has no such output."""
    types = output_dtypes(node, functions)
    if index >= len(types):
        raise LoadError(
            f"node {node.name!r} ({node.op}) has {len(types)} outputs, output {index} was asked for"
        )
    return types[index]


def _dtype(number: Any) -> DType | None:
    """Ref types count as the type they refer to."""
    try:
        return DType(int(number) % 100)
    except (TypeError, ValueError):
        return None
