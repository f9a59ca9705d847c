"""From a model to a pack: load, optimise, quantize, lower, plan, write. `wherry.compile` is this."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wherry.errors import BudgetError, LoadError, PackError, UsageError
from wherry.graph import DType, Graph, Ref
from wherry.ops.rules import WeightUse
from wherry.output_error import FloatReference
from wherry.output_error import Samples as SampleInputs
from wherry.pack.reader import is_pack
from wherry.plan.arena import plan_arena
from wherry.plan.bands import band_rows
from wherry.plan.lower import lower
from wherry.plan.partition import Partition, by_count, by_limit
from wherry.plan.program import Program
from wherry.plan.slices import slice_columns
from wherry.quantize import (
    ArithmeticReport,
    QuantizeReport,
    WeightScheme,
    fit_arithmetic,
    half_layers,
    integer_layers,
    parse_scheme,
    quantize_weights,
    set_arithmetic,
)  # fmt: skip
from wherry.quantize.apply import count_weight_bytes
from wherry.quantize.bias import correct_biases, input_means
from wherry.quantize.compensate import compensated_weights
from wherry.quantize.differences import Outputs
from wherry.quantize.static.apply import TOLERANCE, quantize_static
from wherry.quantize.static.ranges import Calibration, parse_calibration
from wherry.quantize.static.samples import Samples, SampleSource
from wherry.runtime.executor import parse_bytes
from wherry.runtime.single_kernel import half_isas
from wherry.runtime.trial import PLANNED_THREADS, memory_needed
from wherry.text import counted

_OVERHEAD = 4 << 20  # of what tables and scratch memory may take beside the weights of a partition


@dataclass
class CompileReport:
    """What `compile` made. Sizes in bytes, times in seconds.

    arena_bytes: what tensors take; arena_lower_bound: those that live together at the worst moment; order_lower_bound:
    what some moment needs in every order of the steps; no more than arena_lower_bound where layers run in bands of rows
    """

    pack: str
    file_bytes: int
    steps: int
    partitions: int
    largest_partition_bytes: int
    arena_bytes: int
    arena_lower_bound: int
    order_lower_bound: int
    memory_needed: int
    threads: int
    kernels: list[str]
    quantize: QuantizeReport | None = None
    passes: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def optimised(model: Any, **options: Any) -> Graph:
    """Loads a model (or takes a Graph as it is) and runs all passes."""
    graph, _ = _optimised(model, options)
    return graph


def _optimised(
    model: Any, options: Mapping[str, Any], for_codes: bool = False
) -> tuple[Graph, list[dict[str, Any]]]:
    if isinstance(model, str | os.PathLike):  # said before TensorFlow is imported
        if not Path(model).exists():
            raise LoadError(f"{os.fspath(model)}: there is no such file or folder")
        if is_pack(model):
            raise LoadError(f"{os.fspath(model)}: this is a pack already; give the model that it was made of")
    from wherry.frontend import load
    from wherry.passes import CODE_PASSES, PASSES, optimise

    graph = model if isinstance(model, Graph) else load(model, **options)
    report = optimise(graph, CODE_PASSES if for_codes else PASSES)
    return graph, [dict(record._asdict()) for record in report.records]


def check_finite(program: Program) -> None:
    """Raises LoadError naming the first weight that holds NaN (or, where it is multiplied, infinity)."""
    for step in program.steps:
        for tensor in step.inputs:
            if tensor.weight is None or tensor.dtype not in (DType.FLOAT, DType.HALF, DType.DOUBLE):
                continue
            if hasattr(tensor.weight.value, "codes"):
                continue  # quantization has looked
            values = tensor.weight.value.numpy()
            strict = tensor.weight.use is not WeightUse.PLAIN
            bad = not np.isfinite(values).all() if strict else bool(np.isnan(values).any())
            if bad:
                raise LoadError(
                    f"{program.name}: weight {tensor.name!r} of node {step.name!r} holds NaN or infinity; "
                    "mend the model"
                )


class _TooMuch(Exception):
    def __init__(self, needed: int) -> None:
        self.needed = needed


def _write(
    program: Program, cut: list[Partition], path: Path, budget: int, provenance: Mapping[str, Any], threads: int
) -> int:
    """Writes a pack that the runtime has opened; returns the memory that it needs. Raises _TooMuch beyond a budget."""
    from wherry.pack.writer import write_pack

    needed = 0

    def check(written: Path) -> None:
        nonlocal needed
        needed = memory_needed(written, program.name, threads)
        if budget and needed > budget:
            raise _TooMuch(needed)

    write_pack(program, cut, path, budget, provenance, check)
    return needed


def _write_within(
    program: Program, path: Path, budget: int, provenance: Mapping[str, Any], threads: int
) -> tuple[list[Partition], int]:
    """Cuts the program so that it runs inside the budget, and writes it. Returns the cut and the memory needed."""
    largest = max(program.steps, key=lambda step: step.weight_bytes, default=None)
    largest_step = largest.weight_bytes if largest is not None else 0
    partitions = by_limit(program, max(budget - program.arena_bytes - min(_OVERHEAD, budget // 16), largest_step))
    while True:
        try:
            return partitions, _write(program, partitions, path, budget, provenance, threads)
        except _TooMuch as error:
            if len(partitions) > 1:  # each has a line in a table
                partitions = by_count(program, len(partitions) // 2)
                continue
            fewer = ", or fewer threads" if threads > 1 and program.arena_bytes + largest_step < budget else ""
            raise BudgetError(
                f"{program.name} cannot run in {budget} bytes: tensors take up to {program.arena_bytes}, the weights "
                f"of {largest.name if largest is not None else 'no step'!r}, which are read together, {largest_step}, "
                f"and there are tables and the scratch memory of {counted(threads, 'thread')}; "
                f"a budget of {error.needed} will do{fewer}"
            ) from None


def compile(
    model: Any,
    output: str | os.PathLike[str],
    quantize: str | None = None,
    memory_budget: int | str | None = None,
    partitions: int | None = None,
    signature: str | None = None,
    input_shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
    outputs: Sequence[str] | None = None,
    samples: SampleInputs = None,
    measure_outputs: bool = True,
    threads: int = PLANNED_THREADS,
    calibrate: SampleSource | None = None,
    calibration: str | None = None,
    tolerance: float | None = None,
) -> CompileReport:
    """Compiles a model into a pack.

    model: what `wherry.load` takes, or a Graph
    output: where the pack goes; written whole or not at all
    quantize: "int8" (products in whole numbers where outputs stay within `tolerance`), "int8-weights" (8-bit weights,
        float arithmetic), "float16" (float arithmetic too), "float16-arithmetic" (products in half precision on CPUs
        that have it, where outputs stay within `tolerance`), "minmax:N" (N from 2 to 16; ":channel" appended for a
        range per channel),
        "int8-static" (activations of 8 bits too, which needs `calibrate`), or None
    memory_budget: the most bytes that running may add to a process, like "64MB"; sets the partitions
    partitions: how many, instead of a budget
    samples: inputs by name, or an .npz of them, on which quantized and float32 outputs are compared; otherwise random
        ones, or those of `calibrate`. measure_outputs=False leaves that out
    threads: for how many the budget must do; each has scratch memory of its own
    calibrate: for int8-static, samples of every input, by name or an .npz of them; the first axis counts samples
    calibration: how they give ranges: "minmax", "percentile", "percentile:P" or "least-error" (the default)
    tolerance: for int8, int8-static and float16-arithmetic, how far outputs may be from float32 on the samples,
        relative to the largest value (0.02 when not given); layers compute more exactly, or stay in float arithmetic,
        until that holds. More is faster

    Raises LoadError, UsageError, MissingKernelError, BudgetError or PackError; each says what to do.
    """
    _check_arguments(memory_budget, partitions, threads)
    scheme = parse_scheme(quantize)
    held = _tolerance(scheme, tolerance)
    for option, source in (("samples", samples), ("calibrate", calibrate)):
        if source is not None and not isinstance(source, (str, os.PathLike, Mapping)):
            raise UsageError(f"{option}: give them by the inputs' names, {{'x': array}}, or as the path of an .npz")
    static = _static_options(scheme, calibrate, calibration)
    if samples is not None and scheme is None:
        raise UsageError("samples have no effect on a model that is not quantized; say how with quantize")
    budget = parse_bytes(memory_budget)
    path = Path(output)
    if not (path.parent or Path()).is_dir():
        raise PackError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise PackError(f"{path}: this is a folder; name a file such as {path / 'model.wherry'}")
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    options = {"signature": signature, "input_shapes": input_shapes, "outputs": outputs}
    graph, passes = _optimised(model, options, for_codes=static is not None)
    seconds["optimise"] = time.perf_counter() - start
    start = time.perf_counter()
    measures = scheme is not None and measure_outputs and (static is None or samples is not None)
    reference = FloatReference(lower(graph), samples) if measures else None
    report = None
    if static is not None and calibrate is not None:
        inputs = {name: graph.type_of(Ref(node)) for name, node in graph.inputs.items()}
        report = quantize_static(graph, Samples(calibrate, inputs), static, held)
    elif scheme is not None:
        report = _quantized(graph, scheme, reference, samples is not None, held)
    seconds["quantize"] = time.perf_counter() - start
    start = time.perf_counter()
    program = lower(graph)
    check_finite(program)
    band_rows(program)
    plan_arena(program)
    slice_columns(program)
    seconds["plan"] = time.perf_counter() - start
    start = time.perf_counter()
    provenance = _provenance(model, graph, quantize)
    if report is not None and report.static is not None:
        provenance["calibration"] = report.static.calibration
        for form in ("dynamic", "wide", "float"):
            provenance[f"{form} layers"] = ", ".join(report.static.names_of(form)) or "none"
    if budget:
        cut, needed = _write_within(program, path, budget, provenance, threads)
    else:
        cut = by_count(program, partitions if partitions is not None else 1)
        needed = _write(program, cut, path, 0, provenance, threads)
    seconds["write"] = time.perf_counter() - start
    if report is not None and reference is not None:
        report.outputs = reference.compare(path)
    return CompileReport(
        pack=str(path),
        file_bytes=path.stat().st_size,
        steps=len(program.steps),
        partitions=len(cut),
        largest_partition_bytes=max((p.weight_bytes for p in cut), default=0),
        arena_bytes=program.arena_bytes,
        arena_lower_bound=program.arena_lower_bound,
        order_lower_bound=program.order_lower_bound,
        memory_needed=needed,
        threads=threads,
        kernels=sorted({step.kernel for step in program.steps}),
        quantize=report,
        passes=passes,
        seconds=seconds,
    )


def _quantized(
    graph: Graph, scheme: WeightScheme, reference: FloatReference | None, typical: bool, limit: float
) -> QuantizeReport:
    """Quantizes the weights, and makes products in whole numbers or halves where the scheme and the outputs say so.

    limit: how far that may move an output, relative to its largest value, before layers go back to floats. typical: the
    reference's inputs are like those that the model will get, so that weights can be rounded and
    biases corrected on them.
    A machine without half precision cannot measure what it does: then all layers that can get it.
    """
    constants = {name: node.value for name, node in graph.nodes.items() if node.value is not None}
    batches = reference.batches if scheme.integer and reference is not None and typical else []
    means = input_means(graph, lambda: batches) if batches else {}
    rounded = compensated_weights(graph, scheme, lambda: batches) if batches else {}
    report = quantize_weights(graph, scheme, rounded=rounded)
    if not scheme.integer and not scheme.halves:
        return report
    layers = half_layers(graph) if scheme.halves else integer_layers(graph)
    if reference is None or (scheme.halves and not half_isas()):
        set_arithmetic(layers, True)
        report.arithmetic = ArithmeticReport(limit, len(layers), halves=scheme.halves)
        return report
    originals = {tensor.name: constants[tensor.name] for tensor in report.tensors}
    originals.update(correct_biases(graph, layers, originals, means))
    def run(trial: Graph) -> Outputs:
        return reference.outputs_of(lower(trial, ordered=False))

    report.arithmetic = fit_arithmetic(
        graph, layers, originals, run, reference.outputs, limit, scheme.halves, typical
    )
    count_weight_bytes(graph, report)
    return report


def _tolerance(scheme: WeightScheme | None, tolerance: float | None) -> float:
    """Raises UsageError for one that has no effect, or is none."""
    if tolerance is None:
        return TOLERANCE
    if scheme is None or not (scheme.static or scheme.integer or scheme.halves):
        raise UsageError("tolerance has an effect with quantize int8, int8-static and float16-arithmetic only")
    if not isinstance(tolerance, int | float) or isinstance(tolerance, bool) or not tolerance > 0:
        raise UsageError(f"tolerance must be a number above 0, not {tolerance!r}")
    return float(tolerance)


def _static_options(
    scheme: WeightScheme | None, calibrate: SampleSource | None, calibration: str | None
) -> Calibration | None:
    """How int8-static finds scales, or None for another scheme. Raises UsageError where the arguments do not fit."""
    if scheme is None or not scheme.static:
        for name, value in (("calibrate", calibrate), ("calibration", calibration)):
            if value is not None:
                raise UsageError(f"{name} has an effect with quantize int8-static only")
        return None
    if calibrate is None:
        raise UsageError("int8-static finds scales on samples: name an .npz of them with calibrate (--calibrate)")
    return parse_calibration("least-error" if calibration is None else calibration)


def _check_arguments(memory_budget: int | str | None, partitions: int | None, threads: int) -> None:
    if memory_budget is not None and partitions is not None:
        raise UsageError("give either a memory budget or a number of partitions, not both")
    for name, value in (("partitions", partitions), ("threads", threads)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UsageError(f"{name} must be a whole number from 1 on, not {value!r}")


def _provenance(model: Any, graph: Graph, quantize: str | None) -> dict[str, Any]:
    from wherry import __version__

    source = Path(model).name if isinstance(model, str | os.PathLike) else type(model).__name__
    when = datetime.datetime.fromtimestamp(
        int(os.environ.get("SOURCE_DATE_EPOCH", time.time())), tz=datetime.timezone.utc
    )
    return {
        "wherry": __version__, "model": source, "name": graph.name, "quantize": quantize or "none",
        "made": when.isoformat(timespec="seconds"),
    }
