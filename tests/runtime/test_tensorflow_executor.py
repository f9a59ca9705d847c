"""TensorFlowExecutor: the same partitions, run the paper's way, give the same answer as the whole graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import support
import wherry
from wherry.errors import UsageError
from wherry.runtime.tensorflow_partitions import TensorFlowPartitions
from wherry.runtime.tensorflow_runner import run_graph


@pytest.mark.parametrize("quantize", [None, "int8-weights"])
def test_partitions_do_not_change_the_answer(tmp_path: Path, quantize: str | None) -> None:
    answers = []
    for partitions in (1, 3, 11):
        with wherry.TensorFlowExecutor(support.graph(), partitions=partitions, quantize=quantize) as executor:
            answers.append(executor.run(support.inputs()))
            assert executor.stats.partitions == partitions
            assert executor.stats.runs == 1
            assert executor.stats.load_seconds > 0
            assert executor.stats.file_bytes > 0
            with wherry.Executor(support.pack(tmp_path)) as native:
                assert dict(executor.inputs) == native.inputs
                assert dict(executor.outputs) == native.outputs
    for answer in answers[1:]:
        for name, array in answers[0].items():
            np.testing.assert_array_equal(answer[name], array)
    if quantize is None:
        for name, array in run_graph(support.graph(), support.inputs()).items():
            np.testing.assert_array_equal(answers[0][name], array)
    native = support.run(support.pack(tmp_path, quantize=quantize, partitions=11))
    for name, array in answers[0].items():
        assert np.abs(native[name] - array).max() <= 1e-5 * np.abs(array).max()


def test_graphs_are_kept_where_asked(tmp_path: Path) -> None:
    with wherry.TensorFlowExecutor(support.graph(), partitions=2, folder=tmp_path / "parts") as executor:
        expected = executor.run(support.inputs())
    parts = [path.name for path in sorted((tmp_path / "parts").glob("*.pb"))]
    assert parts == ["partition_000.pb", "partition_001.pb"]
    again = TensorFlowPartitions(tmp_path / "parts")
    assert (again.inputs, again.outputs) == (executor.inputs, executor.outputs)
    assert support.same_bits(again.run(support.inputs()), expected)


def test_wrong_inputs() -> None:
    with wherry.TensorFlowExecutor(support.graph(), partitions=2) as executor:
        with pytest.raises(UsageError, match=r"'words' .* is missing"):
            executor.run({"image": support.inputs()["image"]})
        with pytest.raises(UsageError, match="'image' is float64"):
            executor.run({**support.inputs(), "image": np.zeros((1, 16, 16, 3))})
        with pytest.raises(UsageError, match="no input 'z'"):
            executor.run({**support.inputs(), "z": np.zeros(1)})
