"""Computes convolutions and pools that follow each other in bands of rows, where the tensors between them set the peak.

Each step of such a run becomes one step for each band: the bands of its inner tensors are small tensors of their own,
and the last step writes its rows of the result. A band computes the rows that its neighbours read too, which is why
runs are short and bands are few. Batches of one only: there rows are neighbours in memory, so a band of a tensor needs
no copy, and kernels know nothing of it but paddings of their own.

Strips (plan/chains.py) are for tensors that are not in a core's cache, and run inside one kernel; bands are for memory.
They serve what chains do not: Winograd's convolutions, pools, filters of any format.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from wherry.ops.cost import macs
from wherry.plan.arena import ALIGNMENT, rounded, storages_of
from wherry.plan.lifetimes import set_lifetimes
from wherry.plan.program import Program, ProgramTensor, Step, Storage
from wherry.plan.windows import Windowed, axes_of

_CONVOLUTIONS = ("Conv2D_f32_", "DepthwiseConv2dNative_f32_")
_POOLS = ("MaxPool_f32",)
# 8-bit products quantize an image in one range, so a band would be another product; those of one pixel are apart.
_BY_IMAGE = "Conv2D_f32_di8"

_MOST_STEPS = 6  # of a run
_MOST_ROUNDS = 64  # parallel branches have peaks of the same height, one after another
_BANDS = (2, 3, 4, 6, 8, 12, 16)
_WEIGHT_BYTES = 1 << 20  # of a run; they may be read again for every band
_MOST_WORK = 1.05  # times the multiply-accumulates of the run
_LEAST_GAIN = 0.9  # of the peak; what saves less is left alone,
_LEAST_SAVED = 1 << 20  # or less than so many bytes: steps take time


@dataclass(frozen=True)
class _Plan:
    first: int  # step of the program
    parts: Sequence[Windowed]
    height: int  # rows of a band of the last result
    peak: int  # bytes that live while the run runs

    def bands(self) -> Iterator[list[tuple[int, int]]]:
        """The rows of each part's result, band by band."""
        yield from _bands(self.parts, self.height)


def band_rows(program: Program) -> None:
    """Cuts the runs that set the peak, one after another, and keeps what made it lower. Lifetimes are set, before and
    after; addresses are not."""
    cut: set[int] = set()  # steps that are bands
    best, least = program.steps, max(_live(program), default=0)
    for _ in range(_MOST_ROUNDS):
        plan = _best(program, cut)
        if plan is None:
            break
        steps = _steps(plan)
        cut.update(id(step) for step in steps)
        end = plan.first + len(plan.parts)
        program.steps = [*program.steps[: plan.first], *steps, *program.steps[end:]]
        set_lifetimes(program)
        peak = max(_live(program))
        if peak <= min(_LEAST_GAIN * least, least - _LEAST_SAVED):
            best, least = program.steps, peak
    program.steps = best
    set_lifetimes(program)
    program.order_lower_bound = min(program.order_lower_bound, least)


def _live(program: Program) -> list[int]:
    """Bytes that live in each step."""
    count = len(program.steps)
    changes = [0] * (count + 2)
    for storage in storages_of(program):
        changes[max(storage.first, 0)] += rounded(storage.nbytes)
        changes[min(storage.last, count) + 1] -= rounded(storage.nbytes)
    live, total = [], 0
    for change in changes[:count]:
        total += change
        live.append(total)
    return live


def _best(program: Program, cut: set[int]) -> _Plan | None:
    """The run around the peak whose bands take the least; of those that take about as little, that with least work."""
    live = _live(program)
    if not live:
        return None
    peak = max(live)
    at = live.index(peak)
    readers: dict[int, int] = {}
    for tensor in [t for step in program.steps for t in step.inputs] + list(program.outputs.values()):
        if tensor.storage is not None:
            readers[id(tensor.storage)] = readers.get(id(tensor.storage), 0) + 1
    low = max(0, at - _MOST_STEPS + 1)
    parts = {i: _part(s) for i, s in enumerate(program.steps[low : at + _MOST_STEPS], low) if id(s) not in cut}
    plans: list[tuple[float, _Plan]] = []
    for first in range(low, at + 1):
        run: list[Windowed] = []
        for i in range(first, min(first + _MOST_STEPS, len(program.steps))):
            part = parts.get(i)
            if part is None or (run and (part.image is not run[-1].result or readers[id(part.image.storage)] != 1)):
                break
            run.append(part)
            if i >= at and len(run) > 1:
                plans += _plans(first, list(run), live)
    outside = [plan for _, plan in plans if plan.peak <= _LEAST_GAIN * peak]
    if not outside:
        return None
    enough = 1.05 * min(plan.peak for plan in outside)
    return min((each for each in plans if each[1].peak <= enough), key=lambda each: each[0])[1]


def _part(step: Step) -> Windowed | None:
    """The step as a part of a run, or None where it cannot be one."""
    convolves = step.kernel.startswith(_CONVOLUTIONS)
    if not convolves and step.kernel not in _POOLS:
        return None
    image, result = step.inputs[0], step.outputs[0]
    if image.storage is None or result.storage is None or len(image.shape) != 4 or image.shape[0] != 1:
        return None
    if not image.is_whole or not result.is_whole:
        return None
    window = step.inputs[1].shape[:2] if convolves else step.attrs["ksize"][1:3]
    axes = axes_of(step, window)
    if step.kernel == _BY_IMAGE and tuple(window) != (1, 1):
        return None
    padded = any(axis.before or axis.after for axis in axes)
    return None if padded and not convolves else Windowed(step, axes)


def _plans(first: int, parts: list[Windowed], live: list[int]) -> Iterator[tuple[float, _Plan]]:
    """What a run takes with each number of bands, and its work beside that of the whole."""
    if sum({id(w): w.stored_bytes for part in parts for w in part.step.weights}.values()) > _WEIGHT_BYTES:
        return
    image, result = parts[0].image, parts[-1].result
    assert image.storage is not None and result.storage is not None
    row, image_row = result.nbytes // result.shape[1], image.nbytes // image.shape[1]
    if image_row % ALIGNMENT != 0:
        return
    unit = ALIGNMENT // math.gcd(row, ALIGNMENT)  # bands of the result begin on whole lines
    mine = {id(t.storage): t.storage for part in parts for t in (part.image, part.result)}
    others = 0
    for i in range(first, first + len(parts)):
        held = (s for s in mine.values() if s is not None and s.external is None and s.first <= i <= s.last)
        others = max(others, live[i] - sum(rounded(storage.nbytes) for storage in held))
    whole = sum(_macs(part, part.result.shape[1]) for part in parts)
    for count in _BANDS:
        height = -(-math.ceil(result.shape[1] / count) // unit) * unit
        if height >= result.shape[1]:
            continue
        between = 0
        work = 0
        for rows in _bands(parts, height):
            sizes = [
                rounded((end - begin) * part.result.nbytes // part.result.shape[1])
                for part, (begin, end) in zip(parts, rows, strict=True)
            ]
            sizes[-1] = 0  # it lies in the result
            between = max(between, *(a + b for a, b in zip([0, *sizes], sizes, strict=False)))
            work += sum(_macs(part, end - begin) for part, (begin, end) in zip(parts, rows, strict=True))
        if work <= _MOST_WORK * whole:
            peak = others + rounded(image.nbytes) + rounded(result.nbytes) + between
            yield work / max(whole, 1) + 1e-3 * count, _Plan(first, parts, height, peak)


def _macs(part: Windowed, rows: int) -> int:
    shape = part.result.shape
    inputs = [tensor.shape for tensor in part.step.inputs]
    return macs(part.step.kernel.partition("_")[0], inputs, [(shape[0], rows, *shape[2:])])


def _bands(parts: Sequence[Windowed], height: int) -> Iterator[list[tuple[int, int]]]:
    size = parts[-1].result.shape[1]
    for begin in range(0, size, height):
        rows = [(begin, min(begin + height, size))]
        for part in reversed(parts[1:]):
            rows.append(part.axes[0].reads(*rows[-1]))
        yield rows[::-1]


def _steps(plan: _Plan) -> list[Step]:
    steps: list[Step] = []
    image = plan.parts[0].image
    if image.storage is not None and image.storage.external is not None:
        # What the caller lends cannot be read from the middle.
        copy = replace(image, name=f"{image.name}/copy", storage=Storage(image.nbytes))
        steps.append(Step(copy.name, "Copy", "Copy_x32", [image], [copy], {}))
        image = copy
    last = len(plan.parts) - 1
    for rows in plan.bands():
        held = _rows_of(image, *plan.parts[0].axes[0].reads(*rows[0]))
        for number, (part, (begin, end)) in enumerate(zip(plan.parts, rows, strict=True)):
            result = _rows_of(part.result, begin, end)
            if number < last:
                result = replace(result, storage=Storage(result.nbytes), offset=0)
            steps.append(_band(part, held, result, begin, end))
            held = result
    return steps


def _rows_of(tensor: ProgramTensor, begin: int, end: int) -> ProgramTensor:
    shape = (tensor.shape[0], end - begin, *tensor.shape[2:])
    offset = begin * (tensor.nbytes // tensor.shape[1])
    return replace(tensor, name=f"{tensor.name}[rows {begin}:{end}]", shape=shape, offset=offset)


def _band(part: Windowed, image: ProgramTensor, result: ProgramTensor, begin: int, end: int) -> Step:
    height, width = part.axes
    top = max(height.before - begin * height.stride, 0)
    bottom = max((end - 1) * height.stride - height.before + height.extent - height.size, 0)
    attrs = dict(part.step.attrs)
    if part.step.kernel in _POOLS:
        attrs["padding"] = "VALID"
    else:
        paddings = [0, 0, top, bottom, width.before, width.after, 0, 0]
        attrs.update(padding="EXPLICIT", explicit_paddings=paddings)
    name = f"{part.step.name}[rows {begin}:{end}]"
    return replace(part.step, name=name, inputs=[image, *part.step.inputs[1:]], outputs=[result], attrs=attrs)
