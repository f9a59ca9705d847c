"""Trains the speech example and writes everything the demo needs: model, labels and measured accuracy.

The network has the shape of "Contect", which detects spoken syllables with ten ResNet-50s in parallel, each
ending in two LSTM layers, merged by dense layers. Here three small residual branches look at the same
spectrogram through kernels of different proportions: the same operators, a third of a million parameters.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The matrix products of features.py are so small that more threads only wait for each other, and cost time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import features
import keras
import numpy as np
import synthesise
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray
from synthesise import LABELS, Clips

HERE = Path(__file__).resolve().parent
INPUT_NAME, OUTPUT_NAME = "spectrogram", "probabilities"
KERNELS = ((3, 3), (5, 3), (3, 5))
CHANNELS = (16, 24, 40)
LSTM_UNITS = 40
DENSE_UNITS = 64
MAX_SHIFT, MAX_BLANK = 2, 6
# What a repository can carry. Keras 3.15 writes every variable twice, so this is some 380,000 parameters.
MAX_MODEL_BYTES = 4_000_000


def convolution(x: Any, channels: int, kernel: tuple[int, int], strides: int, name: str) -> Any:
    """Convolution and batch normalisation; the bias would be cancelled by the latter, so there is none."""
    x = layers.Conv2D(channels, kernel, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)


def residual(x: Any, channels: int, kernel: tuple[int, int], name: str) -> Any:
    """Halves time and frequency; the shortcut is a 1x1 convolution (He et al. 2015, option B)."""
    inner = layers.ReLU(name=f"{name}_relu1")(convolution(x, channels, kernel, 2, f"{name}_1"))
    inner = convolution(inner, channels, kernel, 1, f"{name}_2")
    shortcut = convolution(x, channels, (1, 1), 2, f"{name}_shortcut")
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([inner, shortcut]))


def branch(x: Any, kernel: tuple[int, int], name: str) -> Any:
    """Spectrogram [batch, frames, bands, 1] to a summary [batch, LSTM_UNITS]."""
    x = layers.ReLU(name=f"{name}_stem_relu")(convolution(x, CHANNELS[0], kernel, 2, f"{name}_stem"))
    for index, channels in enumerate(CHANNELS[1:], 1):
        x = residual(x, channels, kernel, f"{name}_block{index}")
    x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]), name=f"{name}_sequence")(x)
    x = layers.LSTM(LSTM_UNITS, return_sequences=True, name=f"{name}_lstm1")(x)
    return layers.LSTM(LSTM_UNITS, name=f"{name}_lstm2")(x)


def build_model() -> keras.Model:
    """The untrained network: [batch, *features.SHAPE] to the probabilities [batch, len(LABELS)]."""
    spectrogram = keras.Input(features.SHAPE, name=INPUT_NAME)
    merged = layers.Concatenate(name="merge")(
        [branch(spectrogram, kernel, f"branch{index}") for index, kernel in enumerate(KERNELS)]
    )
    merged = layers.Dropout(0.3, name="dropout")(merged)
    merged = layers.Dense(DENSE_UNITS, activation="relu", name="dense")(merged)
    probabilities = layers.Dense(len(LABELS), activation="softmax", name=OUTPUT_NAME)(merged)
    return keras.Model(spectrogram, probabilities, name="speech")


def load(folder: Path, split: str) -> tuple[NDArray[np.float32], Clips]:
    """The spectrograms of a split, and the clips they come from."""
    clips = Clips.load(folder / f"{split}.npz")
    spectrograms = [features.spectrogram(features.from_int16(samples)) for samples in clips.samples]
    return np.stack(spectrograms), clips


class Augmented(keras.utils.PyDataset):
    """Shuffled batches, each spectrogram moved by up to MAX_SHIFT bands and with some bands blanked.

    The blanking is half of SpecAugment (Park et al. 2019). Moving it in time could cut a consonant off.
    """

    def __init__(self, inputs: NDArray[np.float32], labels: NDArray[np.int64], batch_size: int, seed: int) -> None:
        super().__init__()
        self.inputs, self.labels, self.batch_size = inputs, labels, batch_size
        self.generator = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return np.stack([self.altered(self.inputs[number]) for number in chosen]), self.labels[chosen]

    def on_epoch_end(self) -> None:
        self.order = self.generator.permutation(len(self.inputs))

    def altered(self, spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
        shift = int(self.generator.integers(-MAX_SHIFT, MAX_SHIFT + 1))
        bands = np.clip(np.arange(features.BANDS) + shift, 0, features.BANDS - 1)
        altered = spectrogram[:, bands]
        width = int(self.generator.integers(0, MAX_BLANK + 1))
        start = int(self.generator.integers(0, features.BANDS - width + 1))
        altered[:, start : start + width] = altered.mean()
        return altered


def train(data: Path, epochs: int, batch_size: int, seed: int) -> keras.Model:
    """The network with the weights of the last epoch: no other data helps to choose among epochs."""
    inputs, clips = load(data, "train")
    validation_inputs, validation_clips = load(data, "validation")
    model = build_model()
    steps = epochs * -(-len(inputs) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(1e-4, steps, alpha=0.01, warmup_target=2e-3, warmup_steps=steps // 20)
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    batches = Augmented(inputs, clips.labels, batch_size, seed)
    validation = (validation_inputs, validation_clips.labels)
    model.fit(batches, epochs=epochs, verbose=2, validation_data=validation)
    return model


def export(model: keras.Model, folder: Path) -> None:
    """Write the SavedModel; the output is put in a dict because that names it in the signature."""
    shutil.rmtree(folder, ignore_errors=True)
    keras.Model(model.input, {OUTPUT_NAME: model.output}).export(folder, verbose=False)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_MODEL_BYTES:
        raise ValueError(f"{folder.name} has {size} bytes; at most {MAX_MODEL_BYTES} are allowed")


def predict_saved(folder: Path, inputs: NDArray[np.float32], batch_size: int = 100) -> NDArray[np.float32]:
    """What the exported model answers, so that the figures are those of the files and not of the session."""
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    batches = [inputs[start : start + batch_size] for start in range(0, len(inputs), batch_size)]
    return np.concatenate([signature(**{INPUT_NAME: tf.constant(batch)})[OUTPUT_NAME].numpy() for batch in batches])


def rounded(value: float) -> float:
    return round(float(value), 4)


def figures(predicted: NDArray[np.int64], clips: Clips) -> dict[str, Any]:
    """Accuracy in total, per class and per noise level, and the confusion matrix (rows: truth)."""
    right = predicted == clips.labels
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(confusion, (clips.labels, predicted), 1)
    per_class = {
        label: {
            "clips": int(confusion[index].sum()),
            "recall": rounded(confusion[index, index] / confusion[index].sum()),
            "precision": rounded(confusion[index, index] / max(1, confusion[:, index].sum())),
        }
        for index, label in enumerate(LABELS)
    }
    return {
        "test_accuracy": rounded(right.mean()),
        "per_class": per_class,
        "accuracy_by_snr_db": {
            str(snr): rounded(right[clips.snrs_db == snr].mean()) for snr in np.unique(clips.snrs_db)
        },
        "confusion": confusion.tolist(),
    }


def judge_wavs(model_folder: Path, wavs: Path) -> dict[str, dict[str, Any]]:
    """What the model says of each example WAV file; the file name tells the truth."""
    paths = sorted(wavs.glob("*.wav"))
    answers = predict_saved(model_folder, np.stack([features.load_spectrogram(path) for path in paths]))
    return {
        path.name: {
            "expected": path.stem.split("_")[0],
            "predicted": LABELS[int(answer.argmax())],
            "probability": rounded(answer.max()),
        }
        for path, answer in zip(paths, answers, strict=True)
    }


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def report(data: Path, out: Path, training: dict[str, Any]) -> float:
    """Measure the exported model on both held-out splits, write the JSON files, return the test accuracy."""
    splits = {split.name: load(data, split.name) for split in synthesise.SPLITS if split.name != "train"}
    predicted = {
        name: predict_saved(out / "saved_model", inputs).argmax(axis=1) for name, (inputs, _) in splits.items()
    }
    validation_clips, test_clips = splits["validation"][1], splits["test"][1]
    everyone = {split.name: Clips.load(data / f"{split.name}.npz") for split in synthesise.SPLITS}
    measured = {
        **figures(predicted["test"], test_clips),
        "validation_accuracy": rounded((predicted["validation"] == validation_clips.labels).mean()),
        "clips": {name: len(clips.labels) for name, clips in everyone.items()},
        "voices": {name: len(np.unique(clips.voices)) for name, clips in everyone.items()},
        "parameters": build_model().count_params(),
        "training": training,
        "wavs": judge_wavs(out / "saved_model", synthesise.WAVS),
    }
    write_json(out / "labels.json", LABELS)
    write_json(out / "accuracy.json", measured)
    return float(measured["test_accuracy"])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=synthesise.DEFAULT_DATA, help="folder that synthesise.py filled")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for saved_model/ and the JSON files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="threads that TensorFlow may use")
    parser.add_argument("--measure-only", action="store_true", help="measure the exported model; train nothing")
    options = parser.parse_args()
    missing = [s.name for s in synthesise.SPLITS if not (options.data / f"{s.name}.npz").is_file()]
    if missing:
        print(f"error: no {missing[0]}.npz in {options.data}; run synthesise.py first", file=sys.stderr)
        return 1

    keras.utils.set_random_seed(options.seed)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if options.measure_only:
        training = json.loads((options.out / "accuracy.json").read_text(encoding="utf-8"))["training"]
    else:
        started = time.monotonic()
        model = train(options.data, options.epochs, options.batch_size, options.seed)
        training = {
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "seed": options.seed,
            "seconds": round(time.monotonic() - started),
        }
        export(model, options.out / "saved_model")
    print(f"test accuracy {report(options.data, options.out, training):.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
