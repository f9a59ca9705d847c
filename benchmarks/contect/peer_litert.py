"""LiteRT on Contect. Cases: `convert` (SavedModel to .tflite, 8-bit weights) and `run`.

`convert` imports tensorflow, `run` only ai-edge-litert: each case imports what it needs itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.contect import outputs

MODEL = outputs.FOLDER / "contect.tflite"


def convert() -> dict[str, Any]:
    """Dynamic-range quantization, LiteRT's own default: 8-bit weights, float activations. Batch fixed to 1.

    The SavedModel's batch is open, so are the element shapes of the LSTMs' tensor lists, and those the
    converter does not derive from the fixed input. Its single-batch switch closes them, and no op of
    TensorFlow is left.
    """
    import tensorflow as tf

    def work() -> bytes:
        loaded = tf.saved_model.load(str(outputs.SAVED_MODEL))
        signature = loaded.signatures["serving_default"]
        shape = outputs.load_inputs()[0].shape

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="spectrogram")])
        def batch_of_one(spectrogram: Any) -> Any:
            return signature(spectrogram=spectrogram)

        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [batch_of_one.get_concrete_function()], loaded
        )
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter._experimental_default_to_single_batch_in_tensor_list_ops = True
        content: bytes = converter.convert()
        return content

    content, seconds = common.timed(work)
    MODEL.write_bytes(content)
    return {"convert_seconds": seconds, "file_bytes": MODEL.stat().st_size}


def run(runs: int = 5, model: str = str(MODEL)) -> dict[str, Any]:
    """Loads the .tflite from its file and runs it with LiteRT's default CPU path (XNNPACK)."""
    from ai_edge_litert.interpreter import Interpreter

    def load() -> outputs.Run:
        interpreter = Interpreter(model_path=model, num_threads=outputs.THREADS)
        interpreter.allocate_tensors()
        signature = interpreter.get_signature_runner()

        def infer(spectrogram: outputs.Array) -> Mapping[str, outputs.Array]:
            result: Mapping[str, outputs.Array] = signature(spectrogram=spectrogram)
            return result

        return infer

    return {**outputs.measure(load, "litert", runs), "file_bytes": Path(model).stat().st_size}


if __name__ == "__main__":
    common.case_main({"convert": convert, "run": run})
