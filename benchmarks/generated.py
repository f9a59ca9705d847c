"""Programs of any size, made by rule: what planning is measured and tested on."""

from __future__ import annotations

import random

from wherry.graph import DType
from wherry.plan.program import Program, ProgramTensor, Step, Storage


class Builder:
    """Adds steps to a program; tensors are of floats."""

    def __init__(self, name: str) -> None:
        self.input = ProgramTensor("x", DType.FLOAT, (16,), Storage(64, external=0))
        self.program = Program(name, {"x": self.input}, {})

    def step(self, op: str, inputs: list[ProgramTensor], *elements: int) -> list[ProgramTensor]:
        """A step with an output of so many elements each."""
        name = f"step{len(self.program.steps)}"
        outputs = [
            ProgramTensor(f"{name}:{i}", DType.FLOAT, (size,), Storage(4 * size)) for i, size in enumerate(elements)
        ]
        self.program.steps.append(Step(name, op, op, list(inputs), outputs, {}))
        return outputs

    def done(self, outputs: list[ProgramTensor]) -> Program:
        """The program, with these outputs."""
        self.program.outputs = {tensor.name: tensor for tensor in outputs}
        return self.program


def branches(steps: int, seed: int = 0) -> Program:
    """Parallel branches of about 90 steps that end in a short vector: blocks with a residual, as ResNet's."""
    draw, builder = random.Random(seed), Builder("branches")
    ends: list[ProgramTensor] = []
    while len(builder.program.steps) < steps or not ends:
        width = draw.randrange(1 << 12, 1 << 16)
        (x,) = builder.step("Conv2D", [builder.input], width)
        for block in range(16):
            (y,) = builder.step("Conv2D", [x], width // 4)
            (y,) = builder.step("Conv2D", [y], width // 4)
            (y,) = builder.step("Conv2D", [y], width)
            if block % 4 == 0:
                (x,) = builder.step("Conv2D", [x], width)
            (y,) = builder.step("AddV2", [x, y], width)
            (x,) = builder.step("Relu", [y], width)
        ends += builder.step("MatMul", [x], 64)
    while len(ends) > 1:
        ends = [builder.step("ConcatV2", ends[i : i + 16], 64 * 16)[0] for i in range(0, len(ends), 16)]
    return builder.done(ends)


def layers(steps: int, seed: int = 0) -> Program:
    """Steps that read some of the last few: neither series nor parallel."""
    draw, builder = random.Random(seed), Builder("layers")
    recent = [builder.input]
    while len(builder.program.steps) < steps:
        inputs = draw.sample(recent, min(len(recent), draw.randint(1, 3)))
        recent += builder.step(draw.choice(["Conv2D", "ConcatV2"]), inputs, draw.randrange(16, 1 << 14))
        recent = recent[-6:]
    return builder.done(recent)


def series_parallel(steps: int, seed: int = 0) -> Program:
    """Series and parallel pieces within each other; each tensor has one reader."""
    draw, builder = random.Random(seed), Builder("series-parallel")

    def tensors(count: int) -> list[int]:
        return [draw.randrange(16, 1 << 12) for _ in range(count)]

    def piece(budget: int, inputs: list[ProgramTensor], outputs: int) -> list[ProgramTensor]:
        if budget == 1:
            return builder.step("Split", inputs, *tensors(outputs))
        if budget == 2:
            return builder.step("Split", builder.step("Split", inputs, *tensors(1)), *tensors(outputs))
        parts = min(draw.randint(1, 4), budget - 2)
        heads = builder.step("Split", inputs, *tensors(parts))
        left, ends = budget - 2, []
        for i in range(parts):
            size = left if i == parts - 1 else max(1, (budget - 2) // parts)
            ends += piece(size, [heads[i]], 1)
            left -= size
        return builder.step("Split", ends, *tensors(outputs))

    return builder.done(piece(max(steps, 1), [builder.input], 1))
