"""ncnn on the CPU. Cases: `convert` (from ONNX, with the pnnx program) and `run`.

Weights are kept in float32 by pnnx's fp16=0, and the options that would compute in 16 bits are off.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.peers import onnx_model
from benchmarks.peers.cases import Run, Unsupported, convert_main, measure, path_of
from benchmarks.peers.networks import NETWORKS, Array, Network, nchw

NO_INT8 = "its 8-bit tools, ncnn2table and ncnn2int8, are in neither wheel, and pnnx writes only float32 and float16"
_SIXTEEN_BITS = (
    "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage",
)  # fmt: skip


def model_path(network: Network) -> Path:
    """The .param file; the weights lie beside it in .bin."""
    return path_of(network, "ncnn", "float32", ".param")


def _pnnx() -> Path:
    """The program inside pnnx's wheel. Importing the package would want PyTorch."""
    spec = importlib.util.find_spec("pnnx")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'pnnx'")
    return Path(spec.origin).with_name("pnnx")


def convert(network: str, kind: str) -> dict[str, Any]:
    if kind != "float32":
        raise Unsupported(NO_INT8)
    chosen = NETWORKS[network]
    path = model_path(chosen)
    folder = chosen.folder / "pnnx"  # it writes a dozen files beside its input
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "network.onnx").symlink_to(onnx_model.model_path(chosen).resolve())
    common.run_process([str(_pnnx()), str(folder / "network.onnx"), "fp16=0"])
    for suffix in (".param", ".bin"):
        (folder / f"network.ncnn{suffix}").replace(path.with_suffix(suffix))
    shutil.rmtree(folder)
    return {"file_bytes": path.stat().st_size + path.with_suffix(".bin").stat().st_size}


def run(network: str, kind: str, threads: int, seconds: float) -> dict[str, Any]:
    import ncnn

    chosen = NETWORKS[network]

    def load() -> Run:
        net = ncnn.Net()
        net.opt.num_threads = threads
        for option in _SIXTEEN_BITS:
            setattr(net.opt, option, False)
        path = model_path(chosen)
        if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
            raise RuntimeError(f"ncnn cannot read {path}")

        def infer(x: Array) -> Array:
            extractor = net.create_extractor()
            # It knows no batch. A first layer that works in place needs a Mat that owns its memory.
            extractor.input("in0", ncnn.Mat(x[0]).clone())
            status, y = extractor.extract("out0")
            if status:
                raise RuntimeError(f"ncnn's extract gave status {status}")
            return np.array(y)

        return infer

    return measure(chosen, load, seconds, layout=nchw)


if __name__ == "__main__":
    convert_main(convert, run)
