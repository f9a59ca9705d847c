"""Runs kernels for the parity tests and remembers which, so that a module can prove that it left none out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from wherry.runtime import single_kernel
from wherry.runtime.single_kernel import StoredWeight

KERNELS = Path(__file__).resolve().parents[2] / "cpp" / "kernels"
_LINE = re.compile(r'WHERRY_KERNEL\((\w+), "[^"]*", "[^"]*", "([^"]+)"\)')
# Kernels that get by with less scratch memory when told to: what they say must not change by a bit.
_THRIFTY = re.compile(
    r"(Fused)?Conv2D\w*|ConvChain\w*|QLinearConv2d\w*|MatMul_f32_di8|BlockLSTM\w*|LSTMBlockCell\w*|GRUSequence\w*"
)
_exercised: set[str] = set()

# Instruction sets of this CPU: all, and those that differ in floating-point arithmetic.
ISAS = tuple(single_kernel.isas().values())
FLOAT_ISAS = tuple(number for name, number in single_kernel.isas().items() if name in ("portable", "AVX2", "AVX-512"))
# Those that differ in an LSTM's float32 products: AMX makes them from products of bfloat16.
LSTM_ISAS = FLOAT_ISAS + tuple(number for name, number in single_kernel.isas().items() if name == "AMX")
# Those that multiply halves.
HALF_ISAS = single_kernel.half_isas()


def run_kernel(
    key: str,
    inputs: Sequence[np.ndarray | StoredWeight],
    attrs: Mapping[str, Any],
    outputs: Sequence[tuple[Any, tuple[int, ...]]],
    threads: int = 1,
    isa: int | None = None,
    unwanted: Collection[int] = (),
) -> list[np.ndarray]:
    """As wherry.runtime.single_kernel.run_kernel; a run that succeeds counts as exercised."""
    results = single_kernel.run_kernel(key, inputs, attrs, outputs, threads, isa, unwanted)
    if _THRIFTY.fullmatch(key):
        less = single_kernel.run_kernel(key, inputs, attrs, outputs, threads, isa, unwanted, thrifty=True)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(results, less, strict=True)), f"{key} in little memory"
    _exercised.add(key)
    return results


def untested(folder: str, files: Collection[str] | None = None) -> list[str]:
    """Keys of cpp/kernels/<folder>/kernels.def, of these files or of all, that have not run in this process.

    Call it in a module's last test. That test needs the whole module to run in one process (pytest-xdist:
    --dist loadfile).
    """
    lines = _LINE.findall((KERNELS / folder / "kernels.def").read_text())
    return [key for key, file in lines if (files is None or file in files) and key not in _exercised]
