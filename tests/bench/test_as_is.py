"""TensorFlow's own way with a model, of every format, gives what the loaded graph gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import support
import wherry
from wherry.bench.as_is import open_as_is
from wherry.graph.convert import to_graphdef
from wherry.runtime.tensorflow_runner import run_graph


def _saved(form: str, folder: Path) -> Path:
    path = folder / f"model{form}"
    if form == ".pb":
        path.write_bytes(to_graphdef(wherry.load(support.network())).SerializeToString())
    elif form == "":
        support.network().export(path, verbose=False)
    else:
        support.network().save(path)
    return path


@pytest.mark.parametrize("form", [".keras", ".h5", ".pb", ""])
def test_as_is(form: str, tmp_path: Path) -> None:
    path = _saved(form, tmp_path)
    graph = wherry.load(path)
    inputs = support.inputs()
    results = open_as_is(path, None, list(graph.outputs), 1)(inputs)
    expected = run_graph(graph, inputs).values()
    assert sorted(array.shape for array in results) == [(1, 10), (1, 32)]
    for array in expected:
        (same,) = [result for result in results if result.shape == array.shape]
        np.testing.assert_allclose(same, array, rtol=1e-4, atol=1e-5)
