"""Constant folding: what depends on constants alone is computed now, by TensorFlow itself.

Shapes that inference knows become constants first (Shape, Size, Rank), then the whole frontier of constant nodes is
evaluated in one session, and shapes are inferred again, until nothing changes. Large constants are not evaluated but
turned into values computed on demand, for the few ops that rearrange weights; and nothing is folded that would make
the model much larger than the ops that compute it. A graph where tensors may be dead is left alone.
"""

from __future__ import annotations

import numpy as np

from wherry.errors import PassError
from wherry.graph import ArrayValue, DType, Graph, Node, Ref, Value
from wherry.graph.convert import to_graphdef_and_feeds
from wherry.passes import lazy_values
from wherry.passes.composite import KERNEL_ATTR
from wherry.passes.fold_branches import has_dead_tensors
from wherry.passes.infer_shapes import infer_shapes
from wherry.passes.rewrite import CONTROL_FLOW, bodies, called_functions, static_shape
from wherry.passes.strip import add_identity

LARGE = 1 << 16  # bytes; constants above are rearranged on demand, and nothing above grows by folding
_LIMIT = 1 << 24  # bytes; constants above are never evaluated
_NEVER = frozenset({"Const", "Placeholder", "PlaceholderWithDefault", "Identity", "NoOp", "Assert"}) | CONTROL_FLOW
_SHAPE_OPS = frozenset({"Shape", "ShapeN", "Size", "Rank"})


def fold_constants(graph: Graph) -> int:
    """Folds in the graph and in the functions it calls. Returns how many nodes became constants."""
    total = 0
    while True:
        changed = 0
        for body in bodies(graph):
            if has_dead_tensors(body):
                continue
            changed += _fold_shapes(body)
            changed += _fold_large(body)
            changed += _evaluate(body)
            body.remove_unreachable()
        total += changed
        if not changed or not infer_shapes(graph):
            return total


def become_const(graph: Graph, node: Node, value: Value) -> None:
    """Turns a node with one output into a Const. An output of the graph stays behind an Identity."""
    ref = Ref(node.name)
    is_output = ref in graph.outputs.values()
    node.op, node.inputs, node.controls, node.value = "Const", [], [], value
    node.attrs, node.types, node.num_outputs = {"dtype": value.type.dtype}, [value.type], 1
    if is_output:
        kept = add_identity(graph, ref)
        graph.outputs = {name: kept if out == ref else out for name, out in graph.outputs.items()}


def _fold_shapes(graph: Graph) -> int:
    replacements: dict[Ref, Ref] = {}
    changed = 0
    for node in list(graph.nodes.values()):
        if node.op not in _SHAPE_OPS:
            continue
        shapes = [static_shape(graph, ref) for ref in node.inputs]
        dtype = node.attrs.get("out_type", DType.INT32).numpy
        if node.op == "ShapeN":
            for i, shape in enumerate(shapes):
                if shape is not None:
                    replacements[Ref(node.name, i)] = graph.add_const(f"{node.name}/{i}", np.array(shape, dtype))
        elif (shape := shapes[0]) is not None:
            result = {"Shape": shape, "Size": int(np.prod(shape, dtype=np.int64)), "Rank": len(shape)}[node.op]
            become_const(graph, node, ArrayValue(np.array(result, np.int32 if node.op == "Rank" else dtype)))
            changed += 1
    if replacements:
        used = graph.consumers().keys() | set(graph.outputs.values())
        changed += sum(ref in used for ref in replacements)
        graph.replace_uses(replacements)
    return changed


def _fold_large(graph: Graph) -> int:
    """Weights that only get another shape, order or type."""
    changed = 0
    for node in graph.topological():
        if not node.inputs or node.controls:
            continue
        source = graph.const_value(node.inputs[0])
        if source is None or _nbytes(source) <= LARGE:
            continue
        value = _rearranged(graph, node, source)
        if value is not None:
            become_const(graph, node, value)
            changed += 1
    return changed


def _rearranged(graph: Graph, node: Node, source: Value) -> Value | None:
    shape = static_shape(graph, Ref(node.name))
    if shape is None:
        return None
    if node.op in ("Reshape", "ExpandDims", "Squeeze"):
        return lazy_values.reshaped(source, shape)
    if node.op == "Transpose":
        order = graph.const_value(node.inputs[1])
        return None if order is None else lazy_values.transposed(source, order.numpy().tolist())
    if node.op == "Cast" and not node.attrs.get("Truncate"):
        kinds = (DType.FLOAT, DType.DOUBLE, DType.HALF)
        wider = node.attrs["SrcT"] in kinds and node.attrs["DstT"] in kinds
        return lazy_values.cast(source, node.attrs["DstT"]) if wider else None
    return None


def _nbytes(value: Value) -> int:
    try:
        return value.nbytes
    except (KeyError, ValueError):
        return 0 if value.type.dtype is DType.STRING else _LIMIT + 1


def _evaluate(graph: Graph) -> int:
    """Computes the frontier: constant nodes that something not constant reads."""
    constant = {node.name for node in graph.nodes.values() if node.op == "Const" and _is_small(node.value)}
    foldable: list[Node] = []
    for node in graph.topological():
        if node.name not in constant and _is_foldable(graph, node, constant):
            constant.add(node.name)
            foldable.append(node)
    if not foldable:
        return 0
    folded = {node.name for node in foldable}
    wanted = {ref for ref in graph.outputs.values() if ref.node in folded}
    for node in graph.nodes.values():
        if node.name not in folded:
            wanted.update(ref for ref in node.inputs if ref.node in folded)
    if not wanted:
        return 0
    arrays = _run(graph, foldable, sorted(wanted))
    replacements: dict[Ref, Ref] = {}
    for ref, array in arrays.items():
        node = graph.nodes[ref.node]
        value = ArrayValue(array)
        if (node.num_outputs or len(node.types)) == 1:
            become_const(graph, node, value)
        else:
            replacements[ref] = graph.add_const(f"{ref.node}/{ref.index}", value)
    graph.replace_uses(replacements)
    return len(foldable)


def _is_small(value: Value | None) -> bool:
    return value is not None and _nbytes(value) <= _LIMIT


def _is_foldable(graph: Graph, node: Node, constant: set[str]) -> bool:
    if node.op in _NEVER or not node.types or node.controls or KERNEL_ATTR in node.attrs:
        return False
    if not all(ref.node in constant for ref in node.inputs):
        return False
    if is_stateful(node.op) or any(True for _ in called_functions(node)):
        return False
    given = made = 0
    for ref in node.inputs:
        held = graph.nodes[ref.node].types[ref.index]
        if not held.is_static:
            return False
        given += 0 if held.dtype is DType.STRING else held.nbytes
    for held in node.types:
        if held.dtype in (DType.VARIANT, DType.RESOURCE, DType.INVALID, DType.STRING, DType.BFLOAT16):
            return False
        if not held.is_static:
            continue  # depends on values; the limit on what goes in bounds it
        made += held.nbytes
    return made <= max(LARGE, 2 * given)


def is_stateful(op: str) -> bool:
    """Whether two runs of an op may differ or have effects; unknown ops count as such."""
    from wherry.graph.opdefs import op_def

    definition = op_def(op)
    return definition is None or definition.is_stateful


def _run(graph: Graph, nodes: list[Node], fetch: list[Ref]) -> dict[Ref, np.ndarray]:
    import tensorflow as tf

    part = Graph(graph.name, versions=graph.versions)
    for node in nodes:
        part.nodes[node.name] = node
        for ref in node.inputs:
            part.nodes[ref.node] = graph.nodes[ref.node]
    graph_def, feeds = to_graphdef_and_feeds(part)
    imported = tf.Graph()
    with imported.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.compat.v1.Session(graph=imported, config=config) as session:
        try:
            arrays = session.run(
                [f"{ref.node}:{ref.index}" for ref in fetch],
                {f"{name}:0": value.numpy() for name, value in feeds.items()},
            )
        except tf.errors.OpError as error:
            line = " ".join(str(error).split())
            raise PassError(f"{graph.name}: a constant cannot be computed: {line[:300]}") from error
    return dict(zip(fetch, map(np.asarray, arrays), strict=True))
