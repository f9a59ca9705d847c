"""Multiply-accumulates of a kernel from its shapes: what a step costs, before it has ever run.

Only ops whose time is in products are counted; what moves or maps elements counts as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Shape = Sequence[int]


def _convolution(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    kernel_h, kernel_w, depth, _ = inputs[1]
    return math.prod(outputs[0]) * kernel_h * kernel_w * depth


def _depthwise(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return math.prod(outputs[0]) * inputs[1][0] * inputs[1][1]


def _transposed(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    kernel_h, kernel_w, depth, _ = inputs[1]
    return math.prod(inputs[2]) * kernel_h * kernel_w * depth


def _matrix(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    # [.., M, K] x [.., K, N]: either operand may be transposed, but M * N is known from the output.
    rows_and_depth, columns = math.prod(inputs[0][-2:]), outputs[0][-1]
    return math.prod(outputs[0][:-2]) * rows_and_depth * columns


def _block_lstm(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    steps, batch, _ = inputs[1]
    return steps * batch * math.prod(inputs[4])


def _lstm_cell(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return inputs[0][0] * math.prod(inputs[3])


def _gru_cell(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return inputs[0][0] * (math.prod(inputs[2]) + math.prod(inputs[3]))


def _gru_sequence(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return math.prod(inputs[0][:-1]) * (math.prod(inputs[2]) + math.prod(inputs[3]))


def _chain(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    filters = [shape for shape in inputs[1:] if len(shape) == 4][: len(outputs)]  # what is added lies behind them
    total = 0
    for (kernel_h, kernel_w, depth, columns), output in zip(filters, [*outputs[1:], outputs[0]], strict=True):
        total += math.prod(output) * kernel_h * kernel_w * (depth if columns == output[3] else 1)  # or depthwise
    return total


_COSTS: dict[str, Callable[[Sequence[Shape], Sequence[Shape]], int]] = {
    "Conv2D": _convolution,
    "FusedConv2D": _convolution,
    "FusedConv2DAdd": _convolution,
    "ConvChain": _chain,
    "DepthwiseConv2dNative": _depthwise,
    "FusedDepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed,
    "FusedConv2DBackpropInput": _transposed,
    "QLinearConv2d": _convolution,
    "QLinearConv2dAdd": _convolution,
    "QLinearDepthwiseConv2d": _depthwise,
    "QLinearMatMul": _matrix,
    "MatMul": _matrix,
    "FusedMatMul": _matrix,
    "BatchMatMul": _matrix,
    "BatchMatMulV2": _matrix,
    "BlockLSTM": _block_lstm,
    "BlockLSTMV2": _block_lstm,
    "LSTMBlockCell": _lstm_cell,
    "GRUBlockCell": _gru_cell,
    "GRUSequence": _gru_sequence,
}


def macs(op: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Multiply-accumulates of one call of a runtime op (the first part of a kernel's key) with these static shapes."""
    cost = _COSTS.get(op.lstrip("_"))
    return cost(inputs, outputs) if cost is not None else 0
