"""After every pass, the speech example and Contect too are GraphDefs that stock TensorFlow runs to the same answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_graphs import MODEL, error
from wherry.frontend import load
from wherry.graph import Graph
from wherry.passes import Pass, optimise
from wherry.runtime.tensorflow_runner import run_graph

ROOT = Path(__file__).resolve().parents[2]


def check(saved_model: Path, inputs: dict[str, np.ndarray]) -> list[str]:
    """Names of the passes that were judged. The reference is TensorFlow's own loader."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    want = {name: value.numpy() for name, value in serve(**{k: tf.constant(v) for k, v in inputs.items()}).items()}
    del serve
    graph = load(saved_model)
    assert set(graph.outputs) == set(want)
    judged = []

    def judge(step: Pass, current: Graph) -> None:
        got = run_graph(current, inputs)
        for name, value in want.items():
            assert error(value, got[name]) < MODEL, f"{name} after {step.name}"
        judged.append(step.name)

    optimise(graph, on_pass=judge)
    return judged


def test_speech() -> None:
    generator = np.random.default_rng(5)
    inputs = {"spectrogram": generator.uniform(-1, 1, (1, 128, 48, 1)).astype(np.float32)}
    assert "fuse_recurrent" in check(ROOT / "examples" / "speech" / "saved_model", inputs)


@pytest.mark.slow
def test_contect() -> None:
    from benchmarks.contect.model import ensure
    from benchmarks.contect.outputs import SAVED_MODEL, load_inputs

    ensure()
    assert "fuse_recurrent" in check(SAVED_MODEL, {"spectrogram": load_inputs()[0]})
