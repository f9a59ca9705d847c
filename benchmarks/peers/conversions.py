"""Makes every file that the runs need, once: what is there is used again until something it came from changes.

A file comes from the network, the sources of the modules that made it and the versions of the packages these used.
A digest of all that lies beside the file in a .json, with what the conversion cost or the reason why the peer
cannot do it. Crashes are not kept: they are tried again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.peers.networks import Network

PACKAGES = common.OUTPUT / "packages"  # where the Makefile installs the peers' packages
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """A runtime. module: its cases; packages: what they import; sources: files beside the module that they use."""

    name: str
    module: str
    packages: tuple[str, ...]
    sources: tuple[str, ...] = ()
    onnx: bool = False

    def file_stem(self) -> str:
        return self.module.removeprefix("peer_").removesuffix("_case")


WHERRY = Peer("Wherry", "wherry_case", ())
PEERS = (
    Peer("LiteRT", "peer_litert", ("ai-edge-litert", "tensorflow"), ("fused_lstm.py",)),
    Peer("ONNX Runtime", "peer_onnxruntime", ("onnxruntime",), onnx=True),
    Peer("MNN", "peer_mnn", ("MNN",), onnx=True),
    Peer("ncnn", "peer_ncnn", ("ncnn", "pnnx"), onnx=True),
)
ONNX_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def _digest(parts: Iterable[str | Path]) -> str:
    """Of texts, and of the contents of files."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def _versions(packages: Iterable[str]) -> list[str]:
    return [f"{name} {importlib.metadata.version(name)}" for name in packages]


def wherry_files() -> list[Path]:
    """All of Wherry that could change a pack: its Python and the native module."""
    files: list[Path] = []
    for name in ("wherry", "wherry._native"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{name} is not installed; run make install")
        origin = Path(spec.origin)
        files += sorted(origin.parent.rglob("*.py")) if origin.suffix == ".py" else [origin]
    return files


def _kept(path: Path, key: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    earlier: dict[str, Any] = json.loads(path.read_text())
    return earlier if earlier.pop("key", None) == key else None


def _made(record: Path, key: str, module: str, case: str, **arguments: str) -> dict[str, Any]:
    """Runs a case unless its record is there. Raises CaseFailed."""
    result = _kept(record, key)
    if result is None:
        run = common.run_case(f"benchmarks.peers.{module}", case, None, **arguments)
        result = {"process_peak_bytes": run.peak_bytes, **run.result}
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({**result, "key": key}, indent=2) + "\n")
    return result


def _network_key(network: Network) -> str:
    sources: list[str | Path] = [_HERE / "export.py", _HERE / "networks.py"]
    if network.name == "contect":
        sources.append(common.ROOT / "benchmarks" / "contect" / "model.py")
    else:
        sources.append(common.ROOT / "tests" / "zoo.py")
    return _digest([*sources, *_versions(("tensorflow", "keras"))])


def export(network: Network) -> dict[str, Any]:
    """The SavedModel, samples, and test inputs with TensorFlow's outputs."""
    return _made(network.folder / "export.json", _network_key(network), "export", "export", network=network.name)


def onnx(network: Network) -> dict[str, Any]:
    record = network.folder / "onnx.json"
    return _made(record, _onnx_key(network), "onnx_model", "convert", network=network.name)


def _onnx_key(network: Network) -> str:
    sources = [_HERE / "onnx_model.py", _HERE / "fused_lstm.py"]
    return _digest([_network_key(network), *sources, *_versions(ONNX_PACKAGES)])


def convert(peer: Peer, network: Network, kind: str) -> dict[str, Any]:
    """The peer's own file of the network; `unsupported` in the result is a reason why there is none."""
    parts: list[str | Path] = [
        _onnx_key(network) if peer.onnx else _network_key(network),
        *(_HERE / name for name in (f"{peer.module}.py", *peer.sources)),
        *_versions(peer.packages),
        *(wherry_files() if peer is WHERRY else ()),
    ]
    record = network.folder / f"{peer.file_stem()}_{kind}.json"
    return _made(record, _digest(parts), peer.module, "convert", network=network.name, kind=kind)
