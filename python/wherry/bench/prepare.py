"""Makes what the ways to run a model need: the optimised graph in partitions for TensorFlow, packs, inputs for all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wherry.bench.ways import Way
from wherry.errors import BudgetError, UsageError
from wherry.graph import Ref
from wherry.output_error import random_inputs
from wherry.quantize import parse_scheme
from wherry.runtime.executor import parse_bytes

PAPER_QUANTIZE = "minmax:8"  # 8-bit buckets between a tensor's minimum and maximum
TENSORFLOW, WHERRY = "TensorFlow", "Wherry"


@dataclass(frozen=True)
class Setting:
    """A model and how all the ways run it.

    threads: how many compute; 0 is one for each processor
    quantize, memory_budget: for packs, as for `wherry.compile`; without a budget each gets the smallest it runs in
    load: options of `wherry.load`
    """

    model: str
    threads: int = 1
    quantize: str | None = None
    memory_budget: int | str | None = None
    load: Mapping[str, Any] = field(default_factory=dict)


class Prepared:
    """A model, prepared in a folder that the caller deletes.

    Raises what `wherry.compile` raises, and UsageError for a format that needs samples.
    """

    def __init__(self, setting: Setting, folder: Path) -> None:
        if setting.threads < 0:
            raise UsageError(f"threads must be 0 or more, not {setting.threads}")
        scheme = parse_scheme(setting.quantize)
        if scheme is not None and scheme.static:
            raise UsageError(f"a bench has no samples for {scheme}; compile the model and give wherry bench the pack")
        self._model, self._folder, self._load = setting.model, folder, dict(setting.load)
        self._threads = setting.threads or os.cpu_count() or 1
        self._quantize = str(scheme) if scheme is not None else "none"
        self._budget = parse_bytes(setting.memory_budget)
        self._inputs = folder / "inputs.npz"
        self._made: list[Path] = []
        self._optimise()

    def _optimise(self) -> None:
        from wherry.compiler import optimised
        from wherry.plan.lower import lower
        from wherry.quantize import quantize_weights

        self._graph = optimised(self._model, **self._load)
        kinds = {name: self._graph.type_of(Ref(node)) for name, node in self._graph.inputs.items()}
        with self._inputs.open("wb") as file:
            np.savez(file, **random_inputs(kinds))  # type: ignore[arg-type]
        scheme = parse_scheme(PAPER_QUANTIZE)
        assert scheme is not None
        quantize_weights(self._graph, scheme)
        self._program = lower(self._graph)

    @property
    def steps(self) -> int:
        """How many partitions TensorFlow's way can have."""
        return len(self._program.steps)

    def as_is(self) -> Way:
        """The model in TensorFlow, untouched."""
        path = Path(self._model)
        arguments = {
            "path": path, "inputs": self._inputs, "threads": self._threads,
            "outputs": list(self._graph.outputs), "signature": self._load.get("signature"),
        }  # fmt: skip
        files = path.parent if path.name in ("saved_model.pb", "saved_model.pbtxt") else path
        return Way("as is", TENSORFLOW, "as_is", files, arguments)

    def tensorflow(self, name: str, partitions: int) -> Way:
        """The optimised model with the paper's weights in TensorFlow, each partition loaded for every inference."""
        from wherry.runtime.tensorflow_partitions import write_partitions

        folder = self._folder / f"tensorflow{partitions}"
        folder.mkdir()
        self._made.append(folder)
        write_partitions(self._graph, self._program, partitions, folder)
        arguments = {"folder": folder, "inputs": self._inputs, "threads": self._threads}
        return Way(name, TENSORFLOW, "tensorflow_partitions", folder, arguments, partitions, PAPER_QUANTIZE)

    def wherry(self, name: str, partitions: int) -> tuple[Way, int]:
        """A pack in the runtime, inside the budget; and how many partitions a pack of this model can have."""
        from wherry.compiler import compile

        pack = self._folder / f"{partitions}.wherry"
        self._made.append(pack)
        report = compile(
            self._model, pack, quantize=self._quantize, partitions=partitions, threads=self._threads, **self._load
        )
        budget = self._budget or report.memory_needed
        if budget < report.memory_needed:
            raise BudgetError(
                f"{report.partitions} partitions of {self._model} cannot run in {budget} bytes; a budget of "
                f"{report.memory_needed} will do"
            )
        arguments = {"pack": pack, "inputs": self._inputs, "threads": self._threads, "memory_budget": budget}
        way = Way(name, WHERRY, "wherry_pack", pack, arguments, partitions, self._quantize, budget)
        return way, report.steps

    def discard(self) -> None:
        """Deletes what `tensorflow` and `wherry` have made so far."""
        for path in self._made:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self._made.clear()
