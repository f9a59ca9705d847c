"""A graph that is cut where a program is cut computes the same in TensorFlow, part after part."""

from __future__ import annotations

import numpy as np
import pytest
import support
from wherry.graph import Ref
from wherry.plan.lower import lower
from wherry.plan.partition import by_count
from wherry.plan.subgraphs import split
from wherry.runtime.tensorflow_runner import run_graph


@pytest.mark.parametrize("count", [1, 2, 5])
def test_parts_follow_one_another(count: int) -> None:
    graph = support.graph()
    program = lower(graph)
    parts = split(graph, program, by_count(program, count))
    assert len(parts) == count
    wanted = run_graph(graph, support.inputs())
    held: dict[Ref, np.ndarray] = {Ref(graph.inputs[name]): value for name, value in support.inputs().items()}
    for part in parts:
        results = run_graph(part.graph, {name: held[ref] for name, ref in part.takes.items()})
        for ref in part.gives:
            assert ref not in held, "every tensor is made once"
            held[ref] = results[str(ref)]
    for name, ref in graph.outputs.items():
        np.testing.assert_array_equal(held[ref], wanted[name])


def test_every_weight_is_in_the_part_that_reads_it() -> None:
    graph = support.graph()
    program = lower(graph)
    for part in split(graph, program, by_count(program, 6)):
        for node in part.graph.nodes.values():
            assert all(ref.node in part.graph.nodes for ref in node.inputs)
