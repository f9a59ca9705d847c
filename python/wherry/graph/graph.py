"""Graph, Node and Function: the one representation that every pass reads and rewrites.

A graph holds nodes by name. A node's `inputs` are references (node name, output index) and its `controls`
names of nodes that must run before. A Const node carries its tensor as `value`, never as an attribute, so
weights never pass through a protobuf. Attributes are plain Python values: int, float, bool, bytes, DType,
Shape (tuple or None wrapped in ShapeAttr), FuncName, numpy arrays, and lists of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from wherry.graph.types import TensorType
from wherry.graph.values import ArrayValue, Value


class Ref(NamedTuple):
    """One output of a node."""

    node: str
    index: int = 0  # type: ignore[assignment]  # hides tuple.index

    def __str__(self) -> str:
        return self.node if self.index == 0 else f"{self.node}:{self.index}"


class ShapeAttr(NamedTuple):
    """An attribute of kind shape: dims is None where the rank is unknown; unknown dimensions are None."""

    dims: tuple[int | None, ...] | None


@dataclass(eq=False)
class Node:
    name: str
    op: str
    inputs: list[Ref] = field(default_factory=list)
    controls: list[str] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)
    value: Value | None = None  # Const nodes only
    types: list[TensorType] = field(default_factory=list)  # of the outputs, after shape inference
    num_outputs: int | None = None  # known after shape inference

    def __repr__(self) -> str:
        return f"{self.name} = {self.op}({', '.join(map(str, self.inputs))})"


class Function:
    """A function of the library: a graph whose Placeholder nodes `args` (in order) are its arguments.

    `args` and `results` are views of `graph.inputs` and `graph.outputs`, so that a pass may treat a body
    like any other graph. Assign a whole new sequence to change them.
    """

    def __init__(
        self, graph: Graph, args: Iterable[str], results: Iterable[Ref], signature: Any = None
    ) -> None:
        self.graph = graph
        self.signature = signature  # the FunctionDef it came from, where there is one
        self.args = tuple(args)
        self.results = tuple(results)

    @property
    def args(self) -> tuple[str, ...]:
        """Names of the Placeholder nodes."""
        return tuple(self.graph.inputs.values())

    @args.setter
    def args(self, names: Iterable[str]) -> None:
        self.graph.inputs = {name: name for name in names}

    @property
    def results(self) -> tuple[Ref, ...]:
        return tuple(self.graph.outputs.values())

    @results.setter
    def results(self, refs: Iterable[Ref]) -> None:
        refs = tuple(refs)
        names = list(self.graph.outputs)
        if len(names) != len(refs):
            names = [f"result_{index}" for index in range(len(refs))]
        self.graph.outputs = dict(zip(names, refs, strict=True))


@dataclass(eq=False)
class Graph:
    """A model, or the body of a function.

    inputs:  name in the signature -> name of a Placeholder node
    outputs: name in the signature -> reference
    functions: library, by name
    name: what messages call the model
    """

    name: str = "model"
    nodes: dict[str, Node] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, Ref] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    versions: tuple[int, int] = (2330, 0)  # producer, min_consumer of the GraphDef it came from

    def copy(self) -> Graph:
        """A graph with nodes of its own; values, and the bodies of functions, are shared."""
        nodes = {
            name: replace(node, inputs=list(node.inputs), controls=list(node.controls), attrs=dict(node.attrs))
            for name, node in self.nodes.items()
        }
        return replace(
            self, nodes=nodes, inputs=dict(self.inputs), outputs=dict(self.outputs), functions=dict(self.functions)
        )

    def add(self, node: Node) -> Node:
        """Adds a node. Raises ValueError when the name is taken (see `unique_name`)."""
        if node.name in self.nodes:
            raise ValueError(f"node {node.name!r} is already in the graph")
        self.nodes[node.name] = node
        return node

    def add_const(self, name: str, value: Any) -> Ref:
        """Adds a Const under a unique name made from `name`; `value` is a Value or anything numpy takes."""
        held = value if isinstance(value, Value) else ArrayValue(value)
        node = Node(self.unique_name(name), "Const", attrs={"dtype": held.type.dtype}, value=held)
        node.types = [held.type]
        return Ref(self.add(node).name)

    def unique_name(self, name: str) -> str:
        if name not in self.nodes:
            return name
        number = 1
        while f"{name}_{number}" in self.nodes:
            number += 1
        return f"{name}_{number}"

    def const_value(self, ref: Ref) -> Value | None:
        """The value behind a reference when it is a Const, else None."""
        node = self.nodes.get(ref.node)
        return node.value if node is not None and node.op == "Const" else None

    def type_of(self, ref: Ref) -> TensorType:
        """The type of a tensor. Raises KeyError before shape inference has run."""
        node = self.nodes[ref.node]
        if ref.index >= len(node.types):
            raise KeyError(f"the type of {ref} is not known: run wherry.passes.infer_shapes first")
        return node.types[ref.index]

    def consumers(self) -> dict[Ref, list[tuple[Node, int]]]:
        """Every data use: reference -> [(consumer, input position)]. Outputs of the graph are not in it."""
        uses: dict[Ref, list[tuple[Node, int]]] = {}
        for node in self.nodes.values():
            for position, ref in enumerate(node.inputs):
                uses.setdefault(ref, []).append((node, position))
        return uses

    def replace_uses(self, replacements: dict[Ref, Ref]) -> None:
        """Redirects data uses and graph outputs, following chains, in one sweep over the graph."""
        if not replacements:
            return

        def final(ref: Ref) -> Ref:
            seen = 0
            while ref in replacements and seen <= len(replacements):
                ref, seen = replacements[ref], seen + 1
            return ref

        for node in self.nodes.values():
            if any(ref in replacements for ref in node.inputs):
                node.inputs = [final(ref) for ref in node.inputs]
        self.outputs = {name: final(ref) for name, ref in self.outputs.items()}

    def reachable(self) -> set[str]:
        """Names of the nodes that the outputs need, through data and control edges, and the inputs."""
        stack = [ref.node for ref in self.outputs.values()]
        seen: set[str] = set(self.inputs.values())
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self.nodes[name]
            stack.extend(ref.node for ref in node.inputs)
            stack.extend(node.controls)
        return seen

    def remove_unreachable(self) -> int:
        """Drops nodes that no output needs. Returns how many were dropped."""
        keep = self.reachable()
        before = len(self.nodes)
        self.nodes = {name: node for name, node in self.nodes.items() if name in keep}
        return before - len(self.nodes)

    def topological(self) -> list[Node]:
        """Nodes in depth-first order from the outputs, inputs before consumers. Raises ValueError on a cycle.

        Depth first keeps a branch together: it is run to its end before the next one starts, which keeps few
        tensors alive at once.
        """
        order: list[Node] = []
        state: dict[str, int] = {}
        roots = [ref.node for ref in self.outputs.values()] + list(self.nodes)
        for root in roots:
            stack: list[tuple[str, Iterator[str]]] = []
            if state.get(root) is None:
                state[root] = 1
                stack.append((root, self._dependencies(root)))
            while stack:
                name, pending = stack[-1]
                for dep in pending:
                    seen = state.get(dep)
                    if seen == 1:
                        raise ValueError(f"the graph has a cycle through {dep!r}")
                    if seen is None:
                        state[dep] = 1
                        stack.append((dep, self._dependencies(dep)))
                        break
                else:
                    state[name] = 2
                    order.append(self.nodes[name])
                    stack.pop()
        return order

    def _dependencies(self, name: str) -> Iterator[str]:
        node = self.nodes[name]
        yield from (ref.node for ref in node.inputs)
        yield from node.controls

    def by_op(self, *ops: str) -> Iterable[Node]:
        return [node for node in self.nodes.values() if node.op in ops]
