"""What the parts of bench-memory share: how long to measure, the packs, the runner, and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.memory.packs import Model
from benchmarks.memory.runner import NativeRun, Runner


@dataclass
class Bench:
    """measured: raw results by the name of their part. failures: one line each; none of them is a figure."""

    rounds: int
    runs: int
    tries: int
    runner: Runner
    contect: Model
    contect_many: Model
    small: list[Model]
    measured: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _resident: dict[str, NativeRun] = field(default_factory=dict)

    @staticmethod
    def say(text: str) -> None:
        print(f"... {text}", file=sys.stderr, flush=True)

    def resident(self, model: Model) -> NativeRun:
        """The native runner with all weights in memory: whose bits all others must have. Contect has one answer,
        however it is cut."""
        whole = self.contect if model is self.contect_many else model
        if whole.name not in self._resident:
            self._resident[whole.name] = self.runner.run(whole, None)
        return self._resident[whole.name]

    def compare(self, what: str, model: Model, digests: Iterable[str]) -> None:
        """Outputs that differ in a bit from those of resident mode are a failure."""
        expected = self.resident(model).digest
        if any(digest != expected for digest in digests):
            self.failures.append(f"{what}: the outputs of {model.title} are not those of resident mode")


def inputs_of(model: Model) -> dict[str, str]:
    """For a case, whose arguments travel as JSON."""
    return {name: str(file) for name, file in model.inputs.items()}
