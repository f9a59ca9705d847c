"""Conv2D by Winograd's algorithms against float64. Which one a shape gets shows in how far an infinity spreads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel
from test_conv import ACTIVATIONS, activations, attributes, image
from tolerance import assert_exact, assert_winograd
from weights import FEW_FORMATS, make_weight
from wherry.pack.weights import pack_weight

# image, outputs, padding (or top, bottom, left, right)
CASES: list[tuple[tuple[int, ...], int, Any]] = [
    ((1, 56, 56, 64), 64, "SAME"),
    ((1, 14, 14, 256), 256, "SAME"),
    ((1, 7, 7, 160), 144, "SAME"),
    ((1, 30, 30, 128), 48, "VALID"),
    ((2, 13, 18, 70), 100, "SAME"),  # tiles at the edges, over two images; odd panels and channels
    ((3, 9, 9, 300), 33, (2, 1, 0, 3)),
    ((1, 1, 40, 96), 64, "SAME"),
    ((1, 2, 40, 48), 64, "SAME"),  # 2 x 2
    ((1, 4, 8, 64), 96, "SAME"),  # 2 tiles
    ((3, 4, 4, 70), 80, "SAME"),  # 3
    ((2, 9, 8, 300), 100, "VALID"),  # 8
]
RESNET = [(1, 56, 56, 64), (1, 28, 28, 128), (1, 14, 14, 256), (1, 7, 7, 512)]


def float64_conv(x: np.ndarray, weight: np.ndarray, padding: Any) -> np.ndarray:
    import tensorflow as tf

    if not isinstance(padding, str):
        top, bottom, left, right = padding
        padding = [[0, 0], [top, bottom], [left, right], [0, 0]]
    result: np.ndarray = tf.nn.conv2d(
        x.astype(np.float64), weight.astype(np.float64), [1, 1, 1, 1], padding
    ).numpy()
    return result


def tile_of(shape: tuple[int, ...], outputs: int, isa: int, threads: int) -> int:
    """4 or 2 for tiles of so many outputs, 1 for a direct sum: an infinity in column 4 reaches more than 3 columns, or
    meets itself, or neither."""
    x = np.zeros(shape, np.float32)
    x[0, 0, 4, 0] = np.inf
    weight = make_weight((3, 3, shape[3], outputs), "wf32", 0, axis=3)
    attrs = attributes((1, 1), (1, 1), "SAME")
    wanted = [(np.float32, (*shape[:3], outputs))]
    (y,) = run_kernel("Conv2D_f32_wf32", [x, pack_weight("Conv2D", weight)], attrs, wanted, threads, isa)
    columns = int((~np.isfinite(y)).any((0, 1, 3)).sum())
    return 4 if columns > 3 else 2 if np.isnan(y).any() else 1


@pytest.mark.parametrize("shape", RESNET, ids=str)
def test_large_convolutions_have_large_tiles(shape: tuple[int, ...]) -> None:
    for isa in FLOAT_ISAS:
        assert {tile_of(shape, shape[3], isa, threads) for threads in (1, 2, 8)} == {4}


def test_a_narrow_output_has_small_tiles() -> None:
    for isa in FLOAT_ISAS:
        assert {tile_of((1, 2, 40, 64), 64, isa, threads) for threads in (1, 2, 8)} == {2}


def test_few_channels_are_direct() -> None:
    for isa in FLOAT_ISAS:
        assert {tile_of((1, 8, 8, 3), 8, isa, threads) for threads in (1, 2, 8)} == {1}


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(part) for part in case[:2]))
def test_winograd(case: Any, suffix: str, bits: int) -> None:
    """With residual and bias, which are added in the same order as apart."""
    shape, outputs, padding = case
    x = image(shape)
    x[0, 0, 0] *= 1e4
    weight = make_weight((3, 3, shape[3], outputs), suffix, bits, axis=3)
    attrs = attributes((1, 1), (1, 1), padding)
    expected = float64_conv(x, weight.numpy(), padding)
    wanted = [(np.float32, expected.shape)]
    stored = pack_weight("Conv2D", weight)
    bias = image((outputs,))
    residual = np.random.default_rng(9).standard_normal(expected.shape, np.float32) * 10
    for isa in FLOAT_ISAS:
        (plain,) = run_kernel(f"Conv2D_f32_{suffix}", [x, stored], attrs, wanted, isa=isa)
        assert_winograd(plain, expected.astype(np.float32), x, weight.numpy())
        sums = np.clip(plain + bias + residual, np.float32(0), np.float32(6))
        for threads in (1, 2, 3):
            (y,) = run_kernel(f"Conv2D_f32_{suffix}", [x, stored, bias], attrs, wanted, threads, isa)
            assert_exact(y, plain + bias)
            inputs = [x, stored, bias, residual]
            fused = {**attrs, "activation": "Relu6"}
            (y,) = run_kernel(f"FusedConv2DAdd_f32_{suffix}", inputs, fused, wanted, threads, isa)
            assert_exact(y, sums)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation: str) -> None:
    shape, outputs = (1, 14, 11, 64), 72
    x, bias = image(shape), image((outputs,))
    weight = make_weight((3, 3, shape[3], outputs), "wf32", 0, axis=3)
    attrs = {**attributes((1, 1), (1, 1), "SAME"), "activation": activation, "leakyrelu_alpha": 0.1}
    linear = float64_conv(x, weight.numpy(), "SAME") + bias
    expected = activations()[activation](linear).numpy()
    inputs = [x, pack_weight("Conv2D", weight), bias]
    for isa in FLOAT_ISAS:
        (y,) = run_kernel("Conv2D_f32_wf32", inputs, attrs, [(np.float32, expected.shape)], 2, isa)
        assert_winograd(y, expected.astype(np.float32), x, weight.numpy(), np.abs(bias))
