"""Several spellings of an op become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_graphs import ROUNDING, check, ops, trace, weights
from wherry.passes.canonicalise import canonicalise

CASES: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...], list[str]]] = {
    "Add": (lambda r, x: r.Add(x=x, y=x), (3, 4), ["AddV2"]),
    "AddN": (lambda r, x: r.AddN(inputs=[x, x]), (3, 4), ["AddV2"]),
    "AddN of three": (lambda r, x: r.AddN(inputs=[x, x, x]), (3, 4), ["AddN"]),
    "Div": (lambda r, x: r.Div(x=x, y=x), (3, 4), ["RealDiv"]),
    "Concat": (lambda r, x: r.Concat(concat_dim=1, values=[x, x]), (3, 4), ["ConcatV2"]),
    "Gather": (lambda r, x: r.Gather(params=x, indices=[2, 0]), (3, 4), ["GatherV2"]),
    "BatchMatMul": (lambda r, x: r.BatchMatMul(x=x, y=x, adj_y=True), (2, 3, 4), ["BatchMatMulV2"]),
    "BatchMatMul by a matrix": (
        lambda r, x: r.BatchMatMulV2(x=x, y=weights(4, 5)), (2, 3, 4), ["MatMul", "Reshape", "Reshape"]),
    "BatchMatMul by a transposed matrix": (
        lambda r, x: r.BatchMatMulV3(x=x, y=weights(5, 4), adj_y=True, Tout=np.float32), (2, 3, 4),
        ["MatMul", "Reshape", "Reshape"]),
    "MaxPoolV2": (
        lambda r, x: r.MaxPoolV2(input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME"), (1, 5, 5, 2),
        ["MaxPool"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_canonicalise(name: str) -> None:
    import tensorflow as tf

    build, shape, expected = CASES[name]
    graph = trace(lambda x: build(tf.raw_ops, x), shape)
    check(graph, canonicalise, tolerance=ROUNDING)
    assert ops(graph) == expected
