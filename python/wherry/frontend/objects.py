"""Variables of a SavedModel by its object graph, for those that its restore op leaves out.

tf.saved_model.save of a Keras 3 model writes a restore op for copies of the variables; the signature uses
the originals. TensorFlow binds those by the object graph: a function lists the objects it captures, and the
checkpoint has an object graph of its own, with the same names of children, that says which tensor an
object's value is.
"""

from __future__ import annotations

from typing import Any

from wherry.errors import LoadError
from wherry.frontend.checkpoint import Checkpoint
from wherry.frontend.source import one_line
from wherry.graph import Graph

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "VARIABLE_VALUE"


def captured_keys(graph: Graph, object_graph: Any, checkpoint: Checkpoint) -> dict[str, str]:
    """Node name of a handle that a function captures -> key of its value in the checkpoint."""
    if _OBJECT_GRAPH not in checkpoint.shapes:
        return {}
    objects: dict[str, int] = {}
    for node in graph.by_op("StatefulPartitionedCall", "PartitionedCall"):
        name = str(node.attrs["f"])
        if name in object_graph.concrete_functions:  # a protobuf map makes what it is asked for
            bound = object_graph.concrete_functions[name].bound_inputs
            captured = node.inputs[len(node.inputs) - len(bound) :]
            objects.update((ref.node, number) for ref, number in zip(captured, bound, strict=True))
    keys = _keys(object_graph, _checkpointed(checkpoint))
    return {name: keys[number] for name, number in objects.items() if number in keys}


def _checkpointed(checkpoint: Checkpoint) -> Any:
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    proto = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        proto.ParseFromString(checkpoint.read(_OBJECT_GRAPH).item())
    except Exception as error:  # protobuf raises classes of its own that differ between its implementations
        raise LoadError(f"{checkpoint.prefix}: the object graph is damaged ({one_line(error)})") from error
    return proto


def _keys(object_graph: Any, checkpointed: Any) -> dict[int, str]:
    """Number of an object in the SavedModel -> key of its value, walking both graphs from the root
    together."""
    keys: dict[int, str] = {}
    if not object_graph.nodes or not checkpointed.nodes:
        return keys
    stack, seen = [(0, 0)], {0}
    while stack:
        here, there = stack.pop()
        saved = checkpointed.nodes[there]
        for attribute in saved.attributes:
            if attribute.name == _VALUE:
                keys[here] = attribute.checkpoint_key
        children = {child.local_name: child.node_id for child in saved.children}
        for child in object_graph.nodes[here].children:
            if child.node_id not in seen and child.local_name in children:
                seen.add(child.node_id)
                stack.append((child.node_id, children[child.local_name]))
    return keys
