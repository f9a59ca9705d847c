"""A small network with residual blocks, a recurrent layer and an embedding, compiled into packs for the tests of plan,
pack, runtime and command line."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wherry
from wherry.errors import RuntimeFailure
from wherry.graph import Graph, QuantizedValue
from wherry.ops.rules import ACTIVATION_BITS, REDUCED
from wherry.plan.arena import plan_arena
from wherry.plan.lower import lower
from wherry.plan.program import Program
from wherry.quantize.formats import INT16, quantize

BLOCKS = 13


def network() -> Any:
    """A keras.Model of two inputs, "image" [1, 16, 16, 3] and "words" [1, 6] int32, and two outputs."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(11)
    image = keras.Input((16, 16, 3), name="image")
    words = keras.Input((6,), dtype="int32", name="words")
    x = keras.layers.Conv2D(24, 3, padding="same", activation="relu", name="stem")(image)
    for i in range(BLOCKS):
        y = keras.layers.DepthwiseConv2D(3, padding="same", name=f"block{i}_depthwise")(x)
        y = keras.layers.BatchNormalization(name=f"block{i}_norm")(y)
        y = keras.layers.Conv2D(24, 3 if i % 4 == 0 else 1, padding="same", activation="relu", name=f"block{i}_conv")(y)
        x = keras.layers.Add(name=f"block{i}_add")([x, y])
        if i % 4 == 3:
            x = keras.layers.MaxPooling2D(name=f"block{i}_pool")(x)
    x = keras.layers.Reshape((4, 24), name="rows")(x)
    y = keras.layers.Embedding(64, 24, name="embedding")(words)
    z = keras.layers.Concatenate(axis=1, name="both")([x, y])
    z = keras.layers.LSTM(32, name="lstm")(z)
    wide = keras.layers.Dense(512, activation="tanh", name="wide")(z)
    classes = keras.layers.Dense(10, name="classes")(wide)
    return keras.Model([image, words], {"classes": classes, "state": z}, name="small")


@functools.cache
def _optimised() -> Graph:
    from wherry.compiler import optimised

    return optimised(network())


def graph() -> Graph:
    """The network, loaded and optimised; a copy that the test may change."""
    return copy.deepcopy(_optimised())


def program(quantize: str | None = None) -> Program:
    """The network, lowered, with its arena planned."""
    from wherry.quantize import parse_scheme, quantize_weights

    held = graph()
    scheme = parse_scheme(quantize)
    if scheme is not None:
        quantize_weights(held, scheme)
    lowered = lower(held)
    plan_arena(lowered)
    return lowered


def pack(folder: Path, name: str = "small.wherry", **options: Any) -> Path:
    """The network as a pack; options as of wherry.compile."""
    import wherry

    options.setdefault("measure_outputs", False)
    wherry.compile(graph(), folder / name, **options)
    return folder / name


def inputs(seed: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.normal(size=(1, 16, 16, 3)).astype(np.float32),
        "words": rng.integers(0, 64, (1, 6), dtype=np.int32),
    }


def widen(graph: Graph, weights: bool) -> None:
    """16-bit codes for what layers in whole numbers read, in a graph that was compiled in int8; with `weights` for
    those too, unless they are recurrent. Such weights get back what rounding to 8 bits may have taken, so that low
    bytes matter. Compiling the graph again gives the pack."""
    for layer in [node for node in graph.nodes.values() if REDUCED in node.attrs]:
        layer.attrs[ACTIVATION_BITS] = 16
        widest = weights and layer.op != "BlockLSTMV2"
        for node in [graph.nodes[ref.node] for ref in layer.inputs] if widest else []:
            if isinstance(node.value, QuantizedValue) and node.value.format == "int8":
                values = node.value.numpy()
                rounded_off = np.random.default_rng(0).uniform(-0.5, 0.5, values.shape) * np.abs(values).max() / 127
                node.value = quantize((values + rounded_off).astype(np.float32), INT16, node.value.axis)


def run(path: Path | bytes, **options: Any) -> dict[str, np.ndarray]:
    """One run of a pack on `inputs()`."""
    import wherry

    with wherry.Executor(path, **options) as executor:
        return executor.run(inputs())


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def resumes(path: Path, inputs: dict[str, np.ndarray], stops: Iterable[int], folder: Path) -> None:
    """A run cut off behind any of these partitions goes on from its checkpoint to the outputs of a whole one."""
    with wherry.Executor(path, threads=1) as executor:
        wanted = executor.run(inputs)
    for stop in stops:
        kept = folder / f"{stop}.checkpoint"
        with wherry.Executor(path, threads=1, checkpoint=kept) as executor:
            executor.on_progress(lambda done, _, stop=stop: done == stop)
            with pytest.raises(RuntimeFailure):
                executor.run(inputs)
        with wherry.Executor(path, threads=2, checkpoint=kept) as executor:
            assert same_bits(executor.run(inputs), wanted), f"went on behind partition {stop}"
