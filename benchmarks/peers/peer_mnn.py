"""MNN on its CPU backend. Cases: `convert` (from ONNX, with the converter of its wheel) and `run`.

The converter is called through the wheel's native module: importing the wheel's own command line installs a
package that reports to a server. It prints and may crash, so it runs in a process of its own.

dynamic: the converter's 8-bit weights, computed with in float. MNN can also quantize activations as it runs
(memory mode "low"), but on x86 that takes 1.3 to 2.6 times as long.
static: the wheel's offline quantizer, which finds scales by KL divergence and reads its samples as images.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.peers import onnx_model
from benchmarks.peers.cases import Run, Unsupported, convert_main, measure, path_of
from benchmarks.peers.networks import NETWORKS, Array, Network, nchw

NORMAL_MEMORY, HIGH_PRECISION = 0, 1  # MNN ignores these settings unless they are numbers
_QUANTIZED_SHARE = 0.5  # a file of 8-bit weights is smaller than this share of the float32 one


def model_path(network: Network, kind: str) -> Path:
    return path_of(network, "mnn", kind, ".mnn")


def _tool(name: str, *arguments: str) -> str:
    """Runs a function of the wheel's tools with a command line. Returns what it printed."""
    code = f"import sys, _tools; _tools.{name}(sys.argv)"
    return common.run_process([sys.executable, "-c", code, *arguments])[0]


def _from_onnx(source: Path, path: Path, *options: str) -> None:
    path.unlink(missing_ok=True)
    printed = _tool(
        "mnnconvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(path), "--bizCode", "bench",
        "--useOriginRNNImpl",  # its other form of an LSTM, a While of small operations, crashes the converter
        *options,
    )  # fmt: skip
    if not path.exists():
        raise RuntimeError(f"mnnconvert wrote nothing; it printed:\n{printed}")


def _calibrate(network: Network, source: Path, path: Path) -> None:
    """Samples become 8-bit images, together with the scale and offset that bring them back."""
    from PIL import Image

    samples = np.concatenate(network.calibration())
    low, high = float(samples.min()), float(samples.max())
    step = (high - low) / 255
    folder = network.folder / "mnn_images"
    folder.mkdir(exist_ok=True)
    channels = network.shape[-1]
    for index, sample in enumerate(samples):
        pixels = np.round((sample - low) / step).astype(np.uint8)
        Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(folder / f"{index:02d}.png")
    settings = {
        "format": "RGB" if channels == 3 else "GRAY",
        "mean": [-low / step] * channels,
        "normal": [step] * channels,
        "height": network.shape[1],
        "width": network.shape[2],
        "path": f"{folder}/",
        "used_image_num": len(samples),
        "feature_quantize_method": "KL",
        "weight_quantize_method": "MAX_ABS",
        "batch_size": 1,
        "quant_bits": 8,
        "input_type": "image",
    }
    file = network.folder / "mnn_quant.json"  # in the folder it would be read as an image
    file.write_text(json.dumps(settings))
    path.unlink(missing_ok=True)
    _tool("mnnquant", str(source), str(path), str(file))
    if not path.exists():
        raise Unsupported("its offline quantizer writes no file")


def convert(network: str, kind: str) -> dict[str, Any]:
    chosen = NETWORKS[network]
    source, path = onnx_model.model_path(chosen), model_path(chosen, kind)
    if kind == "static":
        plain = path.with_suffix(".plain.mnn")
        _from_onnx(source, plain)
        try:
            _calibrate(chosen, plain, path)
        except common.CaseFailed as failure:
            status = str(failure).splitlines()[0].rsplit(": ", 1)[-1]
            raise Unsupported(f"its offline quantizer crashes ({status})") from failure
        finally:
            plain.unlink()
    else:
        _from_onnx(source, path, *(["--weightQuantBits", "8"] if kind == "dynamic" else []))
    share = path.stat().st_size / source.stat().st_size
    if kind != "float32" and share > _QUANTIZED_SHARE:
        raise Unsupported(
            f"its converter leaves the weights in float32 (the file keeps {share:.0%} of its size); "
            "of LSTMs it quantizes only the While form, on which it crashes"
        )
    return {"file_bytes": path.stat().st_size}


def run(network: str, kind: str, threads: int, seconds: float) -> dict[str, Any]:
    import MNN

    chosen = NETWORKS[network]
    settings = {
        "backend": "CPU", "numThread": threads, "memory": NORMAL_MEMORY, "precision": HIGH_PRECISION,
    }  # fmt: skip

    def load() -> Run:
        manager = MNN.nn.create_runtime_manager((settings,))
        module = MNN.nn.load_module_from_file(
            str(model_path(chosen, kind)), [chosen.input], [chosen.output], runtime_manager=manager
        )

        def infer(x: Array) -> Array:
            result = module.forward(MNN.expr.const(x, x.shape, MNN.expr.NCHW))
            y: Array = result.read().copy()  # what read() gives lives as long as the result
            return y

        return infer

    return measure(chosen, load, seconds, layout=nchw)


if __name__ == "__main__":
    convert_main(convert, run)
