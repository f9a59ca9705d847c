"""Cuts a graph where a program's partitions are cut: one graph a partition, tensors that cross as its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wherry.graph import Graph, Node, Ref
from wherry.graph.graph import ShapeAttr
from wherry.plan.partition import Partition
from wherry.plan.program import Program


@dataclass
class Subgraph:
    """graph: nodes of one partition. takes: placeholder -> the tensor that it stands for. gives: what others need."""

    graph: Graph
    takes: dict[str, Ref] = field(default_factory=dict)
    gives: list[Ref] = field(default_factory=list)


def _owners(graph: Graph, program: Program, partitions: Sequence[Partition]) -> dict[str, int]:
    """Node -> partition. A node that is no step (a Reshape, say) goes with the last of its inputs."""
    number_of: dict[str, int] = {}
    for number, partition in enumerate(partitions):
        for step in program.steps[partition.first : partition.first + partition.count]:
            number_of[step.name] = number
    owners: dict[str, int] = {}
    for node in graph.topological():
        if node.op in ("Const", "Placeholder"):
            continue
        inherited = max((owners.get(ref.node, 0) for ref in node.inputs), default=0)
        owners[node.name] = number_of.get(node.name, inherited)
    return owners


def split(graph: Graph, program: Program, partitions: Sequence[Partition]) -> list[Subgraph]:
    """Subgraphs in execution order. Constants go into every partition that reads them."""
    owners = _owners(graph, program, partitions)
    parts = [Subgraph(Graph(f"{graph.name}/{i}", versions=graph.versions)) for i in range(len(partitions))]
    for part in parts:
        part.graph.functions = graph.functions
    given: dict[Ref, int] = {}
    for node in graph.topological():
        if node.name not in owners:
            continue
        number = owners[node.name]
        part = parts[number]
        inputs = []
        for ref in node.inputs:
            source = graph.nodes[ref.node]
            if source.op == "Const":
                part.graph.nodes.setdefault(source.name, source)
                inputs.append(ref)
            elif owners.get(ref.node) == number:
                inputs.append(ref)
            else:
                inputs.append(_crossing(graph, part, ref))
                if source.op != "Placeholder":
                    given.setdefault(ref, owners[ref.node])
        copy = Node(node.name, node.op, inputs, [], node.attrs, None, node.types, node.num_outputs)
        part.graph.nodes[node.name] = copy
    for ref in graph.outputs.values():
        if ref.node in owners:
            given.setdefault(ref, owners[ref.node])
    for ref, number in given.items():
        parts[number].gives.append(ref)
    for part in parts:
        part.graph.inputs = {name: name for name in part.takes}
        part.graph.outputs = {str(ref): ref for ref in part.gives}
    return parts


def _crossing(graph: Graph, part: Subgraph, ref: Ref) -> Ref:
    name = f"crossing/{ref.node}_{ref.index}"
    if name not in part.takes:
        kind = graph.type_of(ref)
        part.takes[name] = ref
        placeholder = Node(name, "Placeholder", attrs={"dtype": kind.dtype, "shape": ShapeAttr(kind.shape)})
        placeholder.types = [kind]
        part.graph.nodes[name] = placeholder
    return Ref(name)
