"""Inputs and outputs of a model being loaded: which outputs, which shapes, and messages that name what
there is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wherry.errors import LoadError, UsageError
from wherry.frontend.source import Source
from wherry.graph import DType, Graph
from wherry.graph.graph import ShapeAttr
from wherry.graph.nodes import parse_ref
from wherry.graph.opdefs import output_dtypes


def choose_outputs(source: Source, names: Sequence[str] | None) -> list[str]:
    """Sets the graph's inputs and outputs. Returns all wanted names; those of tensors inside calls are not
    set yet."""
    graph = source.graph
    graph.inputs = dict(source.inputs)
    if names is None:
        graph.outputs = dict(source.outputs)
        if not graph.outputs:
            raise LoadError(f"{graph.name}: the model has no outputs")
        return list(graph.outputs)
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted:
        raise UsageError("outputs is empty; name at least one")
    graph.outputs = {}
    for name in wanted:
        if name in source.outputs:
            graph.outputs[name] = source.outputs[name]
        elif parse_ref(name).node in graph.nodes:
            graph.outputs[name] = parse_ref(name)
    if len(graph.outputs) < len(set(wanted)):  # the rest lies inside the calls of the signature
        for name, ref in source.outputs.items():
            graph.outputs.setdefault(f"^{name}", ref)
    return wanted


def find_tensors(graph: Graph, wanted: Sequence[str]) -> None:
    """Finds the wanted outputs that became visible by inlining. Raises UsageError for one that does not
    exist."""
    known = graph.outputs
    offered = [name.removeprefix("^") for name in known]
    outputs = {}
    for name in wanted:
        ref = known.get(name, parse_ref(name))
        if ref.node not in graph.nodes:
            raise UsageError(
                f"{graph.name}: there is no output {name!r}; outputs are {listing(offered)}, and any "
                "tensor can be named as `node:0`"
            )
        node = graph.nodes[ref.node]
        if node.op not in ("Placeholder", "Const"):
            count = len(output_dtypes(node, graph.functions))
            if ref.index >= count:
                raise UsageError(f"{graph.name}: node {ref.node!r} has {count} outputs, so there is no {name!r}")
        outputs[name] = ref
    graph.outputs = outputs


def pin_inputs(graph: Graph, source: Source) -> None:
    """Makes sure that the signature's inputs, and nothing else, must be fed. Raises LoadError otherwise."""
    names = set(graph.inputs.values())
    needed = graph.reachable()
    for node in graph.nodes.values():
        if node.op == "PlaceholderWithDefault":
            if node.name in names:
                node.op, node.inputs = "Placeholder", []
            else:
                node.op = "Identity"
                node.attrs = {"T": node.attrs["dtype"]}
        elif node.op == "Placeholder" and node.name in needed and node.name not in names | source.variables.keys():
            if node.attrs.get("dtype") is DType.RESOURCE:
                raise LoadError(
                    f"{graph.name}: the outputs need {node.name!r}, which is state that is not a variable, "
                    "such as a lookup table; choose outputs that do not depend on it"
                )
            raise LoadError(
                f"{graph.name}: the outputs need {node.name!r}, which is not among the inputs {listing(graph.inputs)}"
            )


def set_input_shapes(graph: Graph, shapes: Any) -> None:
    """Gives every input a static shape: as asked for, else as the model says with an unknown batch size of
    1."""
    asked = _by_name(graph, shapes)
    for name, node_name in graph.inputs.items():
        attrs = graph.nodes[node_name].attrs
        declared = attrs.get("shape", ShapeAttr(None)).dims
        wanted = asked.get(name)
        if wanted is None:
            if declared is None:
                raise UsageError(
                    f"{graph.name}: the shape of input {name!r} is unknown; give it, {_example(name, '1,128')}"
                )
            wanted = declared
        elif declared is not None and (
            len(wanted) != len(declared)
            or any(d is not None and w is not None and d != w for w, d in zip(wanted, declared, strict=True))
        ):
            raise UsageError(
                f"{graph.name}: input {name!r} has shape {spell(declared)}, so it cannot be {spell(wanted)}"
            )
        elif declared is not None:
            wanted = tuple(d if w is None else w for w, d in zip(wanted, declared, strict=True))
        fixed = tuple(1 if index == 0 and size is None else size for index, size in enumerate(wanted))
        if None in fixed:
            example = ",".join("128" if size is None else str(size) for size in fixed)
            raise UsageError(
                f"{graph.name}: input {name!r} has shape {spell(declared)} with sizes that are not known; "
                f"give them, {_example(name, example)}"
            )
        attrs["shape"] = ShapeAttr(fixed)


def _example(name: str, sizes: str) -> str:
    """How a shape is given, to the command and to the function."""
    return f"for example --input-shapes {name}={sizes} (in Python: input_shapes={{{name!r}: [{sizes}]}})"


def _by_name(graph: Graph, shapes: Any) -> dict[str, tuple[int | None, ...]]:
    if shapes is None:
        return {}
    if not isinstance(shapes, Mapping):
        if len(graph.inputs) != 1:
            raise UsageError(f"{graph.name} has the inputs {listing(graph.inputs)}; give a shape by name for each")
        shapes = {next(iter(graph.inputs)): shapes}
    result = {}
    for name, shape in shapes.items():
        if name not in graph.inputs:
            raise UsageError(f"{graph.name}: there is no input {name!r}; inputs are {listing(graph.inputs)}")
        try:
            sizes = tuple(None if size is None or int(size) == -1 else int(size) for size in shape)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{graph.name}: {shape!r} is not a shape for input {name!r}; give numbers") from error
        if any(size is not None and size < 1 for size in sizes):
            raise UsageError(f"{graph.name}: {spell(sizes)} is not a shape for input {name!r}; sizes are at least 1")
        result[name] = sizes
    return result


def spell(shape: Sequence[int | None] | None) -> str:
    """(None, 3) as `?,3`."""
    return "unknown" if shape is None else ",".join("?" if size is None else str(size) for size in shape) or "scalar"


def listing(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def natural(name: str) -> list[Any]:
    """A sort key by which output_2 comes before output_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
