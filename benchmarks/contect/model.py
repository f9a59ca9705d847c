"""Builds Contect, the network the paper measures, and exports it as a SavedModel.

The paper gives ten parallel ResNet-50s, each ending in two LSTM layers, merged by dense layers, and a count
of 252,739,743 weights. What it leaves open is chosen here so that the count is met as closely from above as
round layer sizes allow: one spectrogram of 128x128 with one channel feeds all ten branches; a branch's
4x4x2048 map is read as a sequence of 16 steps; the LSTMs have 128 and 256 units; three dense layers of 512
units merge the branches; two classes.

The weights are random and seeded. What training would have left in the batch norms is imitated: gamma and
beta are random, the running statistics are those of a calibration batch with a perturbation, so that folding
them wrongly shows in the output, while activations keep a sane size through all 50 layers.

The signature has both `probabilities` and `logits`, because programs are compared before the softmax.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from benchmarks.contect.outputs import FOLDER, INPUTS, SAVED_MODEL, Array

DESCRIPTION = FOLDER / "saved_model.json"

PAPER_WEIGHTS = 252_739_743
BRANCHES = 10
SIDE = 128
CLASSES = 2
SEED = 20180550


def spectrograms(count: int, seed: int) -> Array:
    """Random log spectrograms, normalised one by one: voiced stretches (harmonics of a wandering pitch) over
    noise."""
    random = np.random.default_rng(seed)
    frequency = np.arange(SIDE, dtype=np.float64)[:, None]
    images = np.empty((count, SIDE, SIDE, 1), np.float32)
    for index in range(count):
        pitch = random.uniform(4.0, 16.0) + np.cumsum(random.normal(0.0, 0.15, SIDE))
        pitch = np.clip(pitch, 3.0, 24.0)
        harmonics = np.cos(2.0 * np.pi * frequency / pitch) ** 8
        tilt = np.exp(-frequency / random.uniform(20.0, 90.0))
        loudness = np.clip(
            np.sin(np.arange(SIDE) / random.uniform(4.0, 20.0) + random.uniform(0.0, 6.3)), 0.0, 1.0
        )
        power = harmonics * tilt * loudness + random.uniform(0.003, 0.05) * random.exponential(
            1.0, (SIDE, SIDE)
        )
        image = np.log(power + 1e-4)
        images[index, :, :, 0] = (image - image.mean()) / image.std()
    return images


def build() -> keras.Model:
    """The network with keras' own initial values. Its outputs are named `logits` and `probabilities`."""
    keras.utils.set_random_seed(SEED)
    spectrogram = keras.Input((SIDE, SIDE, 1), name="spectrogram")
    merged = []
    for index in range(BRANCHES):
        trunk = keras.applications.ResNet50(
            include_top=False, weights=None, input_shape=(SIDE, SIDE, 1), name=f"branch_{index}_resnet50"
        )
        features = trunk(spectrogram)
        sequence = keras.layers.Reshape((-1, features.shape[-1]), name=f"branch_{index}_sequence")(features)
        sequence = keras.layers.LSTM(128, return_sequences=True, name=f"branch_{index}_lstm_1")(sequence)
        merged.append(keras.layers.LSTM(256, name=f"branch_{index}_lstm_2")(sequence))
    hidden = keras.layers.Concatenate(name="merge")(merged)
    for index in range(3):
        hidden = keras.layers.Dense(
            512, activation="relu", kernel_initializer="he_normal", name=f"dense_{index + 1}"
        )(hidden)
    logits = keras.layers.Dense(CLASSES, name="logits")(hidden)
    probabilities = keras.layers.Softmax(name="probabilities")(logits)
    return keras.Model(spectrogram, {"logits": logits, "probabilities": probabilities}, name="contect")


def _all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    layers: list[keras.layers.Layer] = []
    for layer in model.layers:
        layers += _all_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return layers


def settle(model: keras.Model) -> None:
    """Gives every bias and batch norm a value that matters, and the logits a size of about 1.

    The last batch norm of a residual branch gets a small gamma, as training tends to do. With gammas near 1
    there, this depth of random layers amplifies a perturbation some 90 times: float32 rounding alone then
    moves the logits by 1e-4 and rounding the weights to 8 bits by a quarter, and comparing programs would say
    nothing about them.
    """
    random = np.random.default_rng(SEED)

    def normal(like: Any, scale: float) -> Array:
        values: Array = random.normal(0.0, scale, like.shape).astype(np.float32)
        return values

    norms = []
    for layer in _all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            low, high = (0.1, 0.4) if layer.name.endswith("_3_bn") else (0.6, 1.4)
            layer.gamma.assign(random.uniform(low, high, layer.gamma.shape).astype(np.float32))
            layer.beta.assign(normal(layer.beta, 0.3))
            norms.append(layer)
        elif isinstance(layer, keras.layers.LSTM):
            layer.cell.bias.assign_add(normal(layer.cell.bias, 0.1))
        elif isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            layer.bias.assign(normal(layer.bias, 0.1))

    # With momentum 0, one pass in training mode leaves exactly the batch's statistics in every batch norm.
    calibration = tf.constant(spectrograms(8, SEED))
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(calibration, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        deviation = np.sqrt(np.asarray(norm.moving_variance))
        norm.moving_mean.assign_add(normal(norm.moving_mean, 0.1) * deviation)
        norm.moving_variance.assign(norm.moving_variance * np.exp(normal(norm.moving_variance, 0.1)))

    logits = model.get_layer("logits")
    before = np.asarray(model(calibration, training=False)["logits"])
    logits.kernel.assign(logits.kernel / float(np.abs(before).max()))


def save(model: keras.Model, folder: Path) -> None:
    """Writes the SavedModel with one signature, `serving_default`.

    Not with keras' `model.export`: version 3.15 writes every variable twice, once as keras' own and once as
    TensorFlow's (2.02 GB instead of 1.01 GB), which could burden every program that reads it.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    assert all(isinstance(weight, tf.Variable) for weight in module.weights)
    signature = [tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32, name="spectrogram")]

    @tf.function(input_signature=signature, autograph=False)
    def contect(spectrogram: Any) -> Any:
        return model(spectrogram, training=False)

    tf.saved_model.save(module, str(folder), signatures=contect.get_concrete_function())


def count_nodes(folder: Path) -> dict[str, int]:
    """Nodes in the whole SavedModel, and those that an inference reaches: the signature's functions, loop
    bodies too."""
    content = saved_model_pb2.SavedModel()
    content.ParseFromString((folder / "saved_model.pb").read_bytes())
    graph = content.meta_graphs[0].graph_def
    library = {function.signature.name: list(function.node_def) for function in graph.library.function}
    everything = len(graph.node) + sum(map(len, library.values()))

    reached: set[str] = set()
    pending = [name for name in library if "signature_wrapper" in name]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += [
                value.func.name for node in library[name] for value in node.attr.values() if value.func.name
            ]
    return {"nodes": everything, "inference_nodes": sum(len(library[name]) for name in reached)}


def export() -> dict[str, Any]:
    """Builds, settles and exports the network; returns its description, which is also written beside it."""
    model = build()
    weights = model.count_params()
    assert weights >= PAPER_WEIGHTS, weights
    settle(model)
    test_inputs = spectrograms(4, SEED + 1)
    outputs = {name: np.asarray(value).tolist() for name, value in model(test_inputs, training=False).items()}

    partial = SAVED_MODEL.with_name("saved_model.partial")
    for folder in (partial, SAVED_MODEL):
        shutil.rmtree(folder, ignore_errors=True)
    save(model, partial)
    np.savez(INPUTS, spectrogram=test_inputs)
    description = {
        "weights": weights,
        "paper_weights": PAPER_WEIGHTS,
        **count_nodes(partial),
        "inputs": {"spectrogram": [None, SIDE, SIDE, 1]},
        "keras_outputs": outputs,
    }
    DESCRIPTION.write_text(json.dumps(description, indent=2) + "\n")
    partial.rename(SAVED_MODEL)
    return description


def ensure(fresh: bool = False) -> dict[str, Any]:
    """The description of the SavedModel, which is built unless it is already there."""
    if fresh or not (SAVED_MODEL / "saved_model.pb").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        return export()
    description: dict[str, Any] = json.loads(DESCRIPTION.read_text())
    return description


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="build even if the SavedModel is already there")
    print(json.dumps(ensure(parser.parse_args().fresh), indent=2))
