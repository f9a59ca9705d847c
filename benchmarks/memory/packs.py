"""The packs that are measured, all with 8-bit weights: Contect in one partition and in 50, and four small networks.

They are made by `wherry compile`, as a user would, and kept until Wherry or the model changes. Inputs are random:
neither memory nor time depends on them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import common
from benchmarks.contect import outputs as contect_outputs
from benchmarks.peers import conversions
from benchmarks.peers.networks import NETWORKS

FOLDER = common.OUTPUT / "memory"
SPEECH = common.ROOT / "examples" / "speech" / "saved_model"
MANY = 50  # partitions
SEED = 20180550


@dataclass(frozen=True)
class Model:
    """A pack, where its inputs lie, as one .npy for each, and what `wherry compile --json` said of it."""

    name: str
    title: str
    pack: Path
    inputs: Mapping[str, Path]
    report: Path


def up_to_date(made: Path, sources: Iterable[Path]) -> bool:
    """Whether a file is there and newer than all that it came from."""
    return made.exists() and all(made.stat().st_mtime >= source.stat().st_mtime for source in sources)


def digest(outputs: Mapping[str, np.ndarray]) -> str:
    """Of names, types, shapes and every bit of the values."""
    found = hashlib.sha256()
    for name, array in sorted(outputs.items()):
        found.update(f"{name} {array.dtype.str} {array.shape};".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _compile(name: str, title: str, saved_model: Path, *options: str) -> Model:
    pack, report = FOLDER / f"{name}.wherry", FOLDER / f"{name}.json"
    if not up_to_date(report, [saved_model / "saved_model.pb", *conversions.wherry_files()]):
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["wherry", "compile", str(saved_model), "-o", str(pack), "--quantize", "int8", "--json", *options]
        report.write_text(common.run_process([sys.executable, "-m", *command])[0])
    return Model(name, title, pack, _inputs(name, pack), report)


def _inputs(name: str, pack: Path) -> dict[str, Path]:
    from wherry.pack.reader import read_pack

    random = np.random.default_rng(SEED)
    files: dict[str, Path] = {}
    for number, (key, tensor) in enumerate(read_pack(pack).inputs.items()):
        files[key] = FOLDER / f"{name}_{number}.npy"
        np.save(files[key], random.normal(size=tensor.shape).astype(tensor.dtype.numpy))
    return files


def contect(partitions: int) -> Model:
    """Contect, cut into that many partitions."""
    common.run_process([sys.executable, "-m", "benchmarks.contect.model"])  # does nothing where the model is
    name = f"contect_{partitions}"
    return _compile(name, "Contect", contect_outputs.SAVED_MODEL, "--partitions", str(partitions))


def small_networks() -> list[Model]:
    """A large and a small convolutional network, a recurrent one, and the speech example."""
    models = []
    for name in ("resnet50", "mobilenetv2", "lstm"):
        network = NETWORKS[name]
        conversions.export(network)
        shape = ",".join(map(str, network.shape))
        options = ("--input-shapes", f"{network.input}={shape}", "--samples", str(network.samples))
        models.append(_compile(name, network.title, network.saved_model, *options))
    return [*models, _compile("speech", "speech example", SPEECH)]
