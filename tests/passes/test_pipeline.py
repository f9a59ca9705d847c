"""The table of passes: every pass has its name and says what it does; the report says what each one did."""

from __future__ import annotations

import time

import numpy as np
from small_graphs import trace, weights
from wherry.graph import DType, Graph, Node, Ref, TensorType, Value
from wherry.graph.graph import ShapeAttr
from wherry.passes import PASSES, optimise


def test_names_are_unique_and_summaries_there() -> None:
    assert len({step.name for step in PASSES}) == len(PASSES)
    assert all(step.summary and step.run.__doc__ for step in PASSES)


def test_report_and_callback() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.nn.relu(tf.identity(x) @ weights(4, 5) + weights(5)), (3, 4))
    seen: list[str] = []
    report = optimise(graph, on_pass=lambda step, _: seen.append(step.name))
    assert seen == [record.name for record in report.records] == [step.name for step in PASSES]
    assert report.records[0].changes == 1
    assert report.records[-1].nodes_after == len(graph.nodes) == 4
    assert all("seconds" not in line or line.startswith("pass") for line in str(report).splitlines())


class Counted(Value):
    """A weight of 4 MB that counts how often it is read."""

    reads = 0

    def __init__(self) -> None:
        self.type = TensorType(DType.FLOAT, (1, 1, 1024, 1024))

    def numpy(self) -> np.ndarray:
        Counted.reads += 1
        return np.zeros(self.type.shape, np.float32)


def test_a_large_graph_takes_seconds_and_its_weights_stay_unread() -> None:
    layers = 2500
    graph = Graph(inputs={"x": "x"}, outputs={"y": Ref(f"relu{layers - 1}")})
    graph.add(Node("x", "Placeholder", attrs={"dtype": DType.FLOAT, "shape": ShapeAttr((1, 8, 8, 1024))}))
    previous = Ref("x")
    attrs = {"T": DType.FLOAT}
    strides = {"strides": [1, 1, 1, 1], "padding": b"SAME", "data_format": b"NHWC", "dilations": [1, 1, 1, 1]}
    for i in range(layers):
        kernel = graph.add_const(f"kernel{i}", Counted())
        mean, deviation = (graph.add_const(f"{n}{i}", weights(1, 1, 1, 1024)) for n in ("mean", "deviation"))
        graph.add(Node(f"square{i}", "Square", [deviation], attrs=dict(attrs)))
        graph.add(Node(f"copy{i}", "Identity", [previous], attrs=dict(attrs)))
        graph.add(Node(f"conv{i}", "Conv2D", [Ref(f"copy{i}"), kernel], attrs={**attrs, **strides}))
        graph.add(Node(f"scale{i}", "Mul", [Ref(f"conv{i}"), Ref(f"square{i}")], attrs=dict(attrs)))
        graph.add(Node(f"shift{i}", "AddV2", [Ref(f"scale{i}"), mean], attrs=dict(attrs)))
        graph.add(Node(f"relu{i}", "Relu", [Ref(f"shift{i}")], attrs=dict(attrs)))
        previous = Ref(f"relu{i}")
    assert len(graph.nodes) > 20_000
    start = time.perf_counter()
    optimise(graph)
    assert len(graph.by_op("_FusedConv2D")) == layers
    assert Counted.reads == 0
    assert time.perf_counter() - start < 60  # a few seconds alone; quadratic passes would take minutes
