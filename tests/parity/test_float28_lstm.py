"""LSTM kernels with weights of the state in 28 bits: the bits of those with float32 panels, and TensorFlow's values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from harness import LSTM_ISAS, run_kernel
from tolerance import assert_exact, assert_sums
from wherry.graph.values import ArrayValue
from wherry.pack.stored import StoredWeight
from wherry.pack.weights import pack_recurrent, pack_weight

SIZES = [(5, 7, 16), (140, 3, 48), (4, 300, 80), (70, 90, 32), (1, 5, 32), (6, 20, 256)]  # steps, inputs, units
OUTPUTS = 7


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def weight(inputs: int, units: int, scale: float = 1.0) -> np.ndarray:
    """Products of about 1, with weights here and there that have no code."""
    w = values(inputs + units, 4 * units) * np.float32(scale / np.sqrt(inputs + units))
    some = w.reshape(-1)[:: 7 * units + 5]
    some[:] = np.resize(np.float32([0, 1e-6, -1e-40, 3, -0.0]), some.size)
    return w


def arguments(steps: int, inputs: int, units: int, w: StoredWeight) -> list[Any]:
    state = [values(1, units, seed=seed) for seed in (1, 2)]
    peepholes = [values(units, seed=seed) for seed in (3, 4, 5)]
    return [np.int64(steps), values(steps, 1, inputs), *state, w, *peepholes, values(4 * units, seed=6)]


def run(op: str, suffix: str, size: tuple[int, int, int], w: StoredWeight, **options: Any) -> list[np.ndarray]:
    wanted = [(np.float32, (size[0], 1, size[2]))] * OUTPUTS
    attrs = {"cell_clip": 2.0, "use_peephole": True}
    return run_kernel(f"{op}_f32_{suffix}", arguments(*size, w), attrs, wanted, **options)


@pytest.mark.parametrize("op", ["BlockLSTM", "BlockLSTMV2"])
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("size", SIZES)
def test_the_bits_of_float32_panels(op: str, size: tuple[int, int, int], scale: float) -> None:
    import tensorflow as tf

    w = weight(*size[1:], scale)
    coded, panels = pack_recurrent(ArrayValue(w)), pack_weight("MatMul", ArrayValue(w))
    for isa in LSTM_ISAS:
        expected = run(op, "wf32", size, panels, isa=isa)
        for threads in (1, 2, 3):
            for result, reference in zip(run(op, "wf28", size, coded, threads=threads, isa=isa), expected, strict=True):
                assert_exact(result, reference)
    names = ["seq_len_max", "x", "cs_prev", "h_prev", "w", "wci", "wcf", "wco", "b"]
    inputs = dict(zip(names, arguments(*size, coded), strict=True)) | {"w": w}
    theirs = getattr(tf.raw_ops, op)(**inputs, cell_clip=2.0, use_peephole=True)
    if scale == 1.0:  # larger weights make gates that rounding opens or shuts
        for result, reference in zip(expected, theirs, strict=True):
            assert_sums(result, reference.numpy(), 1.0 + np.abs(reference.numpy()))


def test_weights_that_are_no_numbers() -> None:
    size = (3, 4, 32)
    w = weight(*size[1:])
    w[10, 20], w[12, 70], w[20, 33] = np.inf, np.nan, -3e38
    coded, panels = pack_recurrent(ArrayValue(w)), pack_weight("MatMul", ArrayValue(w))
    for isa in LSTM_ISAS:
        expected = run("BlockLSTMV2", "wf32", size, panels, isa=isa)
        for result, reference in zip(run("BlockLSTMV2", "wf28", size, coded, isa=isa), expected, strict=True):
            np.testing.assert_array_equal(result, reference)


def test_refuses_what_does_not_fit() -> None:
    size = (3, 4, 32)
    good = pack_recurrent(ArrayValue(weight(*size[1:])))
    run("BlockLSTMV2", "wf28", size, good)
    at = 4 * 128 * 4 + 64  # the first group's bits
    for data, message in [
        (good.data[:at], "bytes of its size"),
        (good.data[:-64], "groups of its size"),
        (good.data + bytes(64), "groups of its size"),
        (good.data[:at] + b"\xff" * 8 + good.data[at + 8 :], "groups of its size"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            run("BlockLSTMV2", "wf28", size, replace(good, data=data))
    with pytest.raises(RuntimeError, match="format"):
        run("BlockLSTMV2", "wf32", size, good)
    with pytest.raises(RuntimeError, match="format"):
        run("BlockLSTMV2", "wf28", size, pack_weight("MatMul", ArrayValue(weight(*size[1:]))))
    two = [np.int64(3), values(3, 2, 4), values(2, 32), values(2, 32), good, *[values(32)] * 3, values(128)]
    with pytest.raises(RuntimeError, match="batch 1"):
        run_kernel("BlockLSTMV2_f32_wf28", two, {}, [(np.float32, (3, 2, 32))] * OUTPUTS)
    odd = replace(good, shape=(4 + 20, 80))
    with pytest.raises(RuntimeError, match="multiple of 16 units"):
        run("BlockLSTMV2", "wf28", (3, 4, 20), odd)
