"""The geometry of sliding windows along an image's axis: which rows of the input some rows of the output need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wherry.plan.program import ProgramTensor, Step


@dataclass(frozen=True)
class Axis:
    """size: of the input; extent: of the window with its gaps; before, after: padding."""

    size: int
    stride: int
    dilation: int
    before: int
    after: int
    extent: int

    def reads(self, begin: int, end: int) -> tuple[int, int]:
        """The input rows that output rows read."""
        first = min(max(begin * self.stride - self.before, 0), self.size)
        return first, min(max((end - 1) * self.stride - self.before + self.extent, first), self.size)


@dataclass(frozen=True)
class Windowed:
    """A step whose first input is an image that its result sees through windows."""

    step: Step
    axes: tuple[Axis, Axis]

    @property
    def image(self) -> ProgramTensor:
        return self.step.inputs[0]

    @property
    def result(self) -> ProgramTensor:
        return self.step.outputs[0]


def axes_of(step: Step, window: Sequence[int]) -> tuple[Axis, Axis]:
    """Of height and width, for a window of so many elements in each."""
    image, result = step.inputs[0].shape, step.outputs[0].shape
    paddings = list(step.attrs.get("explicit_paddings", []))
    axes = []
    for number in (1, 2):
        stride = int(step.attrs["strides"][number])
        dilation = int((step.attrs.get("dilations") or [1, 1, 1, 1])[number])
        extent = (window[number - 1] - 1) * dilation + 1
        before, after = 0, 0
        if step.attrs["padding"] == "SAME":
            needed = max((result[number] - 1) * stride + extent - image[number], 0)
            before, after = needed // 2, needed - needed // 2
        elif step.attrs["padding"] == "EXPLICIT":
            before, after = paddings[2 * number : 2 * number + 2]
        axes.append(Axis(image[number], stride, dilation, before, after, extent))
    return axes[0], axes[1]
