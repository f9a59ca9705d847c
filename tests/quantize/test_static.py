"""int8-static from end to end: TensorFlow runs the rewritten graph to the runtime's answer, outputs stay close, layers
that hurt stay in float arithmetic, and what is wrong with samples is said in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import wherry
from wherry.compiler import optimised
from wherry.errors import UsageError
from wherry.graph import Graph, QuantizedValue, Ref
from wherry.quantize.formats import WeightScheme, quantize
from wherry.quantize.static import rounded, trials
from wherry.quantize.static.apply import quantize_static
from wherry.quantize.static.ranges import Observed, Scale, parse_calibration, scale_of
from wherry.quantize.static.samples import Samples
from wherry.report.page import describe
from wherry.runtime.tensorflow_runner import run_graph

SHAPE = (1, 20, 18, 3)


def weights(*shape: int) -> tf.Tensor:
    generator = np.random.default_rng([7, *shape])
    return tf.constant((generator.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32))


def small_net(x: tf.Tensor) -> tf.Tensor:
    """Every kind of op that has a kernel on codes."""
    y = tf.nn.relu6(tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 3, 16), 2, "SAME"), weights(16)))
    y = tf.nn.depthwise_conv2d(y, weights(3, 3, 16, 1) * 3, [1, 1, 1, 1], "SAME")
    y = tf.nn.relu(tf.nn.bias_add(y, weights(16)))
    z = tf.nn.bias_add(tf.nn.conv2d(y, weights(1, 1, 16, 16), 1, "SAME"), weights(16))
    y = tf.nn.relu(y + z)
    z = tf.nn.bias_add(tf.nn.conv2d(y, weights(1, 1, 16, 24), 1, "SAME"), weights(24))
    y = z * tf.sigmoid(z)
    gate = tf.reduce_mean(y, axis=[1, 2], keepdims=True)
    gate = tf.sigmoid(tf.nn.bias_add(tf.nn.conv2d(gate, weights(1, 1, 24, 24), 1, "SAME"), weights(24)))
    y = y * gate
    z = tf.nn.bias_add(tf.nn.conv2d(y, weights(1, 1, 24, 24), 1, "SAME"), weights(24))
    y = tf.concat([y, z * tf.nn.relu6(z + 3.0) * (1 / 6)], axis=3)
    y = tf.nn.max_pool2d(tf.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2, 2, "VALID")
    y = tf.nn.avg_pool2d(y, 2, 1, "SAME")
    y = tf.nn.tanh(tf.nn.bias_add(tf.nn.conv2d(y, weights(3, 3, 48, 32), 1, "SAME"), weights(32)))
    y = tf.reduce_mean(y, axis=[1, 2])
    return tf.matmul(y, weights(32, 10)) + weights(10)


def concrete(function: Callable[[tf.Tensor], tf.Tensor], shape: tuple[int, ...] = SHAPE) -> Any:
    @tf.function
    def wrapped(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": function(x)}

    return wrapped.get_concrete_function(tf.TensorSpec(shape, tf.float32, "x"))


def images(count: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape[1:])).astype(np.float32)


def quantized(function: Callable[[tf.Tensor], tf.Tensor], calibration: str = "minmax", tolerance: float = 1.0) -> Graph:
    from wherry.passes import CODE_PASSES, optimise

    graph = wherry.load(concrete(function))
    optimise(graph, CODE_PASSES)
    inputs = {name: graph.type_of(Ref(node)) for name, node in graph.inputs.items()}
    quantize_static(graph, Samples({"x": images(8)}, inputs), parse_calibration(calibration), tolerance)
    return graph


def test_tensorflow_runs_the_rewritten_graph_to_the_runtimes_answer(tmp_path: Path) -> None:
    graph = quantized(small_net)
    x = images(1, 5)
    wanted = run_graph(graph, {"x": x})["y"]
    wherry.compile(graph, tmp_path / "m.wherry")
    with wherry.Executor(tmp_path / "m.wherry") as executor:
        found = executor.run({"x": x})["y"]
    # The body of a composite rounds in float32, so a code may differ by one here and there.
    assert np.abs(found - wanted).max() <= 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "percentile:99.9", "least-error"])
def test_small_net(tmp_path: Path, calibration: str) -> None:
    path = tmp_path / "m.wherry"
    model = concrete(small_net)
    report = wherry.compile(
        model, path, quantize="int8-static", calibrate={"x": images(16)}, calibration=calibration, tolerance=0.2
    )
    assert report.quantize is not None
    static = report.quantize.static
    assert static is not None
    assert (static.layers, static.left, static.samples) == (8, [], 16)
    assert {kernel for kernel in report.kernels if "QLinear" not in kernel} == {
        "QuantizeLinear_f32_u8", "MaxPool_u8", "ConcatV2_x8", "Pad_x8",
    }  # fmt: skip
    assert "QLinearLookup_u8" in report.kernels
    x = images(6, 9)
    answers = []
    for threads in (1, 3):
        with wherry.Executor(path, threads=threads) as executor:
            answers.append(np.concatenate([executor.run({"x": one[None]})["y"] for one in x]))
    np.testing.assert_array_equal(*answers)
    wanted = np.concatenate([model(tf.constant(one[None]))["y"].numpy() for one in x])
    assert np.abs(answers[0] - wanted).max() <= 0.06 * np.abs(wanted).max()


def test_partitions_change_no_bit(tmp_path: Path) -> None:
    answers = []
    for partitions in (1, 2, 9):
        path = tmp_path / f"{partitions}.wherry"
        wherry.compile(
            concrete(small_net), path, quantize="int8-static", calibrate={"x": images(4)}, tolerance=1,
            partitions=partitions,
        )  # fmt: skip
        with wherry.Executor(path) as executor:
            answers.append(executor.run({"x": images(1, 3)})["y"])
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


def test_layers_stay_in_float_arithmetic_until_the_outputs_fit(tmp_path: Path) -> None:
    kept: list[int] = []
    errors: list[float] = []
    for part in (None, 0.5, 1e-4):  # with all layers in floats, activations are fused: equal but for rounding
        tolerance = 1.0 if part is None else part * errors[0]
        report = wherry.compile(
            concrete(small_net), tmp_path / "m.wherry", quantize="int8-static", calibrate={"x": images(8)},
            tolerance=tolerance,
        )  # fmt: skip
        assert report.quantize is not None
        static = report.quantize.static
        assert static is not None
        assert static.error <= tolerance
        assert all(layer.error > 0 and "tolerance" in layer.reason for layer in static.left)
        assert static.layers + len(static.left) == 8
        kept.append(len(static.left))
        provenance = describe(tmp_path / "m.wherry")["facts"]
        for form in ("dynamic", "float"):
            assert provenance[f"{form} layers"] == (", ".join(static.names_of(form)) or "none")
        errors.append(static.error)
    assert kept[0] == 0 < kept[1] <= kept[2] == 8
    assert errors[2] < errors[1] < errors[0]


def gates(x: tf.Tensor) -> tf.Tensor:
    """Convolutions and a depthwise one, each with an activation that codes take from a table."""
    y = tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 3, 16), 2, "SAME"), weights(16))
    y = tf.nn.depthwise_conv2d(y * tf.sigmoid(y), weights(3, 3, 16, 1) * 3, [1, 1, 1, 1], "SAME")
    y = tf.nn.bias_add(y, weights(16))
    y = tf.nn.bias_add(tf.nn.conv2d(y * tf.sigmoid(y), weights(1, 1, 16, 64), 1, "SAME"), weights(64))
    y = tf.reduce_mean(y * (tf.nn.relu6(y + 3.0) * (1 / 6)), axis=[1, 2])
    return tf.matmul(y, weights(64, 10)) + weights(10)


def test_a_tolerance_that_floats_hold_is_held(tmp_path: Path) -> None:
    """A few values move far, as here those that a norm of next to nothing makes large, where outputs hardly do."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((24, 24, 3), name="x")
    y = layers.Conv2DTranspose(8, 3, 2, padding="same", activation="relu")(x)
    y = layers.SeparableConv2D(6, 3, padding="same")(layers.UpSampling2D(2, interpolation="bilinear")(y))
    y = layers.PReLU()(layers.AveragePooling2D(3, 2, padding="same")(layers.GroupNormalization(2)(y)))
    model = keras.Model(x, y)
    samples = {"x": np.random.default_rng(5).standard_normal((16, 24, 24, 3)).astype(np.float32)}
    report = wherry.compile(model, tmp_path / "m.wherry", quantize="int8-static", calibrate=samples)
    assert report.quantize is not None and report.quantize.static is not None
    assert report.quantize.static.error <= 0.02


def test_layers_that_leave_fixed_scales_get_their_activations_back(tmp_path: Path) -> None:
    graph = quantized(gates, tolerance=1e-9)
    wanted = run_graph(graph, {"x": images(1, 5)})["y"]
    report = wherry.compile(graph, tmp_path / "m.wherry")
    assert set(report.kernels) == {
        "Conv2D_f32_wf32", "DepthwiseConv2dNative_f32_wf32", "MatMul_f32_wf32", "Mean_f32",
    }  # fmt: skip
    with wherry.Executor(tmp_path / "m.wherry") as executor:
        np.testing.assert_allclose(executor.run({"x": images(1, 5)})["y"], wanted, atol=1e-5)


def test_codes_that_are_made_as_a_layer_runs(tmp_path: Path) -> None:
    """Where rows differ in size, ranges of their own lose less than one for all."""

    def rows(x: tf.Tensor) -> tf.Tensor:
        y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, weights(1, 1, 3, 64), 1, "SAME"), weights(64)))
        return tf.nn.bias_add(tf.nn.conv2d(y, weights(1, 1, 64, 64), 1, "SAME"), weights(64))

    x = images(8) * np.logspace(0, 3, SHAPE[2], dtype=np.float32)[None, None, :, None]
    errors = []
    for tolerance in (1.0, 0.01):
        report = wherry.compile(
            concrete(rows), tmp_path / "m.wherry", quantize="int8-static", calibrate={"x": x}, tolerance=tolerance
        )
        assert report.quantize is not None and report.quantize.static is not None
        errors.append(report.quantize.static.error)
    assert errors[1] <= 0.01 < errors[0]
    assert "Conv2D_f32_di8" in report.kernels and report.quantize.static.names_of("dynamic")


def recurrent() -> Graph:
    """Three convolutions of one kind after another one, an LSTM, a product."""
    keras.utils.set_random_seed(4)
    x = keras.Input((12, 12, 3), batch_size=1, name="x")
    y = keras.layers.Conv2D(64, 3, strides=2, activation="relu", bias_initializer="ones")(x)
    for _ in range(3):
        y = keras.layers.Conv2D(64, 1, activation="relu", bias_initializer="ones")(y)
    y = keras.layers.LSTM(32)(keras.layers.Reshape((25, 64))(y))
    return wherry.load(keras.Model(x, keras.layers.Dense(64, bias_initializer="ones")(y)))


@pytest.mark.parametrize("large", [False, True])
def test_layers_take_exacter_forms_until_the_outputs_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """Each weight is rounded once to 8 bits, and in large models once to halves, however many trials there are."""
    monkeypatch.setattr(trials, "MOST_MEASURED_BYTES", 0 if large else 1 << 30)
    made: list[tuple[str, tuple[int, ...]]] = []

    def counted(values: np.ndarray, scheme: WeightScheme, axis: int) -> QuantizedValue:
        made.append((scheme.format, values.shape))
        return quantize(values, scheme, axis)

    monkeypatch.setattr(rounded, "quantize", counted)
    forms: set[str] = set()
    for tolerance in (0.1, 0.002, 0.001, 0.0005):
        made.clear()
        report = wherry.compile(
            recurrent(), tmp_path / "m.wherry", quantize="int8-static", tolerance=tolerance,
            calibrate={"x": images(16, shape=(1, 12, 12, 3))},
        )  # fmt: skip
        assert report.quantize is not None and report.quantize.static is not None
        static = report.quantize.static
        assert static.error <= tolerance
        held = {layer.name: layer.form for layer in static.left}
        convolutions = [layer.form for layer in static.left if layer.op == "_FusedConv2D"]
        assert not large or len(set(convolutions[-3:])) <= 1  # those of one kind
        lstm = [form for name, form in held.items() if "lstm" in name]
        assert static.layers == 5 - len(held) + len(lstm)
        assert ("BlockLSTMV2_f32_di8" in report.kernels) == (lstm != ["float"])
        assert any(key.endswith("_wf16") for key in report.kernels) == (large and "float" in held.values())
        assert sum(format == "int8" for format, _ in made) == 6
        assert sum(format == "float16" for format, _ in made) in ((0, 6) if large else (0,))
        forms |= set(held.values())
    assert {"wide", "float"} <= forms


def test_what_has_no_kernel_on_codes_stays_float32(tmp_path: Path) -> None:
    def net(x: tf.Tensor) -> tf.Tensor:
        y = tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 3, 8), 1, "SAME"), weights(8))
        y = tf.math.sin(y)  # no kernel
        y = tf.nn.softmax(tf.nn.relu(tf.nn.conv2d(y, weights(1, 1, 8, 40), 1, "SAME")))
        return tf.reduce_sum(y, axis=[1, 2])

    model = concrete(net)
    report = wherry.compile(
        model, tmp_path / "m.wherry", quantize="int8-static", calibrate={"x": images(8)}, tolerance=0.5
    )
    assert {"Sin_f32", "Softmax_f32", "QLinearConv2d_u8_wi8"} <= set(report.kernels)
    assert "DequantizeLinear_u8_f32" not in report.kernels  # a convolution that nobody reads as codes gives float32
    x = images(1, 2)
    with wherry.Executor(tmp_path / "m.wherry") as executor:
        found = executor.run({"x": x})["y"]
    wanted = model(tf.constant(x))["y"].numpy()
    assert np.abs(found - wanted).max() <= 0.05 * np.abs(wanted).max()


def test_degenerate_ranges(tmp_path: Path) -> None:
    def net(x: tf.Tensor) -> tf.Tensor:
        dead = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x * 0.0, weights(1, 1, 3, 8), 1, "SAME"), -tf.ones(8)))
        live = tf.nn.bias_add(tf.nn.conv2d(x, weights(1, 1, 3, 8), 1, "SAME"), -20 * tf.ones(8))  # never above 0
        return tf.nn.conv2d(dead + live, weights(1, 1, 8, 4), 1, "SAME")

    model = concrete(net)
    wherry.compile(model, tmp_path / "m.wherry", quantize="int8-static", calibrate={"x": images(8)}, tolerance=1)
    x = images(1, 2)
    with wherry.Executor(tmp_path / "m.wherry") as executor:
        found = executor.run({"x": x})["y"]
    wanted = model(tf.constant(x))["y"].numpy()
    assert np.abs(found - wanted).max() <= 0.02 * np.abs(wanted).max()


def test_scales() -> None:
    assert scale_of(0, 0) == Scale(1.0, 0)
    assert scale_of(-3, -1).zero == 255
    assert scale_of(2, 5).zero == 0
    for low, high in ((-1.0, 1.0), (-0.001, 1000.0), (-5e-7, 0.0)):
        scale = scale_of(low, high)
        assert scale.values(np.array([scale.zero], np.uint8)) == 0
        assert scale.codes(np.array([low, high])).tolist() in ([0, 255], [0, 254], [1, 255])


def test_percentile_and_least_error_leave_outliers_out() -> None:
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    values[0] = 30
    scales = {}
    for text in ("minmax", "percentile:99.9", "least-error"):
        observed = Observed()
        observed.see(values)
        observed.count(values)
        scales[text] = observed.scale(parse_calibration(text))
    assert scales["minmax"].scale > 0.13
    assert scales["percentile:99.9"].scale < 0.03
    errors = {text: float(((s.values(s.codes(values)) - values) ** 2).sum()) for text, s in scales.items()}
    assert errors["least-error"] == min(errors.values())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"z": images(2)}, r"there is no input 'z'; the inputs are 'x'"),
        ({}, r"the input 'x' is missing"),
        ({"x": images(2)[:, :5]}, r"'x' has shape \(2, 5, 18, 3\), samples of this model have \(samples, 20, 18, 3\)"),
        ({"x": images(2).astype(np.float64)}, r"'x' is of type float64, the model takes float32"),
        ({"x": images(0)}, r"there is no sample in it"),
        ({"x": np.full((2, *SHAPE[1:]), np.nan, np.float32)}, r"'x' holds NaN or infinity"),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_samples_that_do_not_fit(
    tmp_path: Path, samples: dict[str, np.ndarray], message: str, stored: bool
) -> None:
    source: Any = samples
    if stored:
        source = tmp_path / "samples.npz"
        np.savez_compressed(source, **samples)
    graph = optimised(concrete(lambda x: x * 2))
    inputs = {name: graph.type_of(Ref(node)) for name, node in graph.inputs.items()}
    with pytest.raises(UsageError, match=message) as caught:
        Samples(source, inputs)
    assert "\n" not in str(caught.value)


def test_samples_fill_the_last_batch(tmp_path: Path) -> None:
    graph = optimised(concrete(lambda x: x * 2, (4, *SHAPE[1:])))
    inputs = {name: graph.type_of(Ref(node)) for name, node in graph.inputs.items()}
    held = images(6)
    np.savez(tmp_path / "samples.npz", x=held)
    for source in ({"x": held}, tmp_path / "samples.npz"):
        batches = [batch["x"] for batch in Samples(source, inputs).batches()]
        assert [len(batch) for batch in batches] == [4, 4]
        np.testing.assert_array_equal(np.concatenate(batches)[:6], held)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int8-static"}, "name an .npz of them with calibrate"),
        ({"quantize": "int8", "calibrate": {}}, "calibrate has an effect with quantize int8-static only"),
        ({"quantize": "int8-static", "calibrate": {"x": images(1)}, "calibration": "best"}, "'best' is not a way"),
        ({"quantize": "int8-static", "calibrate": {"x": images(1)}, "calibration": "percentile:20"}, "is not a way"),
        ({"quantize": "int8-static", "calibrate": {"x": images(1)}, "tolerance": 0}, "must be a number above 0"),
        ({"quantize": "int8", "tolerance": -1.0}, "must be a number above 0"),
        ({"quantize": "float16", "tolerance": 0.1}, "tolerance has an effect with quantize int8, int8-static and"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wherry.compile(concrete(lambda x: x * 2), tmp_path / "m.wherry", **options)
