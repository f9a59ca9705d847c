"""Compiles a model of the zoo and compares the pack's answer with TensorFlow's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Largest difference relative to the largest output before any softmax, in float32. Rounding of a few hundred layers,
# summed in another order than TensorFlow's, stays below a tenth of it on every model here.
FLOAT32_LIMIT = 1e-4


@dataclass(frozen=True)
class Comparison:
    """relative: largest difference / largest output. seconds: compile, and one inference with one thread."""

    name: str
    relative: float
    compile_seconds: float
    run_seconds: float
    file_bytes: int
    arena_bytes: int
    arena_lower_bound: int
    steps: int
    identical: bool  # 1, 2, 11 and 50 partitions give the same bits


def compare(name: str, folder: Path, quantize: str | None = None, partitions: tuple[int, ...] = (1,)) -> Comparison:
    """Builds the model called `name`, runs it in TensorFlow and as packs with each number of partitions.

    A model with fewer steps than a number of partitions is cut into one a step instead.
    """
    import time

    import wherry
    import wherry.compiler

    from tests import zoo

    model = zoo.build(name)
    inputs = zoo.sample_inputs(name)
    expected = _tensorflow(model, inputs)
    answers: list[list[np.ndarray]] = []
    report, compile_seconds, run_seconds = None, 0.0, 0.0
    graph = wherry.compiler.optimised(model)
    for wanted in partitions:
        count = wanted if report is None else min(wanted, report.steps)
        path = folder / f"{name}_{count}.wherry"
        start = time.perf_counter()
        made = wherry.compile(graph, path, quantize=quantize if report is None else None, partitions=count)
        if report is None:
            report, compile_seconds = made, time.perf_counter() - start
        with wherry.Executor(path, threads=1) as whole:
            needed = whole.stats.memory_needed
        with wherry.Executor(path, threads=1, memory_budget=needed) as executor:
            renamed = dict(zip(executor.inputs, inputs.values(), strict=True))
            answers.append(list(executor.run(renamed).values()))
            run_seconds = executor.stats.inference_seconds
        path.unlink()
    assert report is not None
    largest = max(float(np.abs(e).max()) for e in expected)
    worst = max(float(np.abs(a - e).max()) for a, e in zip(answers[0], expected, strict=True))
    same = all(np.array_equal(a, b) for other in answers[1:] for a, b in zip(answers[0], other, strict=True))
    return Comparison(
        name, worst / largest, compile_seconds, run_seconds, report.file_bytes, report.arena_bytes,
        report.arena_lower_bound, report.steps, same,
    )


def _tensorflow(model: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    outputs = model(inputs if len(inputs) > 1 else next(iter(inputs.values())), training=False)
    return [np.asarray(o) for o in (outputs if isinstance(outputs, list | tuple) else [outputs])]
