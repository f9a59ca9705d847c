"""FusedBatchNorm in inference, and LRN, against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from harness import run_kernel, untested
from tolerance import assert_exact, assert_sums


def parameters(channels: int) -> list[np.ndarray]:
    """scale, offset, mean, variance."""
    rng = np.random.default_rng(channels)
    scale, offset, mean = rng.standard_normal((3, channels)).astype(np.float32)
    return [scale, offset, mean, rng.uniform(0.01, 3, channels).astype(np.float32)]


@pytest.mark.parametrize("op", ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
@pytest.mark.parametrize("shape", [(1, 8, 8, 16), (2, 3, 5, 1), (1, 1, 1, 33), (3, 40, 20, 24), (0, 2, 2, 3)])
def test_inference(op: str, shape: tuple[int, ...]) -> None:
    import tensorflow as tf

    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    scale, offset, mean, variance = parameters(shape[-1])
    attrs = {"epsilon": 1e-3, "is_training": False, "data_format": "NHWC"}
    outputs = getattr(tf.raw_ops, op)(x=x, scale=scale, offset=offset, mean=mean, variance=variance, **attrs)._asdict()
    expected = [value.numpy() for value in outputs.values()]
    wanted = [(value.dtype, value.shape) for value in expected]
    terms = np.abs((x - mean) * scale / np.sqrt(variance)) + np.abs(offset)
    inputs = [x, scale, offset, mean, variance]
    for threads in (1, 3):
        (y,) = run_kernel("FusedBatchNorm_f32", inputs, attrs, wanted[:1], threads=threads)
        assert_sums(y, expected[0], terms)
    if x.size:
        results = run_kernel("FusedBatchNorm_f32", inputs, attrs, wanted)
        for result, reference in zip(results[1:], expected[1:], strict=True):
            assert_exact(result, reference)
        results = run_kernel("FusedBatchNorm_f32", inputs, attrs, wanted, unwanted=range(1, len(wanted)))
        assert_exact(results[0], y)


def test_batch_norm_refuses_training_and_wrong_channels() -> None:
    x = np.zeros((1, 2, 2, 3), np.float32)
    good = [x, *parameters(3)]
    with pytest.raises(RuntimeError, match="is_training must be false"):
        run_kernel("FusedBatchNorm_f32", good, {}, [(np.float32, x.shape)])
    with pytest.raises(RuntimeError, match="input 2 is not one per channel"):
        run_kernel("FusedBatchNorm_f32", [*good[:2], np.zeros(4, np.float32), *good[3:]],
                   {"is_training": False}, [(np.float32, x.shape)])  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 3, 3, 16), (2, 5, 2, 4), (1, 1, 1, 1)])
@pytest.mark.parametrize("attrs", [
    {},
    {"depth_radius": 2, "bias": 2.0, "alpha": 1e-4, "beta": 0.75},
    {"depth_radius": 0, "bias": 1.5, "alpha": 0.5, "beta": 1.0},
])  # fmt: skip
def test_lrn(shape: tuple[int, ...], attrs: dict) -> None:
    import tensorflow as tf

    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    expected = tf.raw_ops.LRN(input=x, **attrs).numpy()
    for threads in (1, 3):
        (y,) = run_kernel("LRN_f32", [x], attrs, [(np.float32, shape)], threads=threads)
        assert_sums(y, expected, np.abs(expected))


def test_every_kernel_was_tested() -> None:
    assert untested("nn", {"fused_batch_norm.cc", "lrn.cc"}) == []
