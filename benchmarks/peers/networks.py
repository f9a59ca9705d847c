"""The six networks on which runtimes are compared: names, files, inputs, and TensorFlow's answers.

Every case reads this, so nothing but numpy is imported. `export.py` makes the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import common
from benchmarks.contect import outputs as contect

Array = NDArray[np.float32]

FOLDER = common.OUTPUT / "peers"
IMAGE = (1, 224, 224, 3)
STEPS, FEATURES, UNITS = 100, 128, 512


@dataclass(frozen=True)
class Network:
    """One network with one input and one output that is compared, both float32, batch of one.

    shape: of the input; images are [batch, height, width, channels], sequences [batch, steps, features]
    """

    name: str
    title: str
    input: str
    shape: tuple[int, ...]
    output: str
    family: str  # the figures' row: mobile, large or recurrent

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def saved_model(self) -> Path:
        return contect.SAVED_MODEL if self.name == "contect" else self.folder / "saved_model"

    @property
    def samples(self) -> Path:
        """.npz for calibration: inputs by name, stacked along the batch; none of them is a test input."""
        return self.folder / "samples.npz"

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 4

    def test_inputs(self) -> list[Array]:
        """The inputs that are timed and compared, each of `shape`."""
        with np.load(self.folder / "test.npz") as file:
            return [np.ascontiguousarray(x[None]) for x in file["inputs"]]

    def reference(self) -> list[Array]:
        """TensorFlow's float32 outputs for the test inputs."""
        with np.load(self.folder / "test.npz") as file:
            return [y[None] for y in file["outputs"]]

    def calibration(self) -> list[Array]:
        """The samples, each of `shape`."""
        with np.load(self.samples) as file:
            return [np.ascontiguousarray(x[None]) for x in file[self.input]]


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("mobilenet", "MobileNet", "x", IMAGE, "y", "mobile"),
        Network("mobilenetv2", "MobileNetV2", "x", IMAGE, "y", "mobile"),
        Network("efficientnetb0", "EfficientNetB0", "x", IMAGE, "y", "mobile"),
        Network("resnet50", "ResNet50", "x", IMAGE, "y", "large"),
        Network("lstm", f"LSTM 2x{UNITS}, {STEPS} steps", "x", (1, STEPS, FEATURES), "y", "recurrent"),
        Network("contect", "Contect", "spectrogram", (1, 128, 128, 1), "logits", "large"),
    )
}


def nchw(image: Array) -> Array:
    """[batch, height, width, channels] to [batch, channels, height, width]; other shapes stay as they are."""
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2)) if image.ndim == 4 else image


def relative_difference(actual: list[Array], expected: list[Array]) -> float:
    """Largest difference of any value, relative to the largest expected value. Raises ValueError for other sizes."""
    worst = 0.0
    largest = max(float(np.abs(y).max()) for y in expected)
    for got, wanted in zip(actual, expected, strict=True):
        if got.size != wanted.size:
            raise ValueError(f"an output of shape {got.shape} where TensorFlow's has {wanted.shape}")
        difference = got.astype(np.float64).reshape(wanted.shape) - wanted
        worst = max(worst, float(np.abs(difference).max()))
        if not np.isfinite(difference).all():
            return float("inf")
    return worst / largest
