"""How far outputs on samples are from one another, relative to the largest value of each output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wherry.quantize.search import likely_largest

Outputs = Sequence[Mapping[str, np.ndarray]]  # by name, for each batch


def largest_differences(expected: Outputs, found: Outputs) -> dict[str, float]:
    """Output -> the largest."""
    return {name: float(np.abs(part).max(initial=0.0)) for name, part in relative_differences(expected, found).items()}


def rms_difference(expected: Outputs, found: Outputs) -> float:
    """Root mean square, of the output where it is largest."""
    return max((rms(part) for part in relative_differences(expected, found).values()), default=0.0)


def likely_difference(expected: Outputs, found: Outputs) -> float:
    """The largest difference to expect of any output, on these inputs or as many others."""
    return max(
        (likely_largest(float(np.abs(part).max(initial=0.0)), rms(part), part.size)
         for part in relative_differences(expected, found).values()),
        default=0.0,
    )  # fmt: skip


def likely_of_rms(expected: Outputs, rms: float) -> float:
    """The largest difference to expect of as many values, where their root mean square is this."""
    return max((likely_largest(0.0, rms, len(expected) * value.size) for value in expected[0].values()), default=0.0)


def rms(part: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(part)))) if part.size else 0.0


def relative_differences(expected: Outputs, found: Outputs) -> dict[str, np.ndarray]:
    """Output -> of every value."""
    relative = {}
    for name in expected[0]:
        before = np.stack([batch[name] for batch in expected]).astype(np.float64)
        after = np.stack([batch[name] for batch in found]).astype(np.float64)
        largest = float(np.abs(before).max(initial=0.0))
        relative[name] = (after - before) / (largest if largest > 0 else 1.0)
    return relative
