"""The benchmark's inputs and outputs on disk, and how two programs' outputs are compared.

Every program runs the same spectrograms one by one (batch 1) and saves its outputs stacked. They are compared
before the softmax: the largest difference of any logit, relative to the reference's largest logit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import common

Array = NDArray[np.float32]
Run = Callable[[Array], Mapping[str, Array]]

FOLDER = common.OUTPUT / "contect"
SAVED_MODEL = FOLDER / "saved_model"
INPUTS = FOLDER / "inputs.npz"
OUTPUT_NAMES = ("logits", "probabilities")
THREADS = 2


def load_inputs() -> list[Array]:
    """The test spectrograms, each a batch of one: float32 [1, 128, 128, 1]."""
    with np.load(INPUTS) as file:
        return [np.ascontiguousarray(image[None]) for image in file["spectrogram"]]


def run_all(run: Run, inputs: list[Array], output: Path) -> None:
    """Runs every input once and saves the stacked outputs by their names."""
    results = [run(image) for image in inputs]
    logits, probabilities = (np.concatenate([r[name] for r in results]) for name in OUTPUT_NAMES)
    np.savez(output, logits=logits, probabilities=probabilities)


def measure(load: Callable[[], Run], program: str, runs: int) -> dict[str, Any]:
    """The measurements every program's case makes: call it after the imports, before the model is touched.

    Load seconds, first and median inference seconds of one spectrogram, and what all of it added to the
    process's memory. The outputs go to outputs_<program>.npz, written after the measurements.
    """
    inputs = load_inputs()
    gain = common.MemoryGain()
    run, load_seconds = common.timed(load)
    loaded = gain.to_json()
    _, first_seconds = common.timed(lambda: run(inputs[0]))
    median, single = common.median_seconds(lambda: run(inputs[0]), runs)
    memory = gain.to_json()
    run_all(run, inputs, FOLDER / f"outputs_{program}.npz")
    return {
        "load_seconds": load_seconds,
        "first_inference_seconds": first_seconds,
        "inference_seconds": median,
        "inference_runs": single,
        "peak_added_bytes": memory["peak_added_bytes"],
        "memory": memory,
        "memory_after_load": loaded,
    }


def relative_difference(program: str, reference: str = "tensorflow") -> float:
    """Largest difference of any logit from the reference's, relative to the reference's largest logit."""
    with np.load(FOLDER / f"outputs_{reference}.npz") as file:
        expected = file["logits"].astype(np.float64)
    with np.load(FOLDER / f"outputs_{program}.npz") as file:
        actual = file["logits"].astype(np.float64)
    if actual.shape != expected.shape:
        raise ValueError(f"{program}: logits have shape {actual.shape}, {reference}'s have {expected.shape}")
    return float(np.abs(actual - expected).max() / np.abs(expected).max())
