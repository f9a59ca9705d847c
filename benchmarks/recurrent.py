"""Time of one step of an LSTM at batch 1, and what it multiplies of weights in that time.

    python -m benchmarks.recurrent [--units 512] [--threads 1 2] [--formats wf32 wf28 wf16 di8]

A step's time is the median over runs of 100 steps less that over runs of 20, so the first steps, which fetch the
weights from further away, are not in it. The input is 16 wide, so its product is not either.
"""

from __future__ import annotations

import argparse

import numpy as np
from wherry.graph import ArrayValue
from wherry.pack.weights import pack_recurrent, pack_weight
from wherry.runtime.single_kernel import time_kernel

from benchmarks.gemm import weight

INPUTS = 16
BYTES = {"wf32": 4, "wf28": 4, "wf16": 2, "wi8": 1, "di8": 1}


def step_seconds(units: int, suffix: str, threads: int) -> float:
    value = weight((INPUTS + units, 4 * units), suffix.replace("di8", "wi8").replace("wf28", "wf32"), 1)
    if isinstance(value, ArrayValue):  # as large as a layer's are: it matters to weights of 28 bits
        value = ArrayValue(value.array * np.float32(0.05))
    stored = pack_recurrent(value) if suffix in ("wf28", "di8") else pack_weight("MatMul", value)
    state, none = np.ones((1, units), np.float32), np.zeros(units, np.float32)

    def seconds(steps: int) -> float:
        x = np.random.default_rng(0).standard_normal((steps, 1, INPUTS), np.float32)
        inputs = [np.array(steps), x, state, state, stored, none, none, none, np.zeros(4 * units, np.float32)]
        outputs = [(np.float32, (steps, 1, units))] * 7
        return float(np.median(time_kernel(f"BlockLSTMV2_f32_{suffix}", inputs, {}, outputs, threads, repeats=60)))

    return (seconds(100) - seconds(20)) / 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--formats", nargs="+", default=["wf32", "wf28", "wf16", "di8"], choices=BYTES)
    arguments = parser.parse_args()
    for suffix in arguments.formats:
        for threads in arguments.threads:
            seconds = step_seconds(arguments.units, suffix, threads)
            read = 4 * arguments.units**2 * BYTES[suffix]
            rate = read / seconds * 1e-9
            print(f"{suffix:<5} {threads} threads: {seconds * 1e6:6.1f} µs a step, {rate:4.0f} GB/s of weights")


if __name__ == "__main__":
    main()
