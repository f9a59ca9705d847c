"""From what a tensor holds on samples to the scale of its codes: value = scale * (code - zero), codes 0 to 255."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from wherry.errors import UsageError

LEVELS = 255
BINS = 4096
METHODS = "minmax, percentile, percentile:P with P from 50 to 100, or least-error"
_PERCENTILE = 99.99
# Of so few values, as of means of channels, the extremes say little about those of others. No error that was measured
# says what cutting others would do, so nothing is cut, and there is room.
_FEW = 32768
_ROOM = 1.25


@dataclass(frozen=True)
class Calibration:
    """method: "minmax", "percentile" (of all values, this many percent are inside the range) or "least-error"."""

    method: str
    percentile: float = 100.0

    @property
    def needs_histogram(self) -> bool:
        return self.method != "minmax"

    def __str__(self) -> str:
        return f"percentile:{self.percentile:g}" if self.method == "percentile" else self.method


def parse_calibration(text: str) -> Calibration:
    """Reads what --calibration takes. Raises UsageError for anything else."""
    if text in ("minmax", "least-error"):
        return Calibration(text)
    match = re.fullmatch(r"percentile(?::(\d+(?:\.\d+)?))?", str(text))
    if match is None or not 50 <= float(match.group(1) or _PERCENTILE) <= 100:
        raise UsageError(f"{text!r} is not a way to calibrate; there are {METHODS}")
    return Calibration("percentile", float(match.group(1) or _PERCENTILE))


@dataclass(frozen=True)
class Scale:
    """What codes of a tensor stand for. 0 always has a code of its own."""

    scale: float
    zero: int

    def codes(self, values: np.ndarray) -> np.ndarray:
        """The runtime's QuantizeLinear, in float32."""
        return (self.steps(values.astype(np.float32)) + np.float32(self.zero)).astype(np.uint8)

    def steps(self, values: np.ndarray) -> np.ndarray:
        """Codes of float32 values, counted from that of 0, as floats."""
        steps = np.empty_like(values, np.float32)
        np.multiply(values, np.float32(1) / np.float32(self.scale), out=steps)
        np.rint(steps, out=steps)
        np.clip(steps, np.float32(-self.zero), np.float32(LEVELS - self.zero), out=steps)
        return steps

    def values(self, codes: np.ndarray) -> np.ndarray:
        return (codes.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)


def scale_of(low: float, high: float) -> Scale:
    """Codes for a range; it is widened to hold 0. A range that is nothing but 0 gets a scale of 1."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / LEVELS))
    if not 1e-12 <= scale <= 1e12:
        return Scale(1.0, 0 if low == 0 else LEVELS) if scale < 1e-12 else Scale(1e12, 128)
    return Scale(scale, min(LEVELS, max(0, round(-low / scale))))


@dataclass
class Observed:
    """Extremes of a tensor over all samples, and, once these are known, a histogram between them."""

    low: float = math.inf
    high: float = -math.inf
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def see(self, values: np.ndarray) -> None:
        if values.size:
            self.low = min(self.low, float(values.min()))
            self.high = max(self.high, float(values.max()))

    def count(self, values: np.ndarray) -> None:
        """Adds to the histogram of [low, high]; call it after `see` has seen everything."""
        if not self.counts.size:
            self.counts = np.zeros(BINS, np.int64)
        if self.high > self.low:
            factor = BINS / (self.high - self.low)
            bins = ((values.reshape(-1) - np.float32(self.low)) * np.float32(factor)).astype(np.int32)
            self.counts += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)

    def scale(self, calibration: Calibration) -> Scale:
        if not self.low <= self.high:
            return Scale(1.0, 0)
        if self.high == self.low or not calibration.needs_histogram or not self.counts.any():
            return scale_of(self.low, self.high)
        if calibration.method == "percentile":
            return scale_of(*self._percentile(calibration.percentile))
        if self.counts.sum() < _FEW:
            return scale_of(_ROOM * self.low, _ROOM * self.high)
        return self._least_error()

    def _edges(self) -> np.ndarray:
        return np.linspace(self.low, self.high, BINS + 1)

    def _percentile(self, percent: float) -> tuple[float, float]:
        """The range that leaves out (100 - percent) / 2 of the values on either side."""
        total = np.concatenate(([0], np.cumsum(self.counts)))
        outside = total[-1] * (100 - percent) / 200
        low = int(np.searchsorted(total, outside, side="right")) - 1
        high = int(np.searchsorted(total, total[-1] - outside, side="left"))
        edges = self._edges()
        return float(edges[max(low, 0)]), float(edges[min(high, BINS)])

    def _least_error(self) -> Scale:
        """The range whose codes have the least squared error: each side is drawn in, in turn, while that helps."""
        edges = self._edges()
        centres, weights = (edges[1:] + edges[:-1]) / 2, self.counts.astype(np.float64)
        used = weights > 0
        centres, weights = centres[used], weights[used]
        width = edges[1] - edges[0]

        def error(low: float, high: float) -> float:
            scale = scale_of(low, high)
            bottom, top = -scale.zero * scale.scale, (LEVELS - scale.zero) * scale.scale
            if scale.scale > 4 * width:  # a bin falls into one step: the error of its centre is that of its values
                return float((weights * (scale.values(scale.codes(centres)) - centres) ** 2).sum())
            cut = np.maximum(centres - top, 0) + np.maximum(bottom - centres, 0)
            return float((weights * cut**2).sum() + weights[cut == 0].sum() * scale.scale**2 / 12)

        best = (error(self.low, self.high), 1.0, 1.0)
        steps = np.linspace(1.0, 0.3, 71)
        for _ in range(3):
            before = best
            for step in steps:
                best = min(best, (error(self.low * step, self.high * best[2]), float(step), best[2]))
            for step in steps:
                best = min(best, (error(self.low * best[1], self.high * step), best[1], float(step)))
            if best == before:
                break
        return scale_of(self.low * best[1], self.high * best[2])
