"""Recurrent loops become block ops, and TensorFlow computes the same with them; other loops stay."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from wherry.frontend import load
from wherry.graph import Graph
from wherry.passes import recurrent
from wherry.passes.composite import composite_attrs, composite_kernel
from wherry.passes.fold_constants import fold_constants
from wherry.passes.infer_shapes import infer_shapes
from wherry.passes.pipeline import PASSES
from wherry.passes.recurrent import fuse_recurrent
from wherry.passes.recurrent_loop import LOOP_OPS
from wherry.passes.strip import strip
from wherry.runtime.tensorflow_runner import run_graph

STEPS, FEATURES, UNITS = 7, 5, 6
TOLERANCE = 1e-5  # of the largest output
Values = dict[str, np.ndarray]


def prepared(model: Any, batch: int | None = None) -> Graph:
    """The graph as the pass table hands it to fuse_recurrent. batch: of a keras.Model."""
    shapes = None if batch is None else {x.name: (batch, *x.shape[1:]) for x in model.inputs}
    graph = load(model, input_shapes=shapes)
    strip(graph)
    infer_shapes(graph)
    fold_constants(graph)
    return graph


def keras_model(build: Callable[[Any, Any], Any], steps: int = STEPS) -> Any:
    """The functional model of `build(layers, x)`, with weights that reach all of the gates' range."""
    import keras

    keras.backend.clear_session()
    x = keras.Input((steps, FEATURES), name="x")
    model = keras.Model(x, build(keras.layers, x))
    randomise(model)
    return model


def randomise(model: Any) -> None:
    random = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))


def inputs_of(graph: Graph) -> Values:
    random = np.random.default_rng(4)
    shapes = {name: graph.nodes[node].types[0].shape for name, node in graph.inputs.items()}
    return {name: random.standard_normal(shape or ()).astype(np.float32) for name, shape in shapes.items()}


def assert_same(graph: Graph, inputs: Values, expected: Values) -> None:
    results = run_graph(graph, inputs)
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        assert results[name].shape == value.shape
        limit = TOLERANCE * np.abs(value).max()
        np.testing.assert_allclose(results[name], value, rtol=0, atol=limit, err_msg=name)


def assert_fused(graph: Graph, kinds: list[str]) -> None:
    """Fuses, and checks which block ops that gives, that no loop is left, and that the answer is the same."""
    inputs = inputs_of(graph)
    expected = run_graph(graph, inputs)
    assert len(graph.by_op(*LOOP_OPS)) == len(kinds)
    assert fuse_recurrent(graph) == len(kinds)
    assert not graph.by_op(*LOOP_OPS)
    found = [composite_kernel(node) or node.op for node in graph.nodes.values()]
    assert sorted(kind for kind in found if kind in ("BlockLSTMV2", "GRUSequence")) == sorted(kinds)
    assert not any(op.startswith("TensorList") for op in found)
    assert_same(graph, inputs, expected)
    assert all(held.is_static for node in graph.nodes.values() for held in node.types)


MODELS: dict[str, tuple[Callable[[Any, Any], Any], list[str]]] = {
    "lstm": (lambda k, x: k.LSTM(UNITS)(x), ["BlockLSTMV2"]),
    "lstm_no_bias": (lambda k, x: k.LSTM(UNITS, use_bias=False, return_sequences=True)(x), ["BlockLSTMV2"]),
    "lstm_backwards": (lambda k, x: k.LSTM(UNITS, go_backwards=True)(x), ["BlockLSTMV2"]),
    "lstm_states": (lambda k, x: k.LSTM(UNITS, return_sequences=True, return_state=True)(x), ["BlockLSTMV2"]),
    "lstm_last_states": (lambda k, x: k.LSTM(UNITS, return_state=True)(x), ["BlockLSTMV2"]),
    "lstm_one_unit": (lambda k, x: k.LSTM(1)(x), ["BlockLSTMV2"]),
    "lstm_dropout": (lambda k, x: k.LSTM(UNITS, dropout=0.2, recurrent_dropout=0.3)(x), ["BlockLSTMV2"]),
    "lstm_cell": (lambda k, x: k.RNN(k.LSTMCell(UNITS))(x), ["BlockLSTMV2"]),
    "lstm_stacked": (
        lambda k, x: k.LSTM(3)(k.LSTM(UNITS, return_sequences=True)(x)), ["BlockLSTMV2", "BlockLSTMV2"],
    ),
    "lstm_encoder_decoder": (
        lambda k, x: k.LSTM(UNITS)(x, initial_state=k.LSTM(UNITS, return_state=True)(x)[1:]),
        ["BlockLSTMV2", "BlockLSTMV2"],
    ),
    "lstm_bidirectional": (
        lambda k, x: k.Bidirectional(k.LSTM(UNITS, return_sequences=True))(x), ["BlockLSTMV2", "BlockLSTMV2"],
    ),
    "gru": (lambda k, x: k.GRU(UNITS)(x), ["GRUSequence"]),
    "gru_reset_before": (
        lambda k, x: k.GRU(UNITS, reset_after=False, return_sequences=True)(x), ["GRUSequence"],
    ),
    "gru_no_bias": (lambda k, x: k.GRU(UNITS, use_bias=False)(x), ["GRUSequence"]),
    "gru_states": (lambda k, x: k.GRU(UNITS, return_sequences=True, return_state=True)(x), ["GRUSequence"]),
    "gru_backwards": (lambda k, x: k.GRU(UNITS, go_backwards=True)(x), ["GRUSequence"]),
    "gru_stacked": (
        lambda k, x: k.GRU(3)(k.GRU(UNITS, return_sequences=True)(x)), ["GRUSequence", "GRUSequence"],
    ),
    "gru_bidirectional": (
        lambda k, x: k.Bidirectional(k.GRU(UNITS, reset_after=False))(x), ["GRUSequence", "GRUSequence"],
    ),
    "mixed": (
        lambda k, x: k.GRU(UNITS)(k.Dense(4)(k.LSTM(UNITS, return_sequences=True)(x))),
        ["BlockLSTMV2", "GRUSequence"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_keras_layers(name: str) -> None:
    build, kinds = MODELS[name]
    model = keras_model(build)
    for batch in (1, 3):
        assert_fused(prepared(model, batch), kinds)


def test_initial_states_are_inputs() -> None:
    import keras

    shapes = {"x": (STEPS, FEATURES), "h": (UNITS,), "c": (UNITS,)}
    x, h, c = (keras.Input(shape, name=name) for name, shape in shapes.items())
    model = keras.Model([x, h, c], keras.layers.LSTM(UNITS, return_state=True)(x, initial_state=[h, c]))
    randomise(model)
    assert_fused(prepared(model, 2), ["BlockLSTMV2"])


def test_saved_model(tmp_path: Any) -> None:
    """A Keras 3 export, whose batch size is unknown until it is loaded."""
    model = keras_model(lambda k, x: k.GRU(3)(k.LSTM(UNITS, return_sequences=True)(x)))
    model.export(str(tmp_path / "model"), verbose=False)
    assert_fused(prepared(tmp_path / "model"), ["BlockLSTMV2", "GRUSequence"])


def test_block_lstm_inputs() -> None:
    """Weights come as the kernel is promised them, and are not computed before they are asked for."""
    model = keras_model(lambda k, x: k.LSTM(UNITS)(x))
    graph = prepared(model, 1)
    fuse_recurrent(graph)
    (node,) = graph.by_op("BlockLSTMV2")
    kernel, recurrent_kernel, bias = (weight.numpy() for weight in model.weights)
    held = [graph.const_value(ref) for ref in node.inputs]
    assert int(held[0].numpy()) == STEPS
    assert held[0].numpy().dtype == np.int64
    np.testing.assert_array_equal(held[4].numpy(), np.concatenate([kernel, recurrent_kernel]))
    np.testing.assert_array_equal(held[8].numpy(), bias)
    assert all(not value.numpy().any() for value in held[5:8])
    assert (node.attrs["cell_clip"], node.attrs["use_peephole"]) == (0.0, False)


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_sequence_inputs(reset_after: bool) -> None:
    model = keras_model(lambda k, x: k.GRU(UNITS, reset_after=reset_after)(x))
    graph = prepared(model, 1)
    fuse_recurrent(graph)
    (node,) = (node for node in graph.nodes.values() if composite_kernel(node) == "GRUSequence")
    kernel, recurrent_kernel, bias = (weight.numpy() for weight in model.weights)
    w, u, b_input, b_recurrent = (graph.const_value(ref).numpy() for ref in node.inputs[2:])
    assert composite_attrs(node) == {"reset_after": reset_after}
    np.testing.assert_array_equal(w, kernel)
    np.testing.assert_array_equal(u, recurrent_kernel)
    np.testing.assert_allclose(b_input + b_recurrent, bias.sum(0) if reset_after else bias, rtol=1e-6)
    np.testing.assert_array_equal(b_recurrent[2 * UNITS :], bias[1, 2 * UNITS :] if reset_after else 0)


def test_equal_layers_share_one_function() -> None:
    model = keras_model(lambda k, x: k.Bidirectional(k.GRU(UNITS))(x))
    graph = prepared(model, 1)
    fuse_recurrent(graph)
    assert len({node.attrs["f"] for node in graph.nodes.values() if composite_kernel(node)}) == 1
    assert len(graph.functions) == 3  # the sequence, one step of it, and when it ends


OTHER_LOOPS: dict[str, Callable[[Any, Any], Any]] = {
    "relu": lambda k, x: k.LSTM(UNITS, activation="relu")(x),
    "hard_sigmoid": lambda k, x: k.LSTM(UNITS, recurrent_activation="hard_sigmoid")(x),
    "gru_relu": lambda k, x: k.GRU(UNITS, activation="relu")(x),
    "masking": lambda k, x: k.LSTM(UNITS)(k.Masking()(x)),
    "simple": lambda k, x: k.SimpleRNN(UNITS)(x),
    "two_cells": lambda k, x: k.RNN([k.LSTMCell(UNITS), k.LSTMCell(UNITS)])(x),
}


@pytest.mark.parametrize("name", OTHER_LOOPS)
def test_other_loops_stay(name: str) -> None:
    graph = prepared(keras_model(OTHER_LOOPS[name]), 2)
    inputs = inputs_of(graph)
    expected = run_graph(graph, inputs)
    names = list(graph.nodes)
    assert fuse_recurrent(graph) == 0
    assert list(graph.nodes) == names
    assert len(graph.by_op(*LOOP_OPS)) == 1
    assert_same(graph, inputs, expected)


def test_a_replacement_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a cell misread, TensorFlow would say so before the graph is touched."""
    match_cell = recurrent.match_cell

    def misread(loop: Any) -> Any:
        cell = match_cell(loop)
        return dataclasses.replace(cell, gates=[cell.gates[i] for i in (0, 2, 1, 3)])

    monkeypatch.setattr(recurrent, "match_cell", misread)
    graph = prepared(keras_model(lambda k, x: k.LSTM(UNITS)(x)), 1)
    assert fuse_recurrent(graph) == 0
    assert len(graph.by_op("While")) == 1


def hand_written_loop(tf: Any, x: Any, forget_first: bool) -> Any:
    """A time-major loop with one product per gate, no maximum of steps, and another order of operands."""
    random = np.random.default_rng(5)

    def weights(*shape: int) -> Any:
        return tf.constant(random.normal(0, 0.5, shape), tf.float32)

    kernel, bias = weights(FEATURES, 4 * UNITS), weights(4 * UNITS)
    recurrent_kernels = [weights(UNITS, UNITS) for _ in range(4)]
    steps = tf.TensorArray(tf.float32, STEPS).unstack(x)
    outputs = tf.TensorArray(tf.float32, STEPS, element_shape=(x.shape[1], UNITS))

    def body(c: Any, outputs: Any, t: Any, h: Any) -> Any:
        wide = tf.reshape(tf.nn.bias_add(steps.read(t) @ kernel, bias), [-1, 4 * UNITS])
        parts = tf.split(wide, [UNITS, UNITS, UNITS, -1], 1)
        i, f, g, o = (part + h @ u for part, u in zip(parts, recurrent_kernels, strict=True))
        kept, fresh = c * tf.sigmoid(f), tf.tanh(g) * tf.sigmoid(i)
        c = kept + fresh if forget_first else fresh + kept
        h = tf.tanh(c) * tf.sigmoid(o)
        return c, outputs.write(t, h), 1 + t, h

    start = tf.zeros((x.shape[1], UNITS))
    variables = (start, outputs, 0, start + 0.5)
    c, outputs, t, h = tf.while_loop(lambda c, outputs, t, h: t < STEPS, body, variables)
    return {"sequence": outputs.stack(), "c": c, "h": h, "t": t, "kernel": tf.reduce_sum(kernel)}


@pytest.mark.parametrize("forget_first", [True, False])
def test_hand_written_loop(forget_first: bool) -> None:
    """Nothing depends on names, on the order of loop variables, or on how a gate is spelt."""
    import tensorflow as tf

    signature = tf.TensorSpec((STEPS, 2, FEATURES), tf.float32, name="x")
    function = tf.function(lambda x: hand_written_loop(tf, x, forget_first), input_signature=[signature])
    assert_fused(prepared(function), ["BlockLSTMV2"])


def test_it_is_in_the_pass_table() -> None:
    names = [step.name for step in PASSES]
    assert names.index("fold_constants") < names.index("fuse_recurrent") < names.index("simplify")


def test_large_layers_take_seconds() -> None:
    """Twenty layers of Contect's size: verification included, a few seconds."""

    def build(k: Any, x: Any) -> Any:
        branches = [k.LSTM(128)(k.LSTM(256, return_sequences=True)(x)) for _ in range(10)]
        return k.Concatenate()(branches)

    graph = prepared(keras_model(build, steps=16), 1)
    start = time.perf_counter()
    assert fuse_recurrent(graph) == 20
    assert time.perf_counter() - start < 20
