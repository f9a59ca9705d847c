"""Builds the networks and exports them: a SavedModel, calibration samples, test inputs with TensorFlow's answers.

Weights are random and seeded (the builders of the test zoo and of the Contect benchmark, which also settle the
batch norms); images are 224 x 224 with 1000 classes, as in `keras.applications`. Case: `export`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import common
from benchmarks.peers.networks import FEATURES, IMAGE, NETWORKS, STEPS, UNITS, Network

if TYPE_CHECKING:
    import keras

SEED = 20180550
TESTS, CALIBRATION = 4, 16
CLASSES = 1000


def _lstm() -> keras.Model:
    """Two LSTM layers; the second one's whole sequence is the output, so every step is compared."""
    import keras

    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    x = keras.Input((STEPS, FEATURES), name="x")
    y = keras.layers.LSTM(UNITS, return_sequences=True)(x)
    y = keras.layers.LSTM(UNITS, return_sequences=True)(y)
    model = keras.Model(x, y)
    for layer in model.layers[1:]:
        layer.cell.bias.assign_add(random.normal(0.0, 0.1, layer.cell.bias.shape).astype(np.float32))
    return model


def _build(network: Network) -> keras.Model:
    if network.name == "lstm":
        return _lstm()
    if network.name == "contect":
        from benchmarks.contect import model as contect

        return contect.build()
    from tests import zoo

    return zoo.build(network.name, IMAGE[1], CLASSES)


def keras_model(network: Network) -> keras.Model:
    """The exported network again as a Keras model: the weights are read from its SavedModel."""
    import keras
    import tensorflow as tf

    model = _build(network)
    checkpoint = tf.train.load_checkpoint(str(network.saved_model / "variables" / "variables"))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):  # as arrays they become constants of every traced graph
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    for index, variable in enumerate(model.variables):
        variable.assign(checkpoint.get_tensor(f"weights/{index}/.ATTRIBUTES/VARIABLE_VALUE"))
    return model


def function_of(model: keras.Model, input_name: str, shape: Sequence[int], output_name: str) -> Any:
    """The model as a tf.function of one input of fixed shape and one output (of several, the one of that name)."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=input_name)], autograph=False)
    def network_function(x: Any) -> Any:
        result = model(x, training=False)
        return {output_name: result[output_name] if isinstance(result, dict) else result}

    return network_function


def save(model: keras.Model, network: Network, folder: Path) -> None:
    """A SavedModel with the signature `serving_default` and each variable once."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.function = function_of(model, network.input, network.shape, network.output)
    tf.saved_model.save(module, str(folder), signatures=module.function.get_concrete_function())


def _inputs(network: Network, count: int, seed: int) -> np.ndarray:
    """Random inputs of the distribution that the network's batch norms were settled on, stacked."""
    if network.name == "contect":
        from benchmarks.contect import model as contect

        return contect.spectrograms(count, seed)
    if network.name == "lstm":
        return np.random.default_rng(seed).normal(size=(count, *network.shape[1:])).astype(np.float32)
    from tests import zoo

    return zoo.sample_inputs(network.name, IMAGE[1], seed, count)["x"]


def export(network: str) -> dict[str, Any]:
    """Writes the files of the network called `network`; returns its number of weights."""
    import tensorflow as tf

    chosen = NETWORKS[network]
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.name == "contect":
        from benchmarks.contect import model as contect

        weights = int(contect.ensure()["weights"])
    else:
        model = _build(chosen)
        weights = int(model.count_params())
        partial = chosen.saved_model.with_name("saved_model.partial")
        for folder in (partial, chosen.saved_model):
            shutil.rmtree(folder, ignore_errors=True)
        save(model, chosen, partial)
        partial.rename(chosen.saved_model)
    signature = tf.saved_model.load(str(chosen.saved_model)).signatures["serving_default"]
    inputs = _inputs(chosen, TESTS, SEED + 1)
    outputs = [signature(**{chosen.input: tf.constant(x[None])})[chosen.output].numpy() for x in inputs]
    samples: dict[str, Any] = {chosen.input: _inputs(chosen, CALIBRATION, SEED + 2)}
    np.savez(chosen.samples, **samples)
    np.savez(chosen.folder / "test.npz", inputs=inputs, outputs=np.concatenate(outputs))
    return {"weights": weights}


if __name__ == "__main__":
    common.case_main({"export": export})
