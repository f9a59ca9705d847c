"""Kernels that multiply 8-bit codes: the bits that their arithmetic is defined by, on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import ISAS, run_kernel, untested
from integer_reference import convolution, product
from tolerance import assert_exact
from weights import make_weight
from wherry.graph.values import QuantizedValue
from wherry.pack.weights import pack_weight

# M, K, N: tiles, panels and groups that are whole and cut; few rows and many; more rows than a block of A
SIZES = [
    (1, 16, 16), (1, 300, 1000), (1, 2000, 40), (2, 70, 130), (3, 257, 129), (4, 64, 64), (5, 1, 1), (6, 30, 17),
    (13, 100, 31), (15, 512, 33), (16, 513, 300), (17, 64, 32), (29, 19, 65), (48, 130, 48), (97, 640, 47),
    (300, 1030, 20), (0, 4, 5),
]  # fmt: skip


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32) + np.float32(0.3)


def run_everywhere(key: str, inputs: list[Any], attrs: dict[str, Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    return [
        run_kernel(key, inputs, attrs, [(np.float32, shape)], threads, isa)[0] for isa in ISAS for threads in (1, 2, 3)
    ]


@pytest.mark.parametrize("weights", ["wi8", "wi16"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_matrices(size: tuple[int, int, int], bits: int, weights: str) -> None:
    m, k, n = size
    a = values(m, k)
    weight = make_weight((k, n), weights, 8, axis=1)
    assert isinstance(weight, QuantizedValue)
    expected = product(a, weight.codes, weight.scale, bits)
    attrs = {"activation_bits": bits}
    for c in run_everywhere("MatMul_f32_di8", [a, pack_weight("MatMul", weight)], attrs, (m, n)):
        assert_exact(c, expected)


def test_bias_and_activation() -> None:
    a, bias = values(40, 70), values(50, seed=1)
    weight = make_weight((70, 50), "wi8", 8, axis=1)
    assert isinstance(weight, QuantizedValue)
    expected = product(a, weight.codes, weight.scale) + bias
    stored = pack_weight("MatMul", weight)
    for c in run_everywhere("MatMul_f32_di8", [a, stored, bias], {"activation": "Relu6"}, (40, 50)):
        assert_exact(c, np.clip(expected, 0, 6))
    first, *others = run_everywhere("MatMul_f32_di8", [a, stored, bias], {"activation": "Swish"}, (40, 50))
    for c in (first, *others):
        np.testing.assert_allclose(c, expected / (1 + np.exp(-expected.astype(np.float64))), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("weights", ["wi8", "wi16"])
@pytest.mark.parametrize("bits", [8, 16])
def test_close_to_the_product_of_floats(bits: int, weights: str) -> None:
    a = values(33, 900)
    weight = make_weight((900, 70), weights, 8, axis=1)
    attrs = {"activation_bits": bits}
    (c,) = run_kernel("MatMul_f32_di8", [a, pack_weight("MatMul", weight)], attrs, [(np.float32, (33, 70))])
    expected = a.astype(np.float64) @ weight.numpy().astype(np.float64)
    step = (a.max(axis=1, keepdims=True).clip(0) - a.min(axis=1, keepdims=True).clip(None, 0)) / (2**bits - 1)
    bound = 0.51 * step * np.abs(weight.numpy()).sum(axis=0)
    assert (np.abs(c - expected) <= bound).all()
    assert np.sqrt(np.mean((c - expected) ** 2)) < 2.56 / 2**bits * np.sqrt(np.mean(expected**2))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("special", ["zeros", "tiny", "positive", "negative", "constant"])
def test_ranges(special: str, bits: int) -> None:
    a = values(20, 40)
    if special == "zeros":
        a[:] = 0
    elif special == "tiny":
        a *= np.float32(1e-38)
    elif special == "positive":
        a = np.abs(a) + 1
    elif special == "negative":
        a = -np.abs(a) - 1
    else:
        a[:] = 2.5
    weight = make_weight((40, 24), "wi8", 8, axis=1)
    assert isinstance(weight, QuantizedValue)
    expected = product(a, weight.codes, weight.scale, bits)
    attrs = {"activation_bits": bits}
    for c in run_everywhere("MatMul_f32_di8", [a, pack_weight("MatMul", weight)], attrs, (20, 24)):
        assert_exact(c, expected)


@pytest.mark.parametrize("weights", ["wi8", "wi16"])
@pytest.mark.parametrize("bits", [8, 16])
def test_infinities_do_not_crash(bits: int, weights: str) -> None:
    a = values(3, 40)
    a[0, 3], a[1, 5], a[2, 7] = np.inf, -np.inf, np.nan
    weight = make_weight((40, 24), weights, 8, axis=1)
    attrs = {"activation_bits": bits}
    for c in run_everywhere("MatMul_f32_di8", [a, pack_weight("MatMul", weight)], attrs, (3, 24)):
        assert not np.isfinite(c[:2]).any()


CONVOLUTIONS = [
    # image, filter, stride, dilation, SAME
    ((1, 9, 11, 3), (3, 3, 3, 20), 1, 1, True),
    ((2, 8, 8, 5), (1, 1, 5, 33), 1, 1, True),
    ((2, 9, 8, 64), (1, 1, 64, 17), 2, 1, True),
    ((1, 14, 14, 16), (3, 3, 16, 32), 2, 1, True),
    ((2, 10, 9, 8), (3, 5, 8, 16), 1, 2, True),
    ((1, 30, 31, 3), (7, 7, 3, 24), 2, 1, False),
    ((3, 7, 7, 70), (3, 3, 70, 48), 1, 1, True),
    ((1, 12, 5, 33), (2, 1, 33, 16), 1, 1, False),
    # images that AMX reads in place, with codes of 8 bits, of 16, and of both
    ((2, 5, 32, 64), (3, 3, 64, 20), 1, 1, True),
    ((3, 9, 8, 192), (3, 3, 192, 70), 1, 1, True),
    ((2, 9, 18, 128), (3, 3, 128, 33), 1, 1, False),
    ((1, 11, 16, 64), (2, 5, 64, 48), 1, 2, True),
    ((1, 6, 16, 64), (3, 3, 64, 16), 1, 9, True),  # too much padding for that
]


@pytest.mark.parametrize("weights", ["wi8", "wi16"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions(case: tuple[Any, ...], bits: int, weights: str) -> None:
    shape, filter_shape, stride, dilation, same = case
    image = values(*shape)
    image[0] *= 3  # each image has a range of its own
    weight = make_weight(filter_shape, weights, 8, axis=3)
    assert isinstance(weight, QuantizedValue)
    if filter_shape[:2] == (1, 1):
        pixels = image[:, ::stride, ::stride]
        rows = product(pixels.reshape(-1, shape[3]), weight.codes.reshape(filter_shape[2:]), weight.scale, bits)
        expected = rows.reshape(*pixels.shape[:3], filter_shape[3])
    else:
        expected = convolution(image, weight.codes, weight.scale, stride, dilation, same, bits)
    attrs = {
        "strides": [1, stride, stride, 1], "dilations": [1, dilation, dilation, 1],
        "padding": "SAME" if same else "VALID", "activation_bits": bits,
    }  # fmt: skip
    stored = pack_weight("Conv2D", weight)
    for y in run_everywhere("Conv2D_f32_di8", [image, stored], attrs, expected.shape):
        assert_exact(y, expected)
    bias, residual = values(filter_shape[3], seed=2), values(*expected.shape, seed=3)
    fused = attrs | {"activation": "Relu"}
    expected = np.maximum(expected + bias + residual, 0)
    for y in run_everywhere("FusedConv2DAdd_f32_di8", [image, stored, bias, residual], fused, expected.shape):
        assert_exact(y, expected)


def test_what_integers_cannot_do_is_refused() -> None:
    image = values(1, 4, 4, 8)
    grouped = pack_weight("Conv2D", make_weight((3, 3, 4, 16), "wi8", 8, axis=3))
    attrs = {"strides": [1, 1, 1, 1], "padding": "SAME"}
    with pytest.raises(RuntimeError, match="grouped filter needs float arithmetic"):
        run_kernel("Conv2D_f32_di8", [image, grouped], attrs, [(np.float32, (1, 4, 4, 16))])
    small = [values(2, 8), pack_weight("MatMul", make_weight((8, 3), "wi8", 8, axis=1))]
    with pytest.raises(RuntimeError, match="activation_bits must be 8 or 16"):
        run_kernel("MatMul_f32_di8", small, {"activation_bits": 12}, [(np.float32, (2, 3))])
    deep = pack_weight("MatMul", make_weight((70000, 3), "wi8", 8, axis=1))
    with pytest.raises(RuntimeError, match="more than 65536 rows"):
        run_kernel("MatMul_f32_di8", [values(1, 70000), deep], {}, [(np.float32, (1, 3))])


def test_every_kernel_was_tested() -> None:
    assert untested("nn", ["conv_2d_codes.cc", "mat_mul_codes.cc"]) == []
