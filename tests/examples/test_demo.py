"""The speech example: its packs hear what TensorFlow hears, and `make demo` goes all the way."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SPEECH = Path(__file__).resolve().parents[2] / "examples" / "speech"
sys.path.insert(0, str(SPEECH))

from compare import LIMIT, difference, recognised  # noqa: E402
from features import load_spectrogram  # noqa: E402

LABELS: list[str] = json.loads((SPEECH / "labels.json").read_text())
WAVS = sorted((SPEECH / "wavs").glob("*.wav"))


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a clone has it: Git carries no empty folders, such as the SavedModel's assets."""
    copy = tmp_path_factory.mktemp("speech") / "saved_model"
    for file in (path for path in (SPEECH / "saved_model").rglob("*") if path.is_file()):
        target = copy / file.relative_to(SPEECH / "saved_model")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return copy


@pytest.fixture(scope="module")
def spectrograms() -> list[np.ndarray]:
    return [load_spectrogram(path)[None] for path in WAVS]


@pytest.fixture(scope="module")
def expected(saved_model: Path, spectrograms: list[np.ndarray]) -> np.ndarray:
    """TensorFlow's probabilities, [clips, labels]."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    return np.concatenate([signature(spectrogram=tf.constant(x))["probabilities"].numpy() for x in spectrograms])


@pytest.fixture(scope="module")
def probabilities(saved_model: Path, spectrograms: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Of the packs with float32 and int8 weights, and of TensorFlow running the int8 graph."""
    import wherry
    from wherry.passes import optimise
    from wherry.runtime.tensorflow_runner import TensorFlowSession

    graph = wherry.load(saved_model)
    optimise(graph)
    result = {}
    for scheme, partitions in (("float32", 1), ("int8", 11)):
        pack = saved_model.parent / f"{scheme}.wherry"
        wherry.compile(graph, pack, quantize=scheme, partitions=partitions, measure_outputs=False)
        with wherry.Executor(pack) as executor:
            result[scheme] = np.concatenate([executor.run({"spectrogram": x})["probabilities"] for x in spectrograms])
    with TensorFlowSession(graph) as session:
        result["tensorflow int8"] = np.concatenate(
            [session.run({"spectrogram": x})["probabilities"] for x in spectrograms]
        )
    return result


def test_tensorflow_hears_what_the_file_names_say(expected: np.ndarray) -> None:
    assert recognised(expected, LABELS) == [path.stem.split("_")[0] for path in WAVS]


def test_float32_pack_is_tensorflow_to_rounding(expected: np.ndarray, probabilities: dict[str, np.ndarray]) -> None:
    assert difference(probabilities["float32"], expected) <= LIMIT
    assert recognised(probabilities["float32"], LABELS) == recognised(expected, LABELS)


def test_int8_pack_hears_the_same(expected: np.ndarray, probabilities: dict[str, np.ndarray]) -> None:
    assert difference(probabilities["int8"], probabilities["tensorflow int8"]) <= LIMIT
    assert recognised(probabilities["int8"], LABELS) == recognised(expected, LABELS)


@pytest.mark.slow
def test_demo() -> None:
    done = subprocess.run([sys.executable, str(SPEECH / "demo.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [re.split(r"\s{2,}", line) for line in done.stdout.splitlines() if ".wav" in line]
    assert [row[0] for row in rows] == [path.name for path in WAVS]
    for name, *heard in rows:
        assert len(heard) >= 5
        assert set(heard) == {name.split("_")[0]}
