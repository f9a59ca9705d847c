"""Weights rounded so that errors of one make up for those of another: less of an error, on other inputs as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wherry
from wherry.graph import Ref
from wherry.passes import optimise
from wherry.quantize import parse_scheme, quantize_weights
from wherry.quantize.compensate import compensate, compensated_weights, patches
from wherry.quantize.static.observe import Runner

from tests.quantize.test_arithmetic import network

INT8 = parse_scheme("int8")


def smooth(count: int, seed: int = 0) -> np.ndarray:
    """Images whose neighbouring pixels, and channels, are alike."""
    random = np.random.default_rng(seed).standard_normal((count, 12, 12, 8)).astype(np.float32)
    for axis in (1, 2, 3):
        random = random + np.roll(random, 1, axis) + np.roll(random, 2, axis)
    return random / np.float32(5)


def test_errors_make_up_for_one_another() -> None:
    generator = np.random.default_rng(1)
    mixed = generator.standard_normal((16, 40))  # 40 inputs that 16 causes move
    seen, other = (generator.standard_normal((count, 16)) @ mixed for count in (400, 1000))
    weight = generator.uniform(-127, 127, (40, 7))
    codes = compensate(weight, seen.T @ seen / len(seen), 0.03, 127.0)
    assert np.array_equal(codes, np.rint(codes)) and np.abs(codes).max() <= 127
    plain = np.square(other @ (np.rint(weight) - weight)).mean()
    assert np.square(other @ (codes - weight)).mean() < 0.3 * plain


def test_independent_inputs_get_the_nearest_codes() -> None:
    weight = np.random.default_rng(2).uniform(-127, 127, (70, 5))
    assert np.array_equal(compensate(weight, np.eye(70), 0.03, 127.0), np.rint(weight))


@pytest.mark.parametrize(("size", "dilation", "padded"), [((3, 3), (1, 1), True), ((2, 3), (2, 1), False)])
def test_patches_are_what_a_convolution_reads(size: tuple[int, int], dilation: tuple[int, int], padded: bool) -> None:
    import tensorflow as tf

    image = smooth(2)
    weight = np.random.default_rng(3).standard_normal((*size, 8, 4)).astype(np.float32)
    expected = tf.nn.conv2d(image, weight, 1, "SAME" if padded else "VALID", dilations=dilation).numpy()
    rows = patches(image, size, dilation, padded)
    np.testing.assert_allclose(rows @ weight.reshape(-1, 4), expected.reshape(-1, 4), rtol=1e-4, atol=1e-5)


def test_large_images_are_seen_on_some_lines() -> None:
    image = np.zeros((1, 200, 100, 2), np.float32)
    assert patches(image, (1, 1), (1, 1), True).shape == (4000, 2)
    assert patches(image, (3, 3), (1, 1), True).shape == (4000, 18)


def test_layers_of_a_graph() -> None:
    graph = network()
    optimise(graph)
    name = next(iter(graph.inputs))
    codes = compensated_weights(graph, INT8, lambda: [{name: image[None]} for image in smooth(8)])
    shapes = sorted(value.type.shape or () for value in codes.values())
    assert shapes == [(1, 1, 32, 64), (3, 3, 8, 32)]  # one is grouped, one depthwise, one a product that saw 8 rows
    report = quantize_weights(graph, INT8, rounded=codes)
    assert {error.name for error in report.tensors} > set(codes)
    for weight, value in codes.items():
        assert graph.const_value(Ref(weight)) is value


def test_few_rows_say_too_little() -> None:
    graph = network()
    optimise(graph)
    name = next(iter(graph.inputs))
    found = compensated_weights(graph, INT8, lambda: [{name: smooth(1)}])
    assert all(np.prod((value.type.shape or ())[:-1]) <= 144 for value in found.values())


def two_convolutions() -> wherry.Graph:
    import tensorflow as tf

    generator = np.random.default_rng(4)
    filters = [
        tf.constant(generator.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[:-1]))))
        for shape in ((3, 3, 8, 32), (1, 1, 32, 48))
    ]

    @tf.function(input_signature=[tf.TensorSpec((1, 12, 12, 8))])
    def model(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, filters[0], 1, "SAME"), tf.zeros(32)))
        return tf.identity(tf.nn.conv2d(x, filters[1], 2, "SAME"), name="y")

    return wherry.load(model.get_concrete_function())


def test_outputs_on_other_inputs_are_closer() -> None:
    graphs = [two_convolutions() for _ in range(3)]
    for graph in graphs:
        optimise(graph)
    name, output = next(iter(graphs[0].inputs)), next(iter(graphs[0].outputs))
    quantize_weights(graphs[1], INT8)
    batches = [{name: image[None]} for image in smooth(12)]
    quantize_weights(graphs[2], INT8, rounded=compensated_weights(graphs[2], INT8, lambda: batches))
    outputs = []
    for graph in graphs:
        with Runner(graph) as runner:
            outputs.append(np.stack([runner.run({name: image[None]})[output] for image in smooth(6, seed=9)]))
    plain, compensated = (np.square(found - outputs[0]).mean() for found in outputs[1:])
    assert compensated < 0.8 * plain


def test_compile_rounds_weights_on_samples_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr(wherry.compiler, "compensated_weights", lambda *_: called.append(1) or {})
    wherry.compile(network(), tmp_path / "m.wherry", quantize="int8")
    assert not called
    wherry.compile(network(), tmp_path / "m.wherry", quantize="int8", samples={next(iter(network().inputs)): smooth(2)})
    assert called == [1]
