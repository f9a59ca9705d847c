"""A quantized graph: TensorFlow runs it to the runtime's answer, and the report says what is true of the file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import support
import tensorflow as tf
import wherry
from wherry.errors import LoadError
from wherry.graph import Graph, QuantizedValue
from wherry.pack.reader import read_pack
from wherry.quantize import parse_scheme, quantize_weights
from wherry.runtime.tensorflow_runner import run_graph

# Both multiply the same decoded weights in float32; only the order of additions differs.
SUMS = 2e-5

SCHEMES = ("float16", "int8-weights", *(f"minmax:{n}" for n in (2, 3, 4, 8, 9, 12, 16)), "minmax:6:channel")


def _quantized(scheme: str) -> Graph:
    graph = support.graph()
    parsed = parse_scheme(scheme)
    assert parsed is not None
    quantize_weights(graph, parsed)
    return graph


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tensorflow_gives_the_runtimes_answer(tmp_path: Path, scheme: str) -> None:
    wanted = run_graph(_quantized(scheme), support.inputs())
    found = support.run(support.pack(tmp_path, quantize=scheme, partitions=3), threads=2)
    for name, array in wanted.items():
        assert np.abs(found[name] - array).max() <= SUMS * np.abs(array).max(), name


def test_more_bits_are_better(tmp_path: Path) -> None:
    exact = support.run(support.pack(tmp_path, "f.wherry"))
    errors = []
    for bits in (2, 4, 8, 12, 16):
        found = support.run(support.pack(tmp_path, quantize=f"minmax:{bits}"))
        errors.append(max(np.abs(found[n] - a).max() / np.abs(a).max() for n, a in exact.items()))
    assert all(a > 2 * b for a, b in itertools.pairwise(errors)), errors
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("scheme", ["int8-weights", "minmax:5", "float16"])
def test_the_report_says_what_is_true(tmp_path: Path, scheme: str) -> None:
    before = support.graph()
    report = wherry.compile(support.graph(), tmp_path / "q.wherry", quantize=scheme, samples=support.inputs())
    quantized = report.quantize
    assert quantized is not None
    after = _quantized(scheme)
    changed = {name for name, node in after.nodes.items() if isinstance(node.value, QuantizedValue)}
    assert {tensor.name for tensor in quantized.tensors} == changed
    assert len(changed) >= 6
    for tensor in quantized.tensors:
        old, new = before.nodes[tensor.name].value, after.nodes[tensor.name].value
        assert old is not None
        assert isinstance(new, QuantizedValue)
        error = new.numpy().astype(np.float64) - old.numpy()
        assert tensor.max_error == pytest.approx(np.abs(error).max(), rel=1e-6)
        assert tensor.rms_error == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
        assert tensor.largest == pytest.approx(np.abs(old.numpy()).max())
        assert tensor.bytes_before == old.numpy().nbytes
        bits = {"int8-weights": 8, "float16": 16, "minmax:5": 5}[scheme]
        codes = tensor.bytes_before * bits / 32
        assert codes <= tensor.bytes_after <= codes + 8 * tensor.shape[-1] + 8
    sizes = [n.value.nbytes for n in before.nodes.values() if n.value is not None and n.value.type.dtype == 1]
    assert quantized.weight_bytes_before == sum(sizes)
    # What the report predicts is in the file, but for the alignment of each weight, panels' unused columns and pages.
    held = read_pack(tmp_path / "q.wherry").weight_bytes
    assert quantized.weight_bytes_after <= held <= 1.35 * quantized.weight_bytes_after + 64 * len(before.nodes)
    # And the error at the outputs is the error at the outputs.
    exact = support.run(support.pack(tmp_path, "f.wherry"))
    found = support.run(tmp_path / "q.wherry")
    for name, array in exact.items():
        error = np.abs(found[name] - array).max() / np.abs(array).max()
        assert quantized.outputs[name] == pytest.approx(error, rel=1e-5)


def test_small_and_shared_constants_stay_as_they_are() -> None:
    graph = _quantized("int8")
    for node in graph.nodes.values():
        if node.value is not None and node.value.type.nbytes < 4096:
            assert not isinstance(node.value, QuantizedValue), node.name


def test_a_weight_that_is_also_added_stays_float32(tmp_path: Path) -> None:
    weight = tf.constant(np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32))

    @tf.function
    def function(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, weight) + tf.reduce_sum(weight * x)}

    concrete = function.get_concrete_function(tf.TensorSpec([40, 40], tf.float32, "x"))
    report = wherry.compile(concrete, tmp_path / "m.wherry", quantize="int8")
    assert report.quantize is not None
    assert report.quantize.tensors == []
    x = np.random.default_rng(1).normal(size=(40, 40)).astype(np.float32)
    with wherry.Executor(tmp_path / "m.wherry") as executor:
        found = executor.run({"x": x})["y"]
    wanted = concrete(tf.constant(x))["y"].numpy()
    assert np.abs(found - wanted).max() <= SUMS * np.abs(wanted).max()


@pytest.mark.parametrize("scheme", [None, "int8-weights", "minmax:8", "float16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, scheme: str | None, bad: float) -> None:
    values = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    values[3, 5] = bad
    weight = tf.constant(values, name="damaged_weight")

    @tf.function
    def function(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, weight)}

    concrete = function.get_concrete_function(tf.TensorSpec([1, 40], tf.float32, "x"))
    with pytest.raises(LoadError) as caught:
        wherry.compile(concrete, tmp_path / "m.wherry", quantize=scheme)
    message = str(caught.value)
    assert "\n" not in message
    assert "damaged_weight" in message or "MatMul" in message
    assert "NaN or infinity" in message
    assert not list(tmp_path.iterdir())


def test_samples_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(wherry.UsageError, match=r"'words' .* is missing"):
        wherry.compile(
            support.graph(), tmp_path / "m.wherry", quantize="int8", samples={"image": support.inputs()["image"]}
        )
    (tmp_path / "x.npz").write_text("no")
    with pytest.raises(wherry.UsageError, match=r"not an \.npz file"):
        wherry.compile(support.graph(), tmp_path / "m.wherry", quantize="int8", samples=tmp_path / "x.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]
