"""A network whose weights do not fit into small budgets."""

from __future__ import annotations

from typing import Any

LAYERS, UNITS = 24, 512  # a megabyte of weights in each


def deep() -> Any:
    """24 MB: dense layers, and one weight that three steps share."""
    import keras

    keras.utils.set_random_seed(3)
    x = first = keras.Input((UNITS,), name="x", batch_size=1)
    shared = keras.layers.Dense(UNITS, activation="tanh", name="shared")
    for i in range(LAYERS):
        x = shared(x) if i % 8 == 7 else keras.layers.Dense(UNITS, activation="tanh", name=f"dense{i}")(x)
    return keras.Model(first, x, name="deep")
