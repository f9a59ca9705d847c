"""Values of variables in a checkpoint, and which tensor of it belongs to which variable.

A SavedModel does not list that; its restore op does. In TensorFlow 2 it is a function that is called with
the handles, in TensorFlow 1 a part of the graph, and in both RestoreV2 feeds an assignment. So calls are
inlined and every assignment is followed back to the name it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wherry.errors import LoadError
from wherry.frontend.freeze import VARIABLES, variable_name
from wherry.frontend.inline import inline
from wherry.frontend.source import one_line
from wherry.frontend.tf import tf
from wherry.graph import DType, Graph, Node, Ref, TensorType, Value

_ASSIGNMENTS = frozenset({"AssignVariableOp", "Assign"})
_PASS_ON = frozenset({"Identity", "Cast", "Reshape"})

Key = tuple[str, tuple[slice, ...] | None]  # name in the checkpoint, and the part of that tensor


class Checkpoint:
    """An open checkpoint. Raises LoadError when it is damaged or a part of it is missing."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        try:
            self.reader = tf.train.load_checkpoint(str(prefix))
            self.shapes = self.reader.get_variable_to_shape_map()
            self.dtypes = self.reader.get_variable_to_dtype_map()
        except Exception as error:  # the reader raises errors of TensorFlow, ValueError or RuntimeError
            raise LoadError(f"{prefix}.index: not a checkpoint, or damaged ({one_line(error)})") from error
        shards = sorted(prefix.parent.glob(f"{prefix.name}.data-*-of-*"))
        count = int(shards[0].name.rpartition("-of-")[2]) if shards else 1
        if len(shards) != count:
            raise LoadError(f"{prefix}: {count - len(shards)} of {count} data files of the checkpoint are missing")

    def read(self, key: str) -> np.ndarray:
        try:
            value = self.reader.get_tensor(key)
        except Exception as error:  # as above
            raise LoadError(
                f"{self.prefix}: tensor {key!r} cannot be read, the checkpoint is damaged ({one_line(error)})"
            ) from error
        return np.asarray(value, object if isinstance(value, bytes) else None)  # numpy's own strings lose end zeros


class CheckpointValue(Value):
    """A tensor of a checkpoint, or the part of it that a TensorFlow 1 partition of a variable holds."""

    def __init__(self, checkpoint: Checkpoint, key: str, part: tuple[slice, ...] | None = None) -> None:
        self.checkpoint, self.key, self.part = checkpoint, key, part
        shape = tuple(checkpoint.shapes[key])
        if part is not None:
            shape = tuple(len(range(*piece.indices(size))) for piece, size in zip(part, shape, strict=True))
        self.type = TensorType(DType(checkpoint.dtypes[key].as_datatype_enum), shape)

    def numpy(self) -> np.ndarray:
        array = self.checkpoint.read(self.key)
        return array if self.part is None else np.ascontiguousarray(array[self.part])


def variable_values(graph: Graph, keys: Mapping[str, Key], checkpoint: Checkpoint) -> dict[str, Value]:
    """The value of every variable in the graph that has a key, by node name.

    Raises LoadError when the checkpoint lacks one of them or has it in another type or shape.
    """
    values: dict[str, Value] = {}
    for node in graph.by_op(*VARIABLES):
        if node.name not in keys:
            continue
        key, part = keys[node.name]
        if key not in checkpoint.shapes:
            raise LoadError(
                f"{checkpoint.prefix}: the checkpoint has no tensor {key!r} for variable {variable_name(node)!r}"
            )
        value = CheckpointValue(checkpoint, key, part)
        _check_type(checkpoint, node, value)
        values[node.name] = value
    return values


def restored_keys(graph: Graph, restore_op: str) -> dict[str, Key]:
    """Node name of a variable that the restore op assigns -> its key."""
    return _assignments(_restoring(graph, restore_op))


def _check_type(checkpoint: Checkpoint, node: Node, value: CheckpointValue) -> None:
    dtype, shape = node.attrs.get("dtype"), node.attrs.get("shape")
    dims = None if shape is None else shape.dims
    fits = dims is None or (
        len(dims) == len(value.type.shape or ())
        and all(a is None or a == b for a, b in zip(dims, value.type.shape or (), strict=True))
    )
    if dtype != value.type.dtype or not fits:
        raise LoadError(
            f"{checkpoint.prefix}: variable {variable_name(node)!r} is "
            f"{TensorType(dtype or DType.INVALID, dims)} in the graph and {value.type} in the checkpoint"
        )


def _restoring(graph: Graph, restore_op: str) -> Graph:
    """A flat copy of the part of the graph that restores the variables."""
    name = restore_op.partition(":")[0]
    part = Graph(name=graph.name, functions=graph.functions)
    roots = [name] if name in graph.nodes else [node.name for node in graph.by_op("Assign", "AssignVariableOp")]
    part.nodes = {
        node.name: Node(node.name, node.op, list(node.inputs), list(node.controls), node.attrs, node.value)
        for node in graph.nodes.values()
    }
    inline(part, roots)
    return part


def _assignments(part: Graph) -> dict[str, Key]:
    found: dict[str, Key] = {}
    keys: dict[str, tuple[list[Any], list[Any]]] = {}
    for node in part.by_op(*_ASSIGNMENTS):
        target, source = node.inputs[0], node.inputs[1]
        source = _follow(part.nodes, source)
        restore = part.nodes[source.node]
        if restore.op not in ("RestoreV2", "Restore", "RestoreSlice"):
            continue
        if restore.name not in keys:
            names = part.const_value(_follow(part.nodes, restore.inputs[1]))
            slices = part.const_value(_follow(part.nodes, restore.inputs[2])) if len(restore.inputs) > 2 else None
            if names is None:
                continue
            keys[restore.name] = (
                np.ravel(names.numpy()).tolist(),
                np.ravel(slices.numpy()).tolist() if slices is not None else [],
            )
        names_, slices_ = keys[restore.name]
        spec = slices_[source.index].decode() if source.index < len(slices_) else ""
        found[_follow(part.nodes, target).node] = (names_[source.index].decode(), _parse_slice(spec))
    return found


def _follow(nodes: Mapping[str, Node], ref: Ref) -> Ref:
    while nodes[ref.node].op in _PASS_ON:
        ref = nodes[ref.node].inputs[0]
    return ref


def _parse_slice(spec: str) -> tuple[slice, ...] | None:
    """`10 4 0,5:0,4`: the full shape, then start,length of each dimension (or `-` for all of it)."""
    if not spec.strip():
        return None
    pieces = []
    for item in spec.split()[-1].split(":"):
        if item == "-":
            pieces.append(slice(None))
        else:
            start, length = item.split(",")
            pieces.append(slice(int(start), int(start) + int(length)))
    return tuple(pieces)
