"""From a graph to steps: aliases cost nothing, outputs have a place, and what no kernel serves is named in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wherry
from wherry.errors import MissingKernelError
from wherry.graph import DType, Graph
from wherry.plan.lower import lower

_X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5


def _graph(function: Any, *specs: tf.TensorSpec) -> Graph:
    from wherry.compiler import optimised

    return optimised(tf.function(function).get_concrete_function(*specs))


def _one_input(function: Any) -> Graph:
    return _graph(function, tf.TensorSpec([3, 4], tf.float32, "x"))


def _run(graph: Graph, folder: Path) -> dict[str, np.ndarray]:
    wherry.compile(graph, folder / "m.wherry")
    with wherry.Executor(folder / "m.wherry") as executor:
        return executor.run({"x": _X})


def test_views_are_no_steps(tmp_path: Path) -> None:
    graph = _one_input(lambda x: {"y": tf.squeeze(tf.expand_dims(tf.reshape(tf.nn.relu(x), [2, 6]), 0), 0)})
    assert [step.op for step in lower(graph).steps] == ["Relu"]
    np.testing.assert_array_equal(_run(graph, tmp_path)["y"], np.maximum(_X, 0).reshape(2, 6))


def test_outputs_that_are_inputs_or_constants_are_copied(tmp_path: Path) -> None:
    constant = np.array([[3, 1], [4, 1]], np.int32)
    graph = _one_input(
        lambda x: {
            "same": tf.identity(x), "view": tf.reshape(x, [12]), "fixed": tf.constant(constant), "twice": x * 2.0,
        }
    )
    outputs = _run(graph, tmp_path)
    np.testing.assert_array_equal(outputs["same"], _X)
    np.testing.assert_array_equal(outputs["view"], _X.reshape(12))
    np.testing.assert_array_equal(outputs["fixed"], constant)
    np.testing.assert_array_equal(outputs["twice"], _X * 2)


def test_one_tensor_may_be_two_outputs(tmp_path: Path) -> None:
    graph = _one_input(lambda x: (lambda y: {"a": y, "b": tf.reshape(y, [4, 3]), "c": tf.nn.relu(y)})(x + 1.0))
    outputs = _run(graph, tmp_path)
    np.testing.assert_array_equal(outputs["a"], _X + 1)
    np.testing.assert_array_equal(outputs["b"], (_X + 1).reshape(4, 3))
    np.testing.assert_array_equal(outputs["c"], np.maximum(_X + 1, 0))


def test_a_program_keeps_its_inputs(tmp_path: Path) -> None:
    """In-place work must not touch the caller's array."""
    graph = _one_input(lambda x: {"y": tf.nn.relu(x)})
    wherry.compile(graph, tmp_path / "m.wherry")
    given = _X.copy()
    with wherry.Executor(tmp_path / "m.wherry") as executor:
        executor.run({"x": given})
    np.testing.assert_array_equal(given, _X)


def test_constants_used_twice_are_stored_once() -> None:
    shared = tf.constant(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32))
    program = lower(_one_input(lambda x: {"y": tf.matmul(tf.nn.relu(tf.matmul(x, shared)), shared)}))
    weights = {id(t.weight) for s in program.steps for t in s.inputs if t.weight is not None and t.shape == (4, 4)}
    assert len(weights) == 1


def test_every_missing_kernel_is_named() -> None:
    graph = _one_input(
        lambda x: {
            "a": tf.linalg.cholesky(tf.matmul(x, x, transpose_b=True), name="first"),
            "b": tf.math.lgamma(x, name="second"),
            "c": tf.nn.relu(x),
        }
    )
    with pytest.raises(MissingKernelError) as caught:
        lower(graph)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    for line, op, node in zip(sorted(lines), ("Cholesky", "Lgamma"), ("first", "second"), strict=True):
        assert graph.name in line
        assert f"{node}'" in line
        assert f"{op}(f32) -> (f32)" in line


@pytest.mark.parametrize(
    ("name", "function", "types"),
    [
        ("float64 sum, whose axis is int32", lambda x: tf.reduce_sum(tf.cast(x, tf.float64), 1), "Sum(f64, i32)"),
        ("float64 comparison", lambda x: tf.cast(x, tf.float64) == 1.0, "Equal(f64, f64)"),
        ("complex data movement", lambda x: tf.transpose(tf.complex(x, x)), "Transpose(complex64, i32)"),
        ("text", lambda x: tf.strings.length(tf.as_string(x)), "AsString(f32) -> (string)"),
    ],
)
def test_kernels_for_other_types_do_not_serve(name: str, function: Any, types: str) -> None:
    """`name` says what is tempting: a kernel whose suffix matches another input, the output, or the width."""
    with pytest.raises(MissingKernelError) as caught:
        lower(_one_input(lambda x: {"y": function(x)}))
    assert types in str(caught.value)


def test_an_input_of_text_is_named() -> None:
    graph = _graph(lambda s: {"n": tf.strings.length(s)}, tf.TensorSpec([2], tf.string, "s"))
    with pytest.raises(MissingKernelError) as caught:
        lower(graph)
    assert "of type string" in str(caught.value)
    assert "StringLength" in str(caught.value)


def test_what_a_kernel_refuses_is_said_before_there_is_a_pack(tmp_path: Path) -> None:
    def channels_first(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.raw_ops.DepthToSpace(input=tf.reshape(x, [1, 4, 3, 1]), block_size=2, data_format="NCHW")}

    with pytest.raises(MissingKernelError, match=r"DepthToSpace.*data_format"):
        wherry.compile(_one_input(channels_first), tmp_path / "m.wherry")
    assert not list(tmp_path.iterdir())


def test_types_of_a_program_are_those_of_the_graph() -> None:
    program = lower(_one_input(lambda x: {"i": tf.argmax(x, 1), "b": x > 0.0}))
    assert program.outputs["i"].dtype is DType.INT64
    assert program.outputs["b"].dtype is DType.BOOL
    assert program.outputs["b"].shape == (3, 4)
