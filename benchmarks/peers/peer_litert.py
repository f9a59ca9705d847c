"""LiteRT with its default CPU path, XNNPACK. Cases: `convert` (with TensorFlow's converter) and `run`."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.cases import Run, Unsupported, convert_main, measure, path_of
from benchmarks.peers.networks import NETWORKS, Array, Network


def model_path(network: Network, kind: str) -> Path:
    return path_of(network, "litert", kind, ".tflite")


# Whose LSTM layers become LiteRT's LSTM operation. Contect's, of 16 steps, are faster as the loops that the converter
# makes of them, and six times as accurate in 8 bits.
_FUSED = ("lstm",)


def _source(network: Network) -> Path:
    """A SavedModel of batch one, its LSTM layers marked if they are to be fused."""
    from benchmarks.peers import export
    from benchmarks.peers.fused_lstm import LiteRTLSTM, replace_lstms

    folder = network.folder / "litert_source"
    shutil.rmtree(folder, ignore_errors=True)
    model = export.keras_model(network)
    export.save(replace_lstms(model, LiteRTLSTM) if network.name in _FUSED else model, network, folder)
    return folder


def convert(network: str, kind: str) -> dict[str, Any]:
    """static: with float input and output; what has no 8-bit kernel stays float."""
    import keras
    import tensorflow as tf

    chosen = NETWORKS[network]
    source = _source(chosen)
    keras.backend.clear_session()  # converting Contect takes 10 GB as it is
    gc.collect()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(source))
    converter._experimental_default_to_single_batch_in_tensor_list_ops = True  # else loops keep TensorFlow's lists
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "static":

        def samples() -> Iterator[list[Array]]:
            yield from ([x] for x in chosen.calibration())

        converter.representative_dataset = samples
    try:
        content: bytes = converter.convert()
    except Exception as error:
        if kind != "static":
            raise
        raise Unsupported(f"its converter stops: {str(error).strip().splitlines()[-1]}") from error
    finally:
        shutil.rmtree(source)
    path = model_path(chosen, kind)
    path.write_bytes(content)
    return {"file_bytes": path.stat().st_size}


def run(network: str, kind: str, threads: int, seconds: float) -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter

    chosen = NETWORKS[network]

    def load() -> Run:
        interpreter = Interpreter(model_path=str(model_path(chosen, kind)), num_threads=threads)
        interpreter.allocate_tensors()
        (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

        def infer(x: Array) -> Array:
            interpreter.reset_all_variables()  # its LSTM operation keeps its state from one call to the next
            interpreter.set_tensor(source["index"], x)
            interpreter.invoke()
            y: Array = interpreter.get_tensor(result["index"])
            return y

        return infer

    return measure(chosen, load, seconds)


if __name__ == "__main__":
    convert_main(convert, run)
