"""Speed of matrix products and convolutions: GMAC/s for the shapes of ResNet-50 on 128 x 128 images and a few others.

    python benchmarks/gemm.py [--threads 1 2] [--isa 0 1 2] [--formats wf32 wi8]

Each figure is the best of several runs. The last lines weight the convolutions by how often ResNet-50 has them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from wherry.graph import DType, TensorType
from wherry.graph.values import ArrayValue, QuantizedValue, Value
from wherry.pack.weights import pack_weight
from wherry.runtime.single_kernel import isas, time_kernel


@dataclass(frozen=True)
class Conv:
    """A square convolution; count: how often ResNet-50 has it, 0 for the others."""

    size: int
    inputs: int
    taps: int
    outputs: int
    stride: int
    count: int
    depthwise: bool = False

    @property
    def macs(self) -> int:
        pixels = (-(-self.size // self.stride)) ** 2
        return pixels * self.taps**2 * self.outputs * (1 if self.depthwise else self.inputs)

    def __str__(self) -> str:
        kind = "depthwise" if self.depthwise else "conv"
        return f"{kind} {self.taps}x{self.taps}/{self.stride} {self.size}x{self.size} {self.inputs}->{self.outputs}"


RESNET = [
    Conv(128, 3, 7, 64, 2, 1),
    Conv(32, 64, 1, 64, 1, 1), Conv(32, 64, 3, 64, 1, 3), Conv(32, 64, 1, 256, 1, 4), Conv(32, 256, 1, 64, 1, 2),
    Conv(32, 256, 1, 128, 2, 1), Conv(32, 256, 1, 512, 2, 1), Conv(16, 128, 3, 128, 1, 4),
    Conv(16, 128, 1, 512, 1, 4), Conv(16, 512, 1, 128, 1, 3),
    Conv(16, 512, 1, 256, 2, 1), Conv(16, 512, 1, 1024, 2, 1), Conv(8, 256, 3, 256, 1, 6),
    Conv(8, 256, 1, 1024, 1, 6), Conv(8, 1024, 1, 256, 1, 5),
    Conv(8, 1024, 1, 512, 2, 1), Conv(8, 1024, 1, 2048, 2, 1), Conv(4, 512, 3, 512, 1, 3),
    Conv(4, 512, 1, 2048, 1, 3), Conv(4, 2048, 1, 512, 1, 2),
]  # fmt: skip
OTHERS = [
    Conv(112, 32, 3, 32, 1, 0, True), Conv(112, 64, 3, 64, 2, 0, True), Conv(28, 192, 3, 192, 1, 0, True),
    Conv(14, 480, 5, 480, 1, 0, True), Conv(112, 16, 1, 96, 1, 0), Conv(56, 144, 1, 24, 1, 0),
]  # fmt: skip
REDUCED = {"half_limit": 65504.0, "fraction_bits": 10}  # of kernels with hf16 and sf32; others do not look at them
IN_FLOATS = {"hf16": "wf16", "sf32": "wf32"}  # where there is no such kernel
MATRICES = [(1, 2048, 1000), (1, 1024, 4096), (8, 1024, 4096), (128, 768, 3072)]


def weight(shape: tuple[int, ...], suffix: str, axis: int) -> Value:
    generator = np.random.default_rng(0)
    if suffix in ("wf32", "sf32"):
        return ArrayValue(generator.standard_normal(shape, np.float32))
    kind = TensorType(DType.FLOAT, shape)
    scale = np.full(shape[axis], 0.01, np.float32)
    if suffix in ("wf16", "hf16"):
        return QuantizedValue(
            kind, generator.random(shape, np.float32).astype(np.float16), scale, None, axis, "float16", 16
        )
    if suffix == "wi8":
        return QuantizedValue(kind, generator.integers(-127, 128, shape, np.int8), scale, None, axis, "int8", 8)
    bits = int(suffix.removeprefix("wmm") or 8)
    codes = generator.integers(0, 1 << bits, shape).astype(np.uint8 if bits <= 8 else np.uint16)
    return QuantizedValue(kind, codes, scale, -scale, axis, "minmax", bits)


def best(key: str, inputs: list, attrs: dict, shape: tuple[int, ...], threads: int, isa: int, macs: int) -> float:
    repeats = max(5, min(200, 400_000_000 // macs))
    return min(time_kernel(key, inputs, attrs, [(np.float32, shape)], threads, isa, repeats))


def time_conv(conv: Conv, suffix: str, threads: int, isa: int) -> float:
    x = np.random.default_rng(1).standard_normal((1, conv.size, conv.size, conv.inputs), np.float32)
    attrs = {"strides": [1, conv.stride, conv.stride, 1], "padding": "SAME", "activation": "Relu", **REDUCED}
    out = -(-conv.size // conv.stride)
    op = "DepthwiseConv2dNative" if conv.depthwise else "Conv2D"
    shape = (conv.taps, conv.taps, conv.inputs, 1 if conv.depthwise else conv.outputs)
    stored = pack_weight(op, weight(shape, suffix, 2 if conv.depthwise else 3))
    inputs = [x, stored, np.zeros(conv.outputs, np.float32)]
    key = f"{op}_f32_{IN_FLOATS.get(suffix, key_suffix(suffix)) if conv.depthwise else key_suffix(suffix)}"
    return best(key, inputs, attrs, (1, out, out, conv.outputs), threads, isa, conv.macs)


def time_matrix(m: int, k: int, n: int, suffix: str, threads: int, isa: int) -> float:
    a = np.random.default_rng(1).standard_normal((m, k), np.float32)
    stored = pack_weight("MatMul", weight((k, n), suffix, 1))
    key = f"MatMul_f32_{'wf32' if suffix == 'sf32' else key_suffix(suffix)}"
    return best(key, [a, stored], REDUCED, (m, n), threads, isa, m * k * n)


def key_suffix(suffix: str) -> str:
    return "wmm" if suffix.startswith("wmm") else suffix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--isa", type=int, nargs="+", default=[max(isas().values())])
    parser.add_argument("--formats", nargs="+", default=["wf32", "wi8"], help="wf32 sf32 wf16 hf16 wi8 wmm2 ... wmm16")
    arguments = parser.parse_args()
    columns = [(i, f, t) for i in arguments.isa for f in arguments.formats for t in arguments.threads]
    print(f"{'GMAC/s':<32}" + "".join(f"{f'isa{i} {f} {t}t':>14}" for i, f, t in columns))
    totals = dict.fromkeys(columns, 0.0)
    for conv in RESNET + OTHERS:
        line = f"{conv!s:<32}"
        for isa, suffix, threads in columns:
            seconds = time_conv(conv, suffix, threads, isa)
            totals[isa, suffix, threads] += seconds * conv.count
            line += f"{conv.macs / seconds * 1e-9:>14.1f}"
        print(line, flush=True)
    for m, k, n in MATRICES:
        line = f"{f'matrix {m} x {k} x {n}':<32}"
        for isa, suffix, threads in columns:
            line += f"{m * k * n / time_matrix(m, k, n, suffix, threads, isa) * 1e-9:>14.1f}"
        print(line, flush=True)
    macs = sum(conv.macs * conv.count for conv in RESNET)
    print(f"{'ResNet-50 at 128 x 128':<32}" + "".join(f"{macs / totals[c] * 1e-9:>14.1f}" for c in columns))
    print(f"{'its convolutions, ms':<32}" + "".join(f"{totals[c] * 1e3:>14.2f}" for c in columns))


if __name__ == "__main__":
    main()
