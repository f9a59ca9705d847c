"""Which layers multiply in half precision, and how far their activations may go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wherry
from test_arithmetic import network
from wherry import compiler
from wherry.passes import optimise
from wherry.quantize import half_layers, parse_scheme, quantize_weights
from wherry.quantize.halves import FOLD, LARGEST, half_limit
from wherry.runtime.single_kernel import half_isas

needs_halves = pytest.mark.skipif(not half_isas(), reason="this CPU has no arithmetic of halves")


@pytest.mark.parametrize("scale", [1e-3, 0.3, 40.0])
@pytest.mark.parametrize("depth", [1, FOLD, 3 * FOLD + 5])
def test_no_sum_of_a_fold_overflows(scale: float, depth: int) -> None:
    generator = np.random.default_rng(depth)
    weight = (generator.standard_normal((depth, 7)) * scale).astype(np.float16)
    limit = half_limit(weight)
    assert 0 < limit <= LARGEST and np.float16(limit) == limit
    for begin in range(0, depth, FOLD):
        chain = np.zeros(7, np.float16)
        for row in weight[begin : begin + FOLD]:
            chain = (limit * np.abs(row).astype(np.float64) + chain.astype(np.float64)).astype(np.float16)
        assert np.isfinite(chain).all()


def test_the_limit_is_no_smaller_than_it_has_to_be() -> None:
    assert half_limit(np.zeros((4, 3), np.float16)) == LARGEST
    assert 0.95 < half_limit(np.ones((FOLD, 2), np.float16)) * FOLD / LARGEST < 1
    assert half_limit(np.ones((FOLD, 2), np.float16)) == half_limit(np.ones((5 * FOLD, 2), np.float16))


def test_what_can_be_made_in_halves() -> None:
    graph = network()
    optimise(graph)
    quantize_weights(graph, parse_scheme("float16-arithmetic"))
    shapes = [graph.const_value(layer.inputs[1]).type.shape for layer in half_layers(graph)]
    assert shapes == [(3, 3, 8, 32), (1, 1, 32, 64), (32, 40)]


def test_weights_that_leave_no_room_stay_in_floats() -> None:
    import tensorflow as tf

    matrix = tf.constant(np.full((256, 40), 100.0, np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1, 256))])
    def model(x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, matrix)

    graph = wherry.load(model.get_concrete_function())
    optimise(graph)
    quantize_weights(graph, parse_scheme("float16-arithmetic"))
    assert half_layers(graph) == []


def test_kernels_of_halves(tmp_path: Path) -> None:
    report = wherry.compile(network(), tmp_path / "m.wherry", quantize="float16-arithmetic")
    # The grouped convolution keeps float arithmetic.
    assert {"Conv2D_f32_hf16", "MatMul_f32_hf16", "Conv2D_f32_wf16"} <= set(report.kernels)
    assert report.quantize is not None and report.quantize.arithmetic is not None
    assert report.quantize.scheme == "float16-arithmetic"
    arithmetic = report.quantize.arithmetic
    assert (arithmetic.halves, arithmetic.layers, arithmetic.float_layers) == (True, 3, {})
    floats = wherry.compile(network(), tmp_path / "f.wherry", quantize="float16")
    assert not any(key.endswith("_hf16") for key in floats.kernels)
    assert report.quantize.weight_bytes_after == floats.quantize.weight_bytes_after
    scanned = wherry.scan(network(), quantize="float16-arithmetic")
    # Those that layers may go back to are named too.
    assert {kernel.key for kernel in scanned.kernels} == {*report.kernels, "MatMul_f32_wf16"}


@needs_halves
def test_layers_go_back_to_floats_until_outputs_are_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = wherry.compile(network(), tmp_path / "free.wherry", quantize="float16-arithmetic").quantize
    floats = wherry.compile(network(), tmp_path / "floats.wherry", quantize="float16").quantize
    assert free is not None and free.arithmetic is not None and floats is not None
    (error,) = floats.outputs.values()
    assert free.arithmetic.error is not None and error < free.arithmetic.error < 0.005
    monkeypatch.setattr(compiler, "TOLERANCE", (error + free.arithmetic.error) / 2 / 0.8)  # less a margin
    report = wherry.compile(network(), tmp_path / "m.wherry", quantize="float16-arithmetic")
    assert report.quantize is not None and report.quantize.arithmetic is not None
    arithmetic = report.quantize.arithmetic
    assert arithmetic.float_layers and arithmetic.layers == 3 - len(arithmetic.float_layers)
    assert arithmetic.error is not None and arithmetic.error <= compiler.TOLERANCE


def test_a_machine_without_halves_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "half_isas", lambda: ())
    report = wherry.compile(network(), tmp_path / "m.wherry", quantize="float16-arithmetic")
    assert report.quantize is not None and report.quantize.arithmetic is not None
    assert (report.quantize.arithmetic.layers, report.quantize.arithmetic.error) == (3, None)
    assert any(key.endswith("_hf16") for key in report.kernels)


def test_partitions_and_threads_change_no_bit(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((1, 12, 12, 8)).astype(np.float32)
    outputs = set()
    for partitions in (1, 2, 5):
        path = tmp_path / f"{partitions}.wherry"
        wherry.compile(
            network(), path, quantize="float16-arithmetic", partitions=partitions, measure_outputs=False
        )  # fmt: skip
        for threads in (1, 2, 3):
            with wherry.Executor(path, threads=threads) as executor:
                outputs |= {array.tobytes() for array in executor.run({"x": x}).values()}
    assert len(outputs) == 1
