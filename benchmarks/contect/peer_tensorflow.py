"""TensorFlow on Contect: loads the SavedModel and runs its signature. Its outputs are the reference for all
others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchmarks import common
from benchmarks.contect import outputs


def run(runs: int = 5) -> dict[str, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(outputs.THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(outputs.THREADS)
    tf.config.list_logical_devices()  # the eager runtime's own memory belongs to the start, not to the model

    def load() -> outputs.Run:
        signature = tf.saved_model.load(str(outputs.SAVED_MODEL)).signatures["serving_default"]

        def infer(spectrogram: outputs.Array) -> Mapping[str, outputs.Array]:
            return {
                name: value.numpy() for name, value in signature(spectrogram=tf.constant(spectrogram)).items()
            }

        return infer

    files = [path for path in outputs.SAVED_MODEL.rglob("*") if path.is_file()]
    return {
        **outputs.measure(load, "tensorflow", runs),
        "file_bytes": sum(path.stat().st_size for path in files),
    }


if __name__ == "__main__":
    common.case_main({"run": run})
