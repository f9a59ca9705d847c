"""Every model that has to come out right, by name: small, seeded, and with statistics that matter.

Weights are random. Batch norms get random scales and offsets, and moving statistics measured on random inputs and
then disturbed, so that ignoring any of the four parameters changes the answer while activations stay near one.
Classifiers end before their softmax. Every model has inputs named "x" (batch of one).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

CLASSES = 16
SEED = 20180531

# keras.applications: name -> (constructor, height = width of the input)
APPLICATIONS: dict[str, tuple[str, int]] = {
    "mobilenet": ("MobileNet", 64),
    "mobilenetv2": ("MobileNetV2", 64),
    "mobilenetv3small": ("MobileNetV3Small", 64),
    "resnet50": ("ResNet50", 64),
    "resnet50v2": ("ResNet50V2", 64),
    "efficientnetb0": ("EfficientNetB0", 64),
    "densenet121": ("DenseNet121", 64),
    "inceptionv3": ("InceptionV3", 96),
    "xception": ("Xception", 96),
    "nasnetmobile": ("NASNetMobile", 64),
    "vgg16": ("VGG16", 64),
}


def build(name: str, size: int | None = None, classes: int = CLASSES) -> Any:
    """The keras.Model called `name`. For image models, `size` overrides height and width, `classes` the outputs."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    if name in APPLICATIONS:
        constructor, default = APPLICATIONS[name]
        side = size or default
        model = getattr(keras.applications, constructor)(
            weights=None,
            classes=classes,
            classifier_activation=None,
            input_tensor=keras.Input((side, side, 3), name="x"),
        )
    else:
        model = _BUILDERS[name](keras)
    _randomise(model, keras)
    return model


def sample_inputs(name: str, size: int | None = None, seed: int = 7, batch: int = 1) -> dict[str, np.ndarray]:
    """Inputs of the signature, seeded: images in 0..255 where the model rescales them itself, else around zero."""
    rng = np.random.default_rng(seed)
    if name in APPLICATIONS:
        side = size or APPLICATIONS[name][1]
        if name in ("efficientnetb0", "mobilenetv3small"):
            return {"x": rng.uniform(0, 255, (batch, side, side, 3)).astype(np.float32)}
        return {"x": rng.normal(size=(batch, side, side, 3)).astype(np.float32)}
    if name == "text_classifier":
        return {"x": rng.integers(0, 200, (batch, 24), dtype=np.int32)}
    if name == "autoencoder":
        return {"x": rng.normal(size=(batch, 32, 32, 3)).astype(np.float32)}
    return {"x": rng.normal(size=(batch, 12, 10)).astype(np.float32)}


def _stacked_lstm(keras: Any) -> Any:
    x = keras.Input((12, 10), name="x")
    y = keras.layers.LSTM(24, return_sequences=True)(x)
    y = keras.layers.LSTM(16)(y)
    return keras.Model(x, keras.layers.Dense(CLASSES)(y))


def _gru(keras: Any) -> Any:
    x = keras.Input((12, 10), name="x")
    y = keras.layers.GRU(24, return_sequences=True)(x)
    y = keras.layers.GRU(16)(y)
    return keras.Model(x, keras.layers.Dense(CLASSES)(y))


def _bidirectional_lstm(keras: Any) -> Any:
    x = keras.Input((12, 10), name="x")
    y = keras.layers.Bidirectional(keras.layers.LSTM(12, return_sequences=True))(x)
    y = keras.layers.Bidirectional(keras.layers.LSTM(8))(y)
    return keras.Model(x, keras.layers.Dense(CLASSES)(y))


def _bidirectional_gru(keras: Any) -> Any:
    x = keras.Input((12, 10), name="x")
    y = keras.layers.Bidirectional(keras.layers.GRU(12, return_sequences=True))(x)
    y = keras.layers.Bidirectional(keras.layers.GRU(8))(y)
    return keras.Model(x, keras.layers.Dense(CLASSES)(y))


def _text_classifier(keras: Any) -> Any:
    x = keras.Input((24,), dtype="int32", name="x")
    y = keras.layers.Embedding(200, 16)(x)
    y = keras.layers.Conv1D(32, 5, activation="relu")(y)
    y = keras.layers.MaxPooling1D(2)(y)
    y = keras.layers.Conv1D(32, 3, padding="same", dilation_rate=2, activation="relu")(y)
    y = keras.layers.GlobalMaxPooling1D()(y)
    y = keras.layers.Dense(24, activation="relu")(y)
    y = keras.layers.Dropout(0.3)(y)
    return keras.Model(x, keras.layers.Dense(CLASSES)(y))


def _transformer(keras: Any) -> Any:
    """Two blocks of self-attention, the second with fewer keys than queries and looking back only."""
    x = keras.Input((12, 10), name="x")
    y = keras.layers.Dense(32)(x)
    attentions = (keras.layers.MultiHeadAttention(4, 8), keras.layers.GroupQueryAttention(8, 4, 2))
    for attention, causal in zip(attentions, (False, True), strict=True):
        y = keras.layers.LayerNormalization(epsilon=1e-6)(y + attention(y, y, use_causal_mask=causal))
        wide = keras.layers.Dense(64, activation="gelu")(y)
        y = keras.layers.LayerNormalization(epsilon=1e-6)(y + keras.layers.Dense(32)(wide))
    y = keras.layers.GlobalAveragePooling1D()(y)
    return keras.Model(x, keras.layers.Dense(CLASSES)(y))


def _autoencoder(keras: Any) -> Any:
    x = keras.Input((32, 32, 3), name="x")
    y = keras.layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(x)
    y = keras.layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(y)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.LeakyReLU(0.1)(y)
    y = keras.layers.Conv2DTranspose(12, 3, strides=2, padding="same", activation="relu")(y)
    y = keras.layers.Conv2DTranspose(12, 4, strides=1, padding="valid", use_bias=False)(y)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.ReLU()(y)
    y = keras.layers.Cropping2D(((1, 2), (2, 1)))(y)
    y = keras.layers.UpSampling2D(2)(y)
    y = keras.layers.Conv2D(8, 3, padding="same", activation="elu")(y)
    y = keras.layers.UpSampling2D(2, interpolation="bilinear")(y)
    return keras.Model(x, keras.layers.Conv2D(3, 3, padding="same")(y))


_BUILDERS: dict[str, Callable[[Any], Any]] = {
    "stacked_lstm": _stacked_lstm,
    "gru": _gru,
    "bidirectional_lstm": _bidirectional_lstm,
    "bidirectional_gru": _bidirectional_gru,
    "text_classifier": _text_classifier,
    "transformer": _transformer,
    "autoencoder": _autoencoder,
}

NAMES: tuple[str, ...] = (*APPLICATIONS, *_BUILDERS)
FAST: tuple[str, ...] = ("mobilenet", "mobilenetv2", "mobilenetv3small", *_BUILDERS)


def _randomise(model: Any, keras: Any) -> None:
    rng = np.random.default_rng(SEED)
    norms = []
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            norms.append(layer)
            if layer.gamma is not None:
                # The last norm of a residual branch is small, as training leaves it: with gammas near one, ResNet50
                # amplifies rounding so much that comparing two programs would say little about them.
                low, high = (0.1, 0.4) if layer.name.endswith("_3_bn") else (0.6, 1.4)
                layer.gamma.assign(rng.uniform(low, high, layer.gamma.shape))
            if layer.beta is not None:
                layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
        elif isinstance(layer, keras.layers.Normalization):
            layer.mean, layer.variance = layer.mean + 0.4, layer.variance * 1.3
        elif (bias := getattr(layer, "bias", None)) is not None:
            bias.assign(rng.normal(0, 0.1, bias.shape))
            if getattr(layer, "activation", None) is keras.activations.relu:  # which halves the variance
                layer.kernel.assign(layer.kernel * np.float32(np.sqrt(2)))
    if norms:
        _measure(model, norms, rng)


def _measure(model: Any, norms: list[Any], rng: np.random.Generator) -> None:
    """Sets moving statistics to those of one random batch, then disturbs them."""
    shape = (4, *model.input_shape[1:])
    scale = 255 if any(layer.name.startswith("rescaling") for layer in model.layers) else None
    batch = rng.uniform(0, scale, shape) if scale else rng.normal(size=shape)
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(batch.astype(np.float32), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        mean, variance = np.array(layer.moving_mean), np.array(layer.moving_variance)
        # Random images look alike deep in a network, so their variance there says nothing of the disturbed network's.
        variance = np.maximum(variance, 0.4 * (variance + mean**2).mean() + 1e-3)
        layer.moving_mean.assign(mean + rng.normal(0, 0.2, mean.shape) * np.sqrt(variance))
        layer.moving_variance.assign(variance * rng.uniform(0.6, 1.6, variance.shape))
