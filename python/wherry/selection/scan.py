"""Scans models and packs for the kernels that they need. `wherry.scan` is this."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry.errors import PackError, UsageError
from wherry.ops.catalog import catalog
from wherry.ops.cost import macs
from wherry.pack.format import Place
from wherry.pack.reader import Pack, is_pack, read_pack
from wherry.plan.program import Program
from wherry.plan.slices import FIRST_COLUMN, computed_shape
from wherry.selection.report import ScannedModel, ScanReport, kernel_use, merge, read_json


class _Tally:
    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int, int]] = {}

    def add(self, key: str, weight_bytes: int, cost: int) -> None:
        steps, held, macs_so_far = self._counts.get(key, (0, 0, 0))
        self._counts[key] = (steps + 1, held + weight_bytes, macs_so_far + cost)

    def report(self, model: ScannedModel) -> ScanReport:
        uses = [kernel_use(key, *self._counts[key]) for key in sorted(self._counts)]
        return ScanReport((model,), tuple(uses))


def _op(key: str) -> str:
    return key.partition("_")[0]


def scan_pack(pack: Pack) -> ScanReport:
    """The kernels that a pack's steps call."""
    tally = _Tally()
    seen: set[int] = set()
    for step in pack.steps:
        inputs = [pack.tensors[number] for number in step.inputs if number is not None]
        held = [n for n in step.inputs if n is not None and pack.tensors[n].place is Place.SEGMENT and n not in seen]
        seen.update(held)
        outputs = [pack.tensors[n].shape for n in step.outputs]
        if FIRST_COLUMN in step.attributes:
            outputs[0] = computed_shape(outputs[0], inputs[1].shape)
        cost = macs(_op(step.kernel), [t.shape for t in inputs], outputs)
        tally.add(step.kernel, sum(pack.tensors[n].stored_bytes for n in set(held)), cost)
    return tally.report(ScannedModel(pack.name, pack.path.name, len(pack.steps), pack.weight_bytes))


def scan_program(program: Program, source: str) -> ScanReport:
    """The kernels that a lowered program calls."""
    tally = _Tally()
    seen: set[int] = set()
    for step in program.steps:
        held = {id(t.weight): t.weight for t in step.inputs if t.weight is not None and id(t.weight) not in seen}
        seen.update(held)
        cost = macs(_op(step.kernel), [t.shape for t in step.inputs], [t.shape for t in step.outputs])
        tally.add(step.kernel, sum(weight.stored_bytes for weight in held.values()), cost)
    return tally.report(ScannedModel(program.name, source, len(program.steps), program.weight_bytes))


def scan(
    model: Any,
    quantize: str | None = None,
    signature: str | None = None,
    input_shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
    outputs: Sequence[str] | None = None,
) -> ScanReport:
    """The kernels that a model needs, by op and data type.

    model: a pack's path; a scan's JSON file; or what `wherry.load` takes, or a Graph (which is then optimised in place
        and lowered; `quantize` decides which weight formats its kernels must read)

    With int8, a model's kernels include those of layers that compiling may leave in float arithmetic (`instead_of` of
    KernelUse); a pack has only what it needs. What int8-static computes on codes is up to the samples, so its packs are
    scanned, not its models.

    Raises MissingKernelError with a line for each node that no kernel of the runtime serves; PackError or LoadError for
    a file that cannot be read; UsageError for options that do not fit.
    """
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if is_pack(path) or path.suffix == ".wherry":
            _no_options(path, quantize, signature, input_shapes, outputs)
            return scan_pack(read_pack(path))
        if path.suffix == ".json" and not path.is_dir():
            if not path.exists():
                raise PackError(f"{path}: there is no such file")
            _no_options(path, quantize, signature, input_shapes, outputs)
            return read_json(path)
    from wherry.compiler import optimised
    from wherry.plan.bands import band_rows
    from wherry.plan.lower import lower
    from wherry.quantize import half_layers, integer_layers, parse_scheme, quantize_weights, set_arithmetic

    scheme = parse_scheme(quantize)
    if scheme is not None and scheme.static:
        raise UsageError(f"{quantize}: samples decide which kernels a model needs; compile it and scan the pack")
    graph = optimised(model, signature=signature, input_shapes=input_shapes, outputs=outputs)
    if scheme is not None:
        quantize_weights(graph, scheme)
        if scheme.integer:
            set_arithmetic(integer_layers(graph), True)
        if scheme.halves:
            set_arithmetic(half_layers(graph), True)
    source = Path(model).name if isinstance(model, str | os.PathLike) else type(model).__name__
    program = lower(graph)
    band_rows(program)  # copies the input where the first layers are cut
    report = scan_program(program, source)
    return merge([report, _fallbacks(report)])


def _fallbacks(report: ScanReport) -> ScanReport:
    """The kernels of layers that compiling may leave in float arithmetic."""
    uses = [(catalog().in_floats(key), key) for key in report.keys]
    return ScanReport((), tuple(kernel_use(instead, 0, 0, 0, key) for instead, key in uses if instead is not None))


def scan_all(models: Sequence[Any], **options: Any) -> ScanReport:
    """`scan` of several models, merged."""
    if not models:
        raise UsageError("name at least one model or pack")
    return merge(scan(model, **options) for model in models)


def _no_options(path: Path, *options: Any) -> None:
    if any(option is not None for option in options):
        raise UsageError(f"{path}: is compiled already; quantize, signature, input shapes and outputs were chosen then")
