"""Ops that change nothing go; what looks like them but does change something stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_graphs import ROUNDING, check, ops, trace
from wherry.passes.simplify import simplify


def cases() -> dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...], list[str]]]:
    return {
        "reshape to the same": (lambda tf, x: tf.reshape(x, [3, 4]), (3, 4), []),
        "reshape of reshape": (lambda tf, x: tf.reshape(tf.reshape(x, [12]), [2, 6]), (3, 4), ["Reshape"]),
        "reshape there and back": (lambda tf, x: tf.reshape(tf.reshape(x, [12]), [3, 4]), (3, 4), []),
        "expand and squeeze": (lambda tf, x: tf.expand_dims(tf.squeeze(x, 0), 1), (1, 4), ["Reshape"]),
        "transpose of nothing": (lambda tf, x: tf.transpose(x, [0, 1]), (3, 4), []),
        "transpose of ones": (lambda tf, x: tf.transpose(x, [1, 0, 2]), (1, 3, 4), ["Reshape"]),
        "real transpose": (lambda tf, x: tf.transpose(x, [1, 0, 2]), (2, 3, 4), ["Transpose"]),
        "pad by nothing": (lambda tf, x: tf.pad(x, [[0, 0], [0, 0]]), (3, 4), []),
        "real pad": (lambda tf, x: tf.pad(x, [[0, 1], [0, 0]]), (3, 4), ["Pad"]),
        "tile once": (lambda tf, x: tf.tile(x, [1, 1]), (3, 4), []),
        "slice of all": (lambda tf, x: x[:, 0:4], (3, 4), []),
        "reverse slice": (lambda tf, x: x[:, ::-1], (3, 4), ["StridedSlice"]),
        "times one": (lambda tf, x: x * np.ones(4, np.float32), (3, 4), []),
        "times one that broadcasts": (lambda tf, x: x * np.ones((3, 4), np.float32), (1, 4), ["Mul"]),
        "plus zero": (lambda tf, x: 0.0 + x, (3, 4), []),
        "minus zero": (lambda tf, x: x - 0.0, (3, 4), []),
        "zero minus": (lambda tf, x: 0.0 - x, (3, 4), ["Sub"]),
        "over one": (lambda tf, x: x / 1.0, (3, 4), []),
        "over three": (lambda tf, x: x / 3.0, (3, 4), ["Mul"]),
        "over zero": (lambda tf, x: tf.minimum(x / 1e-45, 5.0), (3, 4), ["Minimum", "RealDiv"]),
        "select of all": (lambda tf, x: tf.where(np.ones(4, bool), x, -x), (3, 4), []),
        "select of some": (lambda tf, x: tf.where(np.eye(4)[0] > 0, x, -x), (3, 4), ["Neg", "SelectV2"]),
        "broadcast to the same": (lambda tf, x: tf.broadcast_to(x, [3, 4]), (3, 4), []),
    }


@pytest.mark.parametrize("name", cases())
def test_simplify(name: str) -> None:
    import tensorflow as tf

    build, shape, expected = cases()[name]
    graph = trace(lambda x: tf.exp(build(tf, tf.sin(x))), shape)
    before = len(graph.nodes)
    check(graph, simplify, tolerance=ROUNDING if name == "over three" else 0.0)
    assert ops(graph) == sorted(["Exp", "Sin", *expected])
    assert len(graph.nodes) <= before
    assert simplify(graph) == 0


def test_a_reshape_of_known_result_takes_a_constant_shape() -> None:
    import tensorflow as tf

    graph = trace(lambda x, like: tf.exp(tf.reshape(x, tf.shape(like))), (3, 4), (2, 6))
    check(graph, simplify)
    assert ops(graph) == ["Exp", "Reshape"]


def test_an_input_is_not_an_output() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.reshape(x, [3, 4]), (3, 4))
    check(graph, simplify)
    assert graph.nodes[graph.outputs["y0"].node].op != "Placeholder"


def test_unknown_sizes_are_left_alone() -> None:
    import tensorflow as tf

    graph = trace(lambda x: tf.exp(tf.reshape(tf.reshape(x, [-1]), [-1, 4])), (None, 4))
    check(graph, simplify)
    assert ops(graph) == ["Exp", "Reshape"]
