"""A SavedModel beyond the 2 GB of one protobuf loads, is read tensor by tensor and runs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from wherry.errors import WherryError
from wherry.frontend import load
from wherry.graph.convert import to_graphdef
from wherry.runtime.tensorflow_runner import run_graph


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_saved_model_beyond_two_gigabytes(tmp_path):
    module = tf.Module()
    module.weights = [tf.Variable(tf.random.stateless_normal((8192, 8192), [9, i], stddev=0.01)) for i in range(9)]

    def chain(x):
        for w in module.weights:
            x = tf.tanh(tf.matmul(x, w))
        return x

    function = tf.function(chain).get_concrete_function(tf.TensorSpec((None, 8192), name="x"))
    x = np.random.default_rng(9).normal(size=(1, 8192)).astype(np.float32)
    y = function(tf.constant(x)).numpy()
    tf.saved_model.save(module, tmp_path / "model", function)
    module.weights = []
    del function, chain

    script = (
        "import sys; from wherry.frontend import load; graph = load(sys.argv[1]); "
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "model"], check=True, capture_output=True, text=True
    ).stdout
    assert int(printed) < 1 << 20  # KiB, TensorFlow's own half a gigabyte included: no weight was read

    graph = load(tmp_path / "model")
    weights = [node.value for node in graph.nodes.values() if node.value is not None and node.value.nbytes > 1 << 20]
    assert sum(value.nbytes for value in weights) > 2 << 30
    with pytest.raises(WherryError, match="to_graphdef_and_feeds"):
        to_graphdef(graph)
    np.testing.assert_allclose(run_graph(graph, {"x": x})["output_0"], y, atol=1e-6)
