"""Which layers multiply in whole numbers: those that can, unless the outputs say otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wherry
from wherry import compiler
from wherry.graph import Ref
from wherry.passes import optimise
from wherry.quantize import arithmetic, integer_layers, parse_scheme, quantize_weights
from wherry.quantize.arithmetic import MAX_DEPTH
from wherry.quantize.bias import correct_biases, input_means
from wherry.quantize.layer_cost import kind_of


def network(deep: int = 64) -> wherry.Graph:
    """Three convolutions, one of them grouped, a depthwise one, and a dense layer."""
    import tensorflow as tf

    generator = np.random.default_rng(3)

    def weight(*shape: int) -> tf.Tensor:
        return tf.constant(generator.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[:-1]))))

    filters = [weight(3, 3, 8, 32), weight(1, 1, 32, deep), weight(3, 3, deep // 2, 32)]
    depthwise, dense = weight(3, 3, deep, 1), weight(32, 40)

    @tf.function(input_signature=[tf.TensorSpec((1, 12, 12, 8))])
    def model(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(tf.nn.conv2d(x, filters[0], 1, "SAME"))
        x = tf.nn.relu(tf.nn.conv2d(x, filters[1], 1, "SAME"))
        x = tf.nn.depthwise_conv2d(x, depthwise, [1, 1, 1, 1], "SAME")
        x = tf.nn.conv2d(x, filters[2], 1, "SAME")
        return tf.identity(tf.matmul(tf.reduce_mean(x, [1, 2]), dense), name="y")

    return wherry.load(model.get_concrete_function())


def test_what_can_be_made_in_whole_numbers() -> None:
    graph = network()
    optimise(graph)
    quantize_weights(graph, parse_scheme("int8"))
    shapes = [graph.const_value(layer.inputs[1]).type.shape for layer in integer_layers(graph)]
    assert shapes == [(3, 3, 8, 32), (1, 1, 32, 64), (32, 40)]


def test_kernels_of_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "m.wherry"
    report = wherry.compile(network(), path, quantize="int8")
    assert {"Conv2D_f32_di8", "MatMul_f32_di8", "Conv2D_f32_wi8"} <= set(report.kernels)
    assert "DepthwiseConv2dNative_f32_wf32" in report.kernels  # stays in float32
    assert report.quantize is not None and report.quantize.arithmetic is not None
    found = report.quantize.arithmetic
    assert (found.layers, found.float_layers) == (3, {})
    assert found.error is not None and 0 < found.error <= compiler.TOLERANCE
    assert max(report.quantize.outputs.values()) <= found.error * (1 + 1e-6)  # which is to be expected of others too


@pytest.mark.parametrize("large", [False, True])
def test_layers_get_finer_codes_until_outputs_are_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    free = wherry.compile(network(), tmp_path / "free.wherry", quantize="int8").quantize
    assert free is not None and free.arithmetic is not None and free.arithmetic.error is not None
    limit = 1.15 * free.arithmetic.error  # of which a margin is taken off
    monkeypatch.setattr(compiler, "TOLERANCE", limit)
    monkeypatch.setattr(arithmetic, "MOST_MEASURED_BYTES", 0 if large else 1 << 30)
    report = wherry.compile(network(), tmp_path / "m.wherry", quantize="int8")
    assert report.quantize is not None and report.quantize.arithmetic is not None
    found = report.quantize.arithmetic
    assert (found.layers, found.float_layers) == (3, {}) and 1 <= len(found.wide_layers) < 3
    assert found.error is not None and found.error <= 0.8 * limit
    assert report.file_bytes <= (tmp_path / "free.wherry").stat().st_size + 256  # the weights are the same


def test_layers_of_one_kind_take_a_form_together() -> None:
    graph = biased()
    optimise(graph)
    kinds = [kind_of(graph, node) for node in graph.topological() if node.op == "_FusedConv2D"]
    assert len(set(kinds)) == len(kinds) == 2  # other shapes
    assert kinds == [kind_of(graph, node) for node in graph.topological() if node.op == "_FusedConv2D"]


def test_layers_go_back_to_floats_until_outputs_are_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = wherry.compile(biased(), tmp_path / "free.wherry", quantize="int8").quantize
    assert free is not None and free.arithmetic is not None and free.arithmetic.error is not None
    limit = 0.7 * free.arithmetic.error
    monkeypatch.setattr(compiler, "TOLERANCE", limit)
    report = wherry.compile(biased(), tmp_path / "m.wherry", quantize="int8")
    assert report.quantize is not None and report.quantize.arithmetic is not None
    found = report.quantize.arithmetic
    assert 1 <= len(found.float_layers) < 3 and found.layers == 3 - len(found.float_layers)
    assert all(error > 0 for error in found.float_layers.values())
    assert found.error is not None and found.error <= limit
    assert found.wide_layers and any(key.endswith("_wf16") for key in report.kernels)
    assert any(key.endswith("_di8") for key in report.kernels)
    assert report.quantize.weight_bytes_after > free.weight_bytes_after


def test_layers_get_weights_of_two_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where weights of 8 bits are too coarse, and floats cost more."""
    limit = 1e-3
    monkeypatch.setattr(compiler, "TOLERANCE", limit)
    samples = {"x": np.random.default_rng(2).standard_normal((8, 16, 16, 256)).astype(np.float32)}
    report = wherry.compile(wide_network(), tmp_path / "m.wherry", quantize="int8", samples=samples)
    assert report.quantize is not None and report.quantize.arithmetic is not None
    found = report.quantize.arithmetic
    assert found.conclusive and found.widest_layers and set(found.widest_layers) <= set(found.wide_layers)
    assert found.error is not None and found.error <= 0.8 * limit
    assert "Conv2D_f32_di8" in report.kernels


def test_a_weight_that_others_read_keeps_one_byte() -> None:
    graph = wide_network(shared=True)
    optimise(graph)
    constants = {name: node.value for name, node in graph.nodes.items() if node.value is not None}
    report = quantize_weights(graph, parse_scheme("int8"))
    layers = integer_layers(graph)
    originals = {tensor.name: constants[tensor.name] for tensor in report.tensors}
    trials = arithmetic._Trials(graph, layers, originals, lambda _: [], True)
    sizes = sorted(len(group) for group in trials.groups.values())
    assert sizes == [1, 2]  # two layers with one weight
    assert [trials._can_be_widest(group) for group in trials.groups.values()] == [True, True]
    alone = next(group for group in trials.groups.values() if len(group) == 2)[:1]
    assert not trials._can_be_widest(alone)


def wide_network(shared: bool = False) -> wherry.Graph:
    """Convolutions of many channels; shared: two of them with one filter."""
    import tensorflow as tf

    generator = np.random.default_rng(5)
    first, second = (
        tf.constant(generator.standard_normal(shape, np.float32) / np.float32(16))
        for shape in ((1, 1, 256, 256), (1, 1, 256, 256))
    )

    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 256))])
    def model(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(tf.nn.conv2d(x, first, 1, "SAME"))
        x = tf.nn.relu(tf.nn.conv2d(x, second, 1, "SAME"))
        if shared:
            x = tf.nn.conv2d(tf.nn.max_pool2d(x, 2, 2, "SAME"), second, 1, "SAME")
        return tf.identity(x, name="y")

    return wherry.load(model.get_concrete_function())


def test_inputs_that_cannot_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "TOLERANCE", 1e-9)  # float16 weights alone move outputs further
    report = wherry.compile(network(), tmp_path / "m.wherry", quantize="int8").quantize
    assert report is not None and report.arithmetic is not None
    assert (report.arithmetic.conclusive, report.arithmetic.layers, report.arithmetic.float_layers) == (False, 3, {})


def test_samples_on_which_nothing_holds_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then layers are as exact as they can be, and the report says what that comes to."""
    monkeypatch.setattr(compiler, "TOLERANCE", 1e-9)
    samples = {"x": np.random.default_rng(1).standard_normal((2, 12, 12, 8)).astype(np.float32)}
    report = wherry.compile(network(), tmp_path / "m.wherry", quantize="int8", samples=samples).quantize
    assert report is not None and report.arithmetic is not None
    found = report.arithmetic
    assert found.conclusive and found.layers == 0 and len(found.float_layers) == 3
    monkeypatch.setattr(compiler, "TOLERANCE", 1.0)
    loose = wherry.compile(network(), tmp_path / "loose.wherry", quantize="int8", samples=samples).quantize
    assert loose is not None and loose.arithmetic is not None and loose.arithmetic.layers == 3
    assert found.error is not None and loose.arithmetic.error is not None
    assert 1e-9 < found.error < loose.arithmetic.error


def test_samples_may_hold_several_batches(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((18, 12, 12, 8)).astype(np.float32)
    errors = [
        wherry.compile(network(), tmp_path / "m.wherry", quantize="int8", samples={"x": part}).quantize.outputs
        for part in (x, x[:16], x[:1])
    ]
    assert errors[0] == errors[1] != errors[2]
    with pytest.raises(wherry.UsageError):
        wherry.compile(network(), tmp_path / "m.wherry", quantize="int8", samples={"x": x[:, :5]})


def test_samples_that_do_not_fit_are_named(tmp_path: Path) -> None:
    x = np.ones((2, 12, 12, 8), np.float32)
    np.savez(tmp_path / "s.npz", x=x.astype(np.float64))
    for samples, words in (
        (tmp_path / "s.npz", rf"^{tmp_path}/s\.npz: the input 'x' is of type float64"),
        ({"x": x[:, :5]}, r"^the samples: the input 'x' has shape"),
        ({"x": x * np.float32(np.nan)}, r"^the samples: 'x' holds NaN or infinity"),
    ):
        with pytest.raises(wherry.UsageError, match=words):
            wherry.compile(network(), tmp_path / "m.wherry", quantize="int8", samples=samples)
    assert not (tmp_path / "m.wherry").exists()


def test_samples_without_names(tmp_path: Path) -> None:
    nameless: Any = np.ones((2, 12, 12, 8), np.float32)
    with pytest.raises(wherry.UsageError, match=r"^samples: give them by the inputs' names"):
        wherry.compile(network(), tmp_path / "m.wherry", quantize="int8", samples=nameless)
    with pytest.raises(wherry.UsageError, match=r"^calibrate: give them by the inputs' names"):
        wherry.compile(network(), tmp_path / "m.wherry", quantize="int8-static", calibrate=nameless)


def biased() -> wherry.Graph:
    """Layers with biases: two convolutions, of which the first is too small for codes, an LSTM, a product."""
    import keras

    keras.utils.set_random_seed(4)
    x = keras.Input((8, 8, 3), batch_size=1, name="x")
    y = keras.layers.Conv2D(64, 1, activation="relu", bias_initializer="ones")(x)
    y = keras.layers.Conv2D(64, 3, activation="relu", bias_initializer="ones")(y)
    y = keras.layers.LSTM(16, return_sequences=True)(keras.layers.Reshape((36, 64))(y))
    model = keras.Model(x, keras.layers.Dense(64, bias_initializer="ones")(y))
    return wherry.load(model)


@pytest.mark.parametrize("size", [1, 4])
def test_biases_make_up_for_rounded_weights(size: int) -> None:
    """What rounding does on average to what a layer makes: nothing, on the inputs that gave the means."""
    graph = biased()
    optimise(graph)
    x = [np.random.default_rng(seed).random((1, 8, 8, 3), np.float32) for seed in range(size)]
    batches = [dict.fromkeys(graph.inputs, batch) for batch in x]
    constants = {name: node.value for name, node in graph.nodes.items() if node.value is not None}
    means = input_means(graph, lambda: batches)
    report = quantize_weights(graph, parse_scheme("int8"))
    originals = {tensor.name: constants[tensor.name] for tensor in report.tensors}
    layers = integer_layers(graph)
    held = {layer.name: list(layer.inputs) for layer in layers}
    before = correct_biases(graph, layers, originals, means)
    assert len(before) == len(layers) == 3
    for layer in layers:
        weight = next(ref.node for ref in layer.inputs if ref.node in originals)
        changed = [(old, new) for old, new in zip(held[layer.name], layer.inputs, strict=True) if old != new]
        ((old, new),) = changed
        assert before[new.node] is graph.nodes[old.node].value
        data = layer.inputs[1 if layer.op.startswith("BlockLSTM") else 0]
        mean = means[data].values
        if layer.op.startswith("BlockLSTM"):
            mean = np.concatenate([mean, means[Ref(layer.name, 6)].values])
        rounded, original = graph.nodes[weight].value.numpy(), originals[weight].numpy()
        lost = (original - rounded).astype(np.float64).reshape(-1, len(mean), rounded.shape[-1]).sum(0)
        shift = graph.nodes[new.node].value.numpy() - graph.nodes[old.node].value.numpy()
        np.testing.assert_allclose(shift, mean @ lost, atol=1e-6)


def test_biases_are_corrected_on_samples_only(tmp_path: Path) -> None:
    graph = biased()
    x = {name: np.random.default_rng(9).random((4, 8, 8, 3), np.float32) for name in graph.inputs}
    corrected = wherry.compile(graph, tmp_path / "c.wherry", quantize="int8", samples=x)
    plain = wherry.compile(biased(), tmp_path / "p.wherry", quantize="int8")
    errors = []
    with wherry.Executor(tmp_path / "c.wherry") as c, wherry.Executor(tmp_path / "p.wherry") as p:
        wherry.compile(biased(), tmp_path / "f.wherry")
        with wherry.Executor(tmp_path / "f.wherry") as f:
            for executor in (c, p):
                runs = [{name: array[i : i + 1] for name, array in x.items()} for i in range(4)]
                difference = [next(iter(executor.run(r).values())) - next(iter(f.run(r).values())) for r in runs]
                errors.append(float(np.sqrt(np.mean(np.square(difference)))))
    assert corrected.kernels == plain.kernels and corrected.steps == plain.steps
    # Biases of zeros were one constant for all layers; now each layer has its own.
    assert 0 <= corrected.file_bytes - plain.file_bytes < 1024
    assert errors[0] < 0.9 * errors[1]


def test_float_arithmetic_and_unmeasured(tmp_path: Path) -> None:
    weights = wherry.compile(network(), tmp_path / "w.wherry", quantize="int8-weights")
    assert not any(key.endswith("_di8") for key in weights.kernels)
    assert weights.quantize is not None and weights.quantize.arithmetic is None
    unmeasured = wherry.compile(network(), tmp_path / "u.wherry", quantize="int8", measure_outputs=False)
    assert any(key.endswith("_di8") for key in unmeasured.kernels)
    assert unmeasured.quantize is not None and unmeasured.quantize.arithmetic is not None
    assert unmeasured.quantize.arithmetic.error is None


def test_sums_that_leave_int32_stay_in_floats() -> None:
    import tensorflow as tf

    matrix = tf.constant(np.ones((MAX_DEPTH + 1, 2), np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1, MAX_DEPTH + 1))])
    def model(x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, matrix)

    graph = wherry.load(model.get_concrete_function())
    optimise(graph)
    quantize_weights(graph, parse_scheme("int8"))
    assert integer_layers(graph) == []
