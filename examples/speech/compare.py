"""Compares ways of running the model with TensorFlow, and prints the comparison as one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import Figures
from numpy.typing import NDArray

# Largest difference before the softmax, relative to the largest value there, of Wherry from TensorFlow with the same
# weights. What quantization itself costs is shown beside it and has no limit here; the syllables must not change.
LIMIT = 1e-4


@dataclass(frozen=True)
class Result:
    """What one way of running the model answered, and what it cost.

    title: two lines for the head of its column. probabilities: [clips, labels]. same_weights: the title of the
    TensorFlow result that has the same weights, None for TensorFlow itself.
    """

    title: tuple[str, str]
    probabilities: NDArray[np.float32]
    figures: Figures
    same_weights: tuple[str, str] | None = None


def read_outputs(folder: Path, clips: Sequence[str]) -> NDArray[np.float32]:
    """The probabilities of all clips, [clips, labels], from the .npy files that a way of running left."""
    return np.concatenate([np.load(folder / f"{clip}.npy") for clip in clips])


def before_softmax(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """The values that the softmax was given, each clip's less their mean, which the softmax does not depend on."""
    logarithms = np.log(probabilities.astype(np.float64))
    return logarithms - logarithms.mean(axis=-1, keepdims=True)


def difference(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest difference before the softmax, relative to the largest expected value there."""
    wanted = before_softmax(expected)
    return float(np.abs(before_softmax(actual) - wanted).max() / np.abs(wanted).max())


def recognised(probabilities: NDArray[np.float32], labels: Sequence[str]) -> list[str]:
    """The most probable label of each clip."""
    return [labels[int(number)] for number in probabilities.argmax(axis=-1)]


def same_weights_difference(result: Result, results: Sequence[Result]) -> float | None:
    """How far a result is from TensorFlow with the same weights: what arithmetic costs, without quantization."""
    for other in results:
        if other.title == result.same_weights:
            return difference(result.probabilities, other.probabilities)
    return None


def problems(results: Sequence[Result], clips: Sequence[str], labels: Sequence[str]) -> list[str]:
    """One line for everything that is not as it must be; the first result is the reference."""
    found: list[str] = []
    reference = recognised(results[0].probabilities, labels)
    for result in results:
        name = " ".join(result.title)
        if not np.isfinite(result.probabilities).all():
            found.append(f"{name}: an output is not finite")
            continue
        for clip, wanted, heard in zip(clips, reference, recognised(result.probabilities, labels), strict=True):
            if heard != wanted:
                found.append(f"{name}: {clip} is {heard!r}, TensorFlow says {wanted!r}")
        apart = same_weights_difference(result, results)
        if apart is not None and not apart <= LIMIT:
            found.append(f"{name}: {apart:.2g} from TensorFlow with the same weights; the limit is {LIMIT:g}")
    return found


def table(results: Sequence[Result], clips: Sequence[str], labels: Sequence[str]) -> str:
    """One column for each way of running, one row for each clip and each figure."""
    rows = [["", *(result.title[0] for result in results)], ["", *(result.title[1] for result in results)]]
    rows.append([])
    heard = [recognised(result.probabilities, labels) for result in results]
    rows += [[f"{clip}.wav", *(column[row] for column in heard)] for row, clip in enumerate(clips)]
    rows.append([])
    reference = results[0].probabilities
    rows.append(["largest difference from TensorFlow", *(
        "-" if number == 0 else f"{np.abs(result.probabilities - reference).max():.1e}"
        for number, result in enumerate(results)
    )])
    rows.append(["  before the softmax, relative", *(
        "-" if number == 0 else f"{difference(result.probabilities, reference):.1e}"
        for number, result in enumerate(results)
    )])
    rows.append(["  the same, with the same weights", *(
        "-" if apart is None else f"{apart:.1e}"
        for apart in (same_weights_difference(result, results) for result in results)
    )])
    rows.append([])
    for name, show in _FIGURES:
        rows.append([name, *(show(result.figures) for result in results)])
    return _aligned(rows)


def _bytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:,.2f} MB"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms"


_FIGURES: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("model file", lambda figures: _bytes(figures.file_bytes)),
    ("library", lambda figures: _bytes(figures.library_bytes)),
    ("peak memory added", lambda figures: _bytes(figures.memory_bytes)),
    ("load", lambda figures: _time(figures.load_seconds)),
    ("inference", lambda figures: _time(figures.inference_seconds)),
)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right; an empty row becomes a rule."""
    filled = [row for row in rows if row]
    widths = [max(len(row[column]) for row in filled) for column in range(len(filled[0]))]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        if row else rule
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
