"""Joins convolutions that follow each other into chains, which the runtime computes by strips of rows.

What lies between them then stays in a core's cache and has no place in the arena. A chain is one step:

    ConvChain
        inputs      image; for each part its filter and, where it has one, its bias; what the last part adds, if it does
        attributes  ops, biases, strides, dilations, explicit_paddings, activations, adds, and where some multiply
                    shorts, shorts and fraction_bits (see cpp/kernels/nn/conv_chain.cc)
        outputs     the last part's; then those of the parts before it, which have a shape and no memory

It computes what its parts compute, to the bit, so it is a matter of the plan: the graph keeps its nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wherry.ops.catalog import Catalog
from wherry.ops.cost import macs
from wherry.plan.program import Program, ProgramTensor, Step
from wherry.plan.windows import Windowed, axes_of

KERNEL = "ConvChain_f32_wf32"
SHORTS_KERNEL = "ConvChain_f32_sf32"
_OPS = {
    "Conv2D_f32_wf32": 0,
    "Conv2D_f32_sf32": 0,
    "DepthwiseConv2dNative_f32_wf32": 1,
    "FusedConv2DAdd_f32_wf32": 0,
    "FusedConv2DAdd_f32_sf32": 0,
}

# As in the kernel.
_MOST_PARTS = 16
_MOST_STEP = 255
_KEPT_BYTES = 512 << 10

# The model of the costs. Its numbers are of one core of a server's CPU; only their ratios matter.
_MACS_PER_SECOND = (90e9, 25e9)  # of convolutions and of depthwise ones
_BYTES_PER_SECOND = 25e9  # behind the core's own cache, either way
_NEAR_BYTES = 512 << 10  # a smaller tensor is still in that cache when it is read
_STRIP_ROWS = 2  # the least height of strips that computes well
_WEIGHT_BYTES = 512 << 10  # of a chain; they are read again for every strip
_RANGES = 2  # of rows, one for each thread, that overlap at their edges


@dataclass(frozen=True)
class _Part(Windowed):
    op: int

    @property
    def weights(self) -> list[ProgramTensor]:
        """The filter, and the bias if there is one."""
        return self.step.inputs[1 : 3 if self.adds else None]

    @property
    def adds(self) -> bool:
        return self.step.kernel.startswith("FusedConv2DAdd")

    @property
    def seconds(self) -> float:
        shapes = [t.shape for t in self.step.inputs]
        cost = macs(self.step.kernel.partition("_")[0], shapes, [self.result.shape])
        return cost / _MACS_PER_SECOND[self.op]


def join_chains(program: Program, kernels: Catalog) -> None:
    """Replaces runs of steps by chains where the model of the costs says that it pays. Lifetimes are not set yet."""
    if not {KERNEL, SHORTS_KERNEL} <= kernels.kernels.keys():
        return
    readers: dict[int, int] = {}
    for tensor in [t for step in program.steps for t in step.inputs] + list(program.outputs.values()):
        if tensor.storage is not None:
            readers[id(tensor.storage)] = readers.get(id(tensor.storage), 0) + 1
    steps: list[Step] = []
    run: list[_Part] = []
    for step in program.steps:
        part = _part(step)
        joins = part is not None and bool(run) and part.image is run[-1].result and readers[id(part.image.storage)] == 1
        if not joins or run[-1].adds:
            steps += _cut(run)
            run = []
        if part is None:
            steps.append(step)
        else:
            run.append(part)
    program.steps = steps + _cut(run)


def _part(step: Step) -> _Part | None:
    """The step as a part of a chain, or None where it cannot be one."""
    op = _OPS.get(step.kernel)
    if op is None or step.attrs.get("activation", "") == "LeakyRelu":
        return None
    image, filter_shape = step.inputs[0], step.inputs[1].shape
    if image.storage is None or len(image.shape) != 4:
        return None
    axes = axes_of(step, filter_shape)
    if any(max(axis.stride, axis.dilation, axis.before, axis.after) > _MOST_STEP for axis in axes):
        return None
    if op == 0:
        # Grouped convolutions have a loop of their own, and 3x3 filters at stride 1 have Winograd.
        strided = min(axis.stride for axis in axes) > 1
        if filter_shape[2] != image.shape[3] or not (strided or filter_shape[:2] == (1, 1)):
            return None
    return _Part(step, axes, op)


def _cut(run: Sequence[_Part]) -> list[Step]:
    """The steps of a run of parts: the cheapest way to cut it into chains and single steps."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # of the first parts: their cost, and where the last piece begins
    for end in range(1, len(run) + 1):
        first = max(0, end - _MOST_PARTS)
        costs = [(best[begin][0] + _cost(run[begin:end]), begin) for begin in range(end - 1, first - 1, -1)]
        best.append(min(costs, key=lambda cost: cost[0]))  # the shortest piece of those that cost the same
    steps: list[Step] = []
    end = len(run)
    while end > 0:
        begin = best[end][1]
        piece = run[begin:end]
        steps.append(piece[0].step if len(piece) == 1 else _chain(piece))
        end = begin
    return steps[::-1]


def _cost(piece: Sequence[_Part]) -> float:
    """Seconds that a piece takes, as one step or as a chain; infinite where a chain would not fit the cache."""
    added = piece[-1].step.inputs[3:] if piece[-1].adds else []
    seconds = sum(_transfer(tensor) for tensor in (piece[0].image, *added, piece[-1].result))
    if len(piece) == 1:
        return seconds + piece[0].seconds
    weights = sum(math.prod(tensor.shape) * 4 for part in piece for tensor in part.weights)
    if weights > _WEIGHT_BYTES or _kept_bytes(piece) > _KEPT_BYTES:
        return math.inf
    height = piece[-1].result.shape[1]
    computed = [0] * len(piece)  # rows of each part in the longest range: all wait for it
    ranges = min(_RANGES, height)
    for number in range(ranges):
        begin, end = height * number // ranges, height * (number + 1) // ranges
        for i in reversed(range(len(piece))):
            computed[i] = max(computed[i], end - begin)
            begin, end = piece[i].axes[0].reads(begin, end)
    return seconds + sum(
        part.seconds * rows * ranges / part.result.shape[1] for part, rows in zip(piece, computed, strict=True)
    )


def _transfer(tensor: ProgramTensor) -> float:
    nbytes = 4 * math.prod(tensor.shape)
    return nbytes / _BYTES_PER_SECOND if nbytes > _NEAR_BYTES else 0.0


def _kept_bytes(piece: Sequence[_Part]) -> int:
    """Bytes of the rows that a thread keeps between the parts."""
    rows, total = _STRIP_ROWS, 0
    for part in reversed(piece[1:]):
        axis = part.axes[0]
        rows = min(axis.size, (rows - 1) * axis.stride + axis.extent)
        total += rows * part.image.shape[2] * part.image.shape[3] * 4
    return total


def _chain(piece: Sequence[_Part]) -> Step:
    last = piece[-1].step
    inputs = [piece[0].image]
    for part in piece:
        inputs += part.weights
    if piece[-1].adds:
        inputs.append(piece[-1].step.inputs[3])
    between = [ProgramTensor(part.result.name, part.result.dtype, part.result.shape) for part in piece[:-1]]
    attrs: dict[str, Any] = {
        "ops": [part.op for part in piece],
        "biases": [len(part.weights) - 1 for part in piece],
        "strides": [axis.stride for part in piece for axis in part.axes],
        "dilations": [axis.dilation for part in piece for axis in part.axes],
        "explicit_paddings": [pad for part in piece for axis in part.axes for pad in (axis.before, axis.after)],
        "activations": ",".join(str(part.step.attrs.get("activation", "")) for part in piece),
    }
    if piece[-1].adds:
        attrs["adds"] = 1
    kernel = KERNEL
    bits = [part.step.attrs.get("fraction_bits") for part in piece]
    if any(held is not None for held in bits):
        kernel = SHORTS_KERNEL
        attrs["shorts"] = [int(held is not None) for held in bits]
        attrs["fraction_bits"] = [int(held or 0) for held in bits]
    return Step(last.name, "ConvChain", kernel, inputs, [*last.outputs, *between], attrs)
