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

import demo  # noqa: E402
from compare import LIMIT, Result, difference, problems, recognised, table  # noqa: E402
from features import load_spectrogram  # noqa: E402
from measure import Figures  # noqa: E402

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
    for scheme, partitions in (("float32", 1), ("int8-weights", 11)):
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
    assert difference(probabilities["int8-weights"], probabilities["tensorflow int8"]) <= LIMIT
    assert recognised(probabilities["int8-weights"], LABELS) == recognised(expected, LABELS)


def results(of_executor: np.ndarray) -> list[Result]:
    """TensorFlow's answer to one clip of two labels, and another answer beside it."""
    figures = Figures(1, 1, None, 0.1, 0.1)
    reference = Result(("TensorFlow", "float32"), np.array([[0.7, 0.3]], np.float32), figures)
    return [reference, Result(("Executor", "float32"), of_executor, figures, reference.title)]


@pytest.mark.parametrize(
    ("answer", "complaints"),
    [
        ([0.7, 0.3], []),
        ([0.6999, 0.3001], ["Executor float32: 0.00056 from TensorFlow with the same weights; the limit is 0.0001"]),
        ([0.3, 0.7], ["Executor float32: pa_01 is 'ta', TensorFlow says 'pa'", "2 from TensorFlow"]),
        ([np.nan, 0.3], ["Executor float32: an output is not finite"]),
    ],
)
def test_what_is_wrong_is_said(answer: list[float], complaints: list[str]) -> None:
    compared = results(np.array([answer], np.float32))
    found = problems(compared, ["pa_01"], ["pa", "ta"])
    assert len(found) == len(complaints)
    for line, part in zip(found, complaints, strict=True):
        assert part in line


def test_table_has_a_row_for_each_clip_and_a_column_for_each_way() -> None:
    lines = table(results(np.array([[0.7, 0.3]], np.float32)), ["pa_01"], ["pa", "ta"]).splitlines()
    assert ["pa_01.wav", "pa", "pa"] in [line.split() for line in lines]
    assert ["peak", "memory", "added", "-", "-"] in [line.split() for line in lines]


def test_arm_is_skipped_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.sys, "platform", "linux")
    monkeypatch.setattr(demo.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(demo.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "qemu-aarch64" else None)
    assert demo.arm_emulator() == ["qemu-aarch64"]
    monkeypatch.setattr(demo.shutil, "which", lambda name: None)
    assert demo.arm_emulator() == "the ARM emulator is missing: apt install qemu-user-static"
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    assert demo.arm_emulator() == "the cross compiler is missing: pip install ziglang"
    monkeypatch.setattr(demo.sys, "platform", "darwin")
    assert isinstance(demo.arm_emulator(), str)


@pytest.mark.slow
def test_demo() -> None:
    done = subprocess.run([sys.executable, str(SPEECH / "demo.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [re.split(r"\s{2,}", line) for line in done.stdout.splitlines() if ".wav" in line]
    assert [row[0] for row in rows] == [path.name for path in WAVS]
    for name, *heard in rows:
        assert len(heard) >= 5
        assert set(heard) == {name.split("_")[0]}
