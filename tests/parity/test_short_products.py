"""Kernels that multiply float32 in whole numbers of 16 bits: their arithmetic to the bit; floats on other CPUs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import test_conv_chain as chains
from half_reference import patches
from harness import ISAS, run_kernel, untested
from tolerance import assert_exact
from weights import make_weight
from wherry.pack.weights import pack_weight
from wherry.runtime import single_kernel
from wherry.runtime.single_kernel import StoredWeight

_NAMES = ("AVX2", "AVX-VNNI", "AVX-512 VNNI", "AVX-512 FP16", "AMX")
SHORT_ISAS = [number for name, number in single_kernel.isas().items() if name in _NAMES]
OTHER_ISAS = [number for number in ISAS if number not in SHORT_ISAS]
CHAIN = "ConvChain_f32_sf32"


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def weight(*shape: int) -> tuple[np.ndarray, StoredWeight]:
    value = make_weight(shape, "wf32", 0, None)
    return value.numpy(), pack_weight("Conv2D", value)


def product(a: np.ndarray, b: np.ndarray, bits: int, bias: np.ndarray | None = None) -> np.ndarray:
    """What cpp/math/short_gemm.h says, of [m, k] and [k, n]."""
    k = len(b)
    most = 16383 if k <= 64 else 8191
    with np.errstate(over="ignore"):
        codes = np.clip(np.rint(a * np.float32(2.0**bits)), -most, most).astype(np.int64)
    sizes = np.concatenate([np.full((1, b.shape[1]), 1e-30, np.float32), np.abs(b)])
    room = np.float32((1 << 31) // most - k // 2 - 16)
    unit = np.maximum(sizes.max(axis=0) / np.float32(32767), np.add.accumulate(sizes)[-1] / room)
    columns = np.rint(b * (np.float32(1) / unit)).astype(np.int64)
    assert (np.abs(columns).sum(axis=0) * most < 1 << 31).all() and np.abs(columns).max(initial=0) < 1 << 15
    sums = (codes @ columns).astype(np.float32)
    scale = np.float32(2.0**-bits) * unit
    added = np.zeros(b.shape[1], np.float32) if bias is None else bias
    return (sums.astype(np.longdouble) * scale + added).astype(np.float32)


CONVOLUTIONS = [
    # image, filter, stride
    ((1, 56, 56, 24), (1, 1, 24, 144), 1),
    ((1, 7, 7, 144), (1, 1, 144, 24), 1),
    ((2, 5, 9, 1), (1, 1, 1, 1), 1),
    ((1, 3, 3, 63), (1, 1, 63, 17), 1),
    ((1, 2, 2, 65), (1, 1, 65, 33), 1),
    ((1, 4, 13, 256), (1, 1, 256, 256), 1),
    ((2, 9, 8, 64), (1, 1, 64, 40), 2),
    ((1, 33, 30, 3), (3, 3, 3, 32), 2),
    ((1, 14, 14, 6), (5, 5, 6, 20), 1),
    ((1, 28, 28, 40), (1, 1, 40, 24), 1),
    ((2, 17, 11, 7), (3, 3, 7, 24), 2),
    ((2, 12, 9, 2), (8, 8, 2, 9), 1),
    ((1, 12, 9, 1), (9, 3, 1, 9), 1),  # of more rows than are read where they lie
    ((1, 4, 4200, 8), (3, 3, 8, 8), 2),  # of too long ones
    ((2, 3, 1, 5), (4, 5, 5, 17), 3),
    ((0, 4, 4, 8), (1, 1, 8, 8), 1),
]  # fmt: skip


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions(case: tuple[Any, ...]) -> None:
    shape, size, stride = case
    image, bias = values(*shape), values(size[3], seed=2)
    held, stored = weight(*size)
    outs = [-(-length // stride) for length in shape[1:3]]
    output = (shape[0], *outs, size[3])
    rows = patches(image, size[:2], stride) if shape[0] else np.zeros((0, held[..., 0].size), np.float32)
    attrs = {"strides": [1, stride, stride, 1], "padding": "SAME", "fraction_bits": 10}
    expected = product(rows, held.reshape(-1, size[3]), 10, bias).reshape(output)
    residual = values(*output, seed=3)
    fused = attrs | {"activation": "Relu6"}
    for isa in SHORT_ISAS:
        for threads in (1, 2, 3):
            (y,) = run_kernel("Conv2D_f32_sf32", [image, stored, bias], attrs, [(np.float32, output)], threads, isa)
            assert_exact(y, expected)
            inputs = [image, stored, bias, residual]
            (y,) = run_kernel("FusedConv2DAdd_f32_sf32", inputs, fused, [(np.float32, output)], threads, isa)
            assert_exact(y, np.clip(expected + residual, 0, 6))
    exact = (rows.astype(np.float64) @ held.reshape(-1, size[3])).reshape(output) + bias
    assert np.abs(expected - exact).max(initial=0) < 2e-3 * np.abs(exact).max(initial=1)


@pytest.mark.parametrize("dilations", [(1, 1), (3, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 3, 0, 2), (5, 4, 6, 3)])
def test_rows_and_columns_apart_and_any_padding(dilations: tuple[int, int], padding: tuple[int, ...]) -> None:
    image, (held, stored) = values(2, 13, 11, 3), weight(3, 3, 3, 20)
    padded = np.pad(image, [(0, 0), padding[:2], padding[2:], (0, 0)])
    heights = padded.shape[1] - 2 * dilations[0]
    widths = -(-(padded.shape[2] - 2 * dilations[1]) // 2)
    parts = [
        padded[:, y * dilations[0] :][:, :heights, x * dilations[1] :][:, :, : 2 * widths : 2]
        for y in range(3) for x in range(3)
    ]  # fmt: skip
    rows = np.concatenate(parts, axis=3).reshape(-1, 27)
    expected = product(rows, held.reshape(-1, 20), 9).reshape(2, heights, widths, 20)
    attrs = {**chains.attributes((1, 2), dilations, padding), "fraction_bits": 9}
    for isa in SHORT_ISAS:
        for threads in (1, 2):
            (y,) = run_kernel("Conv2D_f32_sf32", [image, stored], attrs, [(np.float32, expected.shape)], threads, isa)
            assert_exact(y, expected)


def test_without_a_bias_and_with_an_activation() -> None:
    image, (held, stored) = values(1, 9, 31, 32), weight(1, 1, 32, 48)
    expected = product(image.reshape(-1, 32), held[0, 0], 11).reshape(1, 9, 31, 48).astype(np.float64)
    attrs = {"strides": [1, 1, 1, 1], "padding": "VALID", "fraction_bits": 11, "activation": "Swish"}
    for isa in SHORT_ISAS:
        (y,) = run_kernel("Conv2D_f32_sf32", [image, stored], attrs, [(np.float32, (1, 9, 31, 48))], 2, isa)
        np.testing.assert_allclose(y, expected / (1 + np.exp(-expected)), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("bits", [-60, -3, 0, 25, 60])
def test_activations_beyond_the_steps_are_cut(bits: int) -> None:
    image = values(1, 4, 5, 80) * np.float32(4096.0 * 2.0**-bits)
    image[0, 0, 0, :3] = np.inf, -np.inf, 3e38
    held, stored = weight(1, 1, 80, 20)
    expected = product(image.reshape(-1, 80), held[0, 0], bits).reshape(1, 4, 5, 20)
    assert np.isfinite(expected).all() and (np.abs(image) > 8191 * 2.0**-bits).any()
    attrs = {"strides": [1, 1, 1, 1], "padding": "VALID", "fraction_bits": bits}
    for isa in SHORT_ISAS:
        (y,) = run_kernel("Conv2D_f32_sf32", [image, stored], attrs, [(np.float32, expected.shape)], 1, isa)
        assert_exact(y, expected)


def test_columns_of_any_size() -> None:
    """Zeros, one large weight, all the same, and what hardly is a number."""
    image, (held, _) = values(1, 3, 5, 120), weight(1, 1, 120, 20)
    held = held * np.geomspace(1e-25, 1e25, 20, dtype=np.float32)
    held[..., 0], held[..., 1], held[0, 0, 7, 1], held[..., 2] = 0, 0, 5, -3
    held[..., 3] = 1e-38
    stored = pack_weight("Conv2D", type(make_weight((1,), "wf32", 0, None))(held))
    expected = product(image.reshape(-1, 120), held[0, 0], 10).reshape(1, 3, 5, 20)
    attrs = {"strides": [1, 1, 1, 1], "padding": "VALID", "fraction_bits": 10}
    for isa in SHORT_ISAS:
        (y,) = run_kernel("Conv2D_f32_sf32", [image, stored], attrs, [(np.float32, expected.shape)], 1, isa)
        assert_exact(y, expected)


GROUPED = ((1, 9, 9, 8), (3, 3, 4, 16))
DEEP = ((1, 4, 4, 264), (1, 1, 264, 16))
LARGE = ((1, 4, 4, 256), (1, 1, 256, 272))


@pytest.mark.parametrize("case", [*(c[:2] for c in CONVOLUTIONS[:3]), GROUPED, DEEP, LARGE], ids=str)
def test_float_arithmetic_elsewhere(case: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Where it is no faster, in groups, and of too much depth or too many weights, results are those of floats."""
    shape, size = case
    image, (_, stored) = values(*shape), weight(*size)
    attrs = {"strides": [1, 1, 1, 1], "padding": "SAME"}
    output = [(np.float32, (*shape[:3], size[3]))]
    bias, residual = values(size[3], seed=2), values(*output[0][1], seed=3)
    for isa in ISAS if case in (GROUPED, DEEP, LARGE) else OTHER_ISAS:
        for op, more in (("Conv2D", []), ("FusedConv2DAdd", [bias, residual])):
            inputs = [image, stored, *more]
            (expected,) = run_kernel(f"{op}_f32_wf32", inputs, attrs, output, 1, isa)
            (y,) = run_kernel(f"{op}_f32_sf32", inputs, attrs | {"fraction_bits": 9}, output, 2, isa)
            assert_exact(y, expected)


@pytest.mark.parametrize("bits", [None, -61, 61, 1 << 40])
def test_steps_that_are_none_are_refused(bits: int | None) -> None:
    attrs = {"strides": [1, 1, 1, 1], "padding": "SAME"} | ({} if bits is None else {"fraction_bits": bits})
    with pytest.raises(RuntimeError, match="fraction_bits must be from -60 to 60"):
        run_kernel("Conv2D_f32_sf32", [values(1, 2, 2, 8), weight(1, 1, 8, 8)[1]], attrs, [(np.float32, (1, 2, 2, 8))])


def steps(parts: list[chains.Part], bits: int) -> dict[str, list[int]]:
    """Every second convolution multiplies shorts, the first too."""
    convs = [i for i, part in enumerate(parts) if part.op == 0]
    taken = set(convs[::2])
    return {"shorts": [int(i in taken) for i in range(len(parts))], "fraction_bits": [bits] * len(parts)}


@pytest.mark.parametrize("name", chains.CHAINS)
def test_a_chain_is_its_parts(name: str) -> None:
    shape, parts = chains.CHAINS[name]
    x = chains.image(shape)
    attrs, inputs = chains.chain(parts)
    attrs |= steps(parts, 11)
    made = chains.shapes(shape, parts)
    outputs = [(np.float32, kind) for kind in (made[-1], *made[:-1])]
    for isa in ISAS:
        expected, rest = x, iter(inputs)
        for i, (part, kind) in enumerate(zip(parts, made, strict=True)):
            own = [next(rest) for _ in range(2 if part.bias else 1)]
            single = {**chains.attributes(part.stride, part.dilation, part.padding), "activation": part.activation}
            suffix = "sf32" if attrs["shorts"][i] else "wf32"
            single |= {"fraction_bits": 11} if attrs["shorts"][i] else {}
            (expected,) = run_kernel(
                f"{chains.OPS[part.op]}_f32_{suffix}", [expected, *own], single, [(np.float32, kind)], 1, isa
            )
        for threads in (1, 2, 3, 64):
            result = run_kernel(CHAIN, [x, *inputs], attrs, outputs, threads, isa, unwanted=range(1, len(parts)))
            assert_exact(result[0], expected)


@pytest.mark.parametrize("name", [name for name, (_, parts) in chains.CHAINS.items() if parts[-1].op == 0])
def test_a_chain_that_adds(name: str) -> None:
    shape, parts = chains.CHAINS[name]
    attrs, inputs = chains.chain(parts)
    attrs |= {"shorts": [int(part.op == 0) for part in parts], "fraction_bits": [10] * len(parts)}
    for isa in ISAS:
        chains.check_adding(CHAIN, shape, parts, attrs, inputs, isa)


@pytest.mark.parametrize(
    ("name", "value"),
    [("shorts", []), ("shorts", [1, 0]), ("shorts", [0, 1, 0]), ("fraction_bits", []), ("fraction_bits", [61, 0, 0])],
)
def test_a_chain_refuses_steps_that_do_not_fit(name: str, value: list[int]) -> None:
    shape, parts = chains.CHAINS["expand, depthwise, project"]
    attrs, inputs = chains.chain(parts)
    attrs |= {"shorts": [1, 0, 1], "fraction_bits": [8, 0, 8], name: value}
    made = chains.shapes(shape, parts)
    outputs = [(np.float32, kind) for kind in (made[-1], *made[:-1])]
    with pytest.raises(RuntimeError, match=CHAIN):
        run_kernel(CHAIN, [chains.image(shape), *inputs], attrs, outputs, unwanted=(1, 2))


def test_every_kernel_was_tested() -> None:
    assert [key for key in untested("nn", ["conv_2d.cc", "conv_chain.cc"]) if key.endswith("_sf32")] == []
