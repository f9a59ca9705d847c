"""Composites: fused ops that TensorFlow lacks, kept runnable in TensorFlow.

A composite is a `PartitionedCall` of a function that still holds the original nodes, marked with the op of the
runtime that replaces it (`_wherry_kernel`) and that op's attributes (`_wherry_<name>`). TensorFlow runs the
function and ignores the marks; the lowering to the runtime reads the marks and ignores the function. Composites with
equal bodies share one function, named after a digest of the body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wherry.graph import FuncName, Function, Graph, Node, Ref, TensorType
from wherry.graph.graph import ShapeAttr

CALL = "PartitionedCall"
KERNEL_ATTR = "_wherry_kernel"
PREFIX = "_wherry_"
# A ConfigProto with graph_options.rewrite_options.disable_meta_optimizer: a body runs as it is written. (Grappler's own
# shape inference also aborts the process on a depthwise convolution with explicit padding whose rank it does not know.)
_AS_WRITTEN = b"\x52\x05\x52\x03\x98\x01\x01"


def make_composite(
    graph: Graph,
    nodes: Sequence[Node],
    kernel: str,
    attrs: Mapping[str, Any],
    inputs: Sequence[Ref],
    outputs: Sequence[Ref],
) -> Node:
    """Moves `nodes` into a function and puts one call of it in their place.

    nodes: everything to move, Const nodes included where the body should own them. Nothing outside of `nodes` may
        read one of their tensors unless it is among `outputs`.
    kernel: op name of the runtime; attrs: its attributes, stored as `_wherry_<name>`.
    inputs: tensors of `graph` that the body reads, in the order of the runtime op's inputs. Their types, and the
        types of `outputs`, must be known (`infer_shapes`). An input the body does not read is allowed.
    outputs: tensors of `nodes` that remain, in the order of the runtime op's outputs.

    Returns the call, which takes over the name of the node behind outputs[0]; uses of all outputs are redirected.
    Raises ValueError where the body reads a tensor that is neither in `nodes` nor in `inputs`.
    """
    moved = {node.name for node in nodes}
    in_types = [graph.type_of(ref) for ref in inputs]
    out_types = [graph.type_of(ref) for ref in outputs]
    body, args, results = _body(nodes, inputs, in_types, outputs)
    name = _function_name(kernel, body, args, results)
    if name not in graph.functions:
        body.name = name
        graph.functions[name] = Function(body, args, results)

    for gone in moved:
        del graph.nodes[gone]
    call = Node(
        outputs[0].node,
        CALL,
        inputs=list(inputs),
        controls=sorted({c for node in nodes for c in node.controls if c not in moved}),
        attrs={
            "f": FuncName(name),
            "Tin": [t.dtype for t in in_types],
            "Tout": [t.dtype for t in out_types],
            "config_proto": _AS_WRITTEN,
            KERNEL_ATTR: kernel.encode(),
            **{PREFIX + key: value for key, value in attrs.items()},
        },
        types=out_types,
        num_outputs=len(outputs),
    )
    graph.add(call)
    graph.replace_uses(
        {ref: Ref(call.name, i) for i, ref in enumerate(outputs) if ref != Ref(call.name, i)}
        if _distinct(outputs, call.name)
        else {}
    )
    return call


def composite_kernel(node: Node) -> str | None:
    """The runtime op that replaces a call, or None where the node is not a composite."""
    mark = node.attrs.get(KERNEL_ATTR)
    return mark.decode() if node.op == CALL and mark is not None else None


def composite_attrs(node: Node) -> dict[str, Any]:
    """The attributes of the runtime op, without their prefix."""
    return {
        key[len(PREFIX) :]: value
        for key, value in node.attrs.items()
        if key.startswith(PREFIX) and key != KERNEL_ATTR
    }


def _distinct(outputs: Sequence[Ref], name: str) -> bool:
    """Whether redirecting is needed. Raises ValueError where it would confuse an old reference with a new one."""
    news = {Ref(name, i): ref for i, ref in enumerate(outputs)}
    for old in outputs:
        if old in news and news[old] != old:
            raise ValueError(f"outputs of composite {name!r} must come in the order of their node's outputs")
    return any(new != old for new, old in news.items())


def _body(
    nodes: Sequence[Node], inputs: Sequence[Ref], in_types: Sequence[TensorType], outputs: Sequence[Ref]
) -> tuple[Graph, list[str], list[Ref]]:
    """The function's graph with names that do not depend on where the nodes came from."""
    body = Graph()
    renamed: dict[Ref, Ref] = {}
    args: list[str] = []
    for i, (ref, held) in enumerate(zip(inputs, in_types, strict=True)):
        shape = ShapeAttr(held.shape)
        arg = body.add(
            Node(f"arg{i}", "Placeholder", attrs={"dtype": held.dtype, "shape": shape, "_output_shapes": [shape]})
        )
        arg.types, arg.num_outputs = [held], 1
        args.append(arg.name)
        renamed.setdefault(ref, Ref(arg.name))
    names = {node.name: f"n{i}_{node.op}" for i, node in enumerate(nodes)}
    for node in nodes:
        sources = []
        for ref in node.inputs:
            if ref.node in names:
                sources.append(Ref(names[ref.node], ref.index))
            elif ref in renamed:
                sources.append(renamed[ref])
            else:
                raise ValueError(f"{node.name!r} reads {ref}, which is not an input of the composite")
        body.add(
            Node(
                names[node.name],
                node.op,
                sources,
                [names[c] for c in node.controls if c in names],
                dict(node.attrs),
                node.value,
                list(node.types),
                node.num_outputs,
            )
        )
    results = [Ref(names[ref.node], ref.index) for ref in outputs]
    body.inputs = {name: name for name in args}
    body.outputs = {f"out{i}": ref for i, ref in enumerate(results)}
    return body, args, results


def _function_name(kernel: str, body: Graph, args: list[str], results: list[Ref]) -> str:
    digest = hashlib.blake2b(digest_size=8)

    def feed(item: Any) -> None:
        if isinstance(item, np.ndarray):
            digest.update(f"{item.dtype}{item.shape}".encode())
            digest.update(np.ascontiguousarray(item).tobytes() if item.dtype != object else repr(item).encode())
        else:
            digest.update(f"{type(item).__name__}:{item!r};".encode())

    for node in body.nodes.values():
        feed((node.name, node.op, tuple(node.inputs), tuple(node.controls), tuple(node.types)))
        for key in sorted(node.attrs):
            feed(key)
            feed(node.attrs[key])
        if node.value is not None:
            feed(node.value.numpy())
    feed((tuple(args), tuple(results)))
    return f"wherry_{kernel}_{digest.hexdigest()}"
