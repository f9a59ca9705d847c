"""Small Keras models, built once per session, and a judge that compares a loaded graph with the model's own
answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from wherry.frontend import load
from wherry.graph import Graph
from wherry.runtime.tensorflow_runner import run_graph

layers = keras.layers


class Case(NamedTuple):
    """A model, an input for it with a batch of one, and its answer."""

    model: keras.Model
    x: np.ndarray
    y: np.ndarray


def answer(model: keras.Model, x: np.ndarray, seed: int = 0) -> Case:
    random = np.random.default_rng(seed)
    for weight in model.weights:  # biases and batch-norm statistics that are not 0 and 1
        if weight.dtype.startswith("float"):
            noise = random.uniform(0.05, 0.3, weight.shape).astype(np.float32)
            weight.assign(weight + noise if len(weight.shape) == 1 else weight)
    return Case(model, x, np.asarray(model(x, training=False)))


@pytest.fixture(scope="session")
def conv_case() -> Case:
    model = keras.Sequential(
        [
            layers.Input((12, 10, 3)),
            layers.Conv2D(6, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.DepthwiseConv2D(3),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    return answer(model, np.random.default_rng(1).normal(size=(1, 12, 10, 3)).astype(np.float32))


@pytest.fixture(scope="session")
def recurrent_case() -> Case:
    model = keras.Sequential(
        [
            layers.Input((7, 5)),
            layers.LSTM(4, return_sequences=True),
            layers.Bidirectional(layers.GRU(3, return_sequences=True)),
            layers.LSTM(6),
            layers.Dense(2),
        ]
    )
    return answer(model, np.random.default_rng(2).normal(size=(1, 7, 5)).astype(np.float32))


@pytest.fixture(scope="session")
def text_case() -> Case:
    model = keras.Sequential(
        [
            layers.Input((9,), dtype="int32"),
            layers.Embedding(50, 8),
            layers.Conv1D(4, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2),
        ]
    )
    return answer(model, np.random.default_rng(3).integers(0, 50, (1, 9)).astype(np.int32))


@pytest.fixture(params=["conv", "recurrent", "text"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(f"{request.param}_case")
    return found


def assert_plain(graph: Graph) -> None:
    """Asserts what every loaded graph promises: no calls, no variables, static inputs, no control edges."""
    for part in [graph] + [function.graph for function in graph.functions.values()]:
        for node in part.nodes.values():
            assert "Variable" not in node.op, node
            assert node.op not in (
                "VarHandleOp",
                "PartitionedCall",
                "StatefulPartitionedCall",
                "ResourceGather",
            )
            assert node.op not in graph.functions
            assert not node.controls, node
    for name in graph.inputs.values():
        assert None not in graph.nodes[name].attrs["shape"].dims
    graph.topological()


@pytest.fixture(scope="session")
def judge() -> Callable[..., Graph]:
    """judge(model, inputs, wanted, **options): loads, asserts that outputs are as wanted, returns the graph.

    Inputs may be one array for a model with one input; wanted likewise.
    """

    def run(model: Any, inputs: Any, wanted: Any, **options: Any) -> Graph:
        graph = load(model, **options)
        assert_plain(graph)
        feeds = inputs if isinstance(inputs, Mapping) else {next(iter(graph.inputs)): inputs}
        got = run_graph(graph, feeds)
        answers = wanted if isinstance(wanted, Mapping) else {next(iter(graph.outputs)): wanted}
        assert list(got) == list(answers)
        for name, array in answers.items():
            np.testing.assert_allclose(got[name], array, rtol=1e-6, atol=1e-6)
        return graph

    return run
