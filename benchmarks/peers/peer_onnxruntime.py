"""ONNX Runtime with its CPU execution provider. Cases: `convert` (quantizes the ONNX file) and `run`.

dynamic: its `quantize_dynamic` (ConvInteger, MatMulInteger, DynamicQuantizeLSTM).
static: its `quantize_static` with a pair of quantize and dequantize nodes round each operation, which the session
turns into QLinearConv and the like when it loads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers import onnx_model
from benchmarks.peers.cases import Run, convert_main, measure, path_of
from benchmarks.peers.networks import NETWORKS, Array, Network, nchw


def model_path(network: Network, kind: str) -> Path:
    return onnx_model.model_path(network) if kind == "float32" else path_of(network, "onnxruntime", kind, ".onnx")


def _has_vnni() -> bool:
    """Without it, sums of products of full 8-bit weights overflow in 16 bits on x86; with 7 bits they do not."""
    info = Path("/proc/cpuinfo")
    return info.exists() and "vnni" in info.read_text()


def _quantize(network: Network, source: Path, path: Path, kind: str) -> None:
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    prepared = path.with_suffix(".prepared.onnx")
    shape_inference.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    if kind == "dynamic":
        # Its ConvInteger takes no signed weights.
        quantization.quantize_dynamic(
            str(prepared), str(path), per_channel=False, weight_type=quantization.QuantType.QUInt8
        )
    else:

        class Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.left = iter(network.calibration())

            def get_next(self) -> dict[str, Array] | None:
                x = next(self.left, None)
                return None if x is None else {network.input: nchw(x)}

        quantization.quantize_static(
            str(prepared),
            str(path),
            Samples(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=not _has_vnni(),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    prepared.unlink()


def convert(network: str, kind: str) -> dict[str, Any]:
    chosen = NETWORKS[network]
    path = model_path(chosen, kind)
    if kind != "float32":
        _quantize(chosen, onnx_model.model_path(chosen), path, kind)
    return {"file_bytes": path.stat().st_size}


def run(network: str, kind: str, threads: int, seconds: float) -> dict[str, Any]:
    import onnxruntime

    chosen = NETWORKS[network]

    def load() -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(model_path(chosen, kind)), options, providers=["CPUExecutionProvider"]
        )

        def infer(x: Array) -> Array:
            y: Array = session.run([chosen.output], {chosen.input: x})[0]
            return y

        return infer

    return measure(chosen, load, seconds, layout=nchw)


if __name__ == "__main__":
    convert_main(convert, run)
