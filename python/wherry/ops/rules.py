"""What lowering must know of each op beyond its name: which inputs are weights, which run in place, which cost nothing.

An op without a rule is lowered as it is: its inputs in order, its attributes by name, its kernel by its types.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Attribute of a node that multiplies its 8-bit weights in whole numbers, or its float16 weights in half precision
# (wherry.quantize.arithmetic).
REDUCED = "_reduced"
# Bits of the codes that a node with REDUCED makes of its activations as it runs; 8 where it has none of these.
ACTIVATION_BITS = "_activation_bits"
# How far the activations of a node may go that multiplies in half precision (wherry.quantize.halves).
HALF_LIMIT = "_half_limit"
# A convolution of float32 weights that CPUs may multiply in whole numbers of 16 bits: its activations in steps of
# 2^-(this many bits) (wherry.quantize.static.shorts).
FRACTION_BITS = "_fraction_bits"


class WeightUse(enum.Enum):
    """How a kernel reads a constant input."""

    PLAIN = "plain"  # row-major, in the tensor's own type
    MATRIX = "matrix"  # [K, N] in panels
    RECURRENT = "recurrent"  # [inputs + units, 4 * units] of an LSTM, in 28 bits or for whole numbers (pack_recurrent)
    MATRIX_TRANSPOSED = "matrix_transposed"  # the graph holds [N, K]
    FILTER = "filter"  # [kh, kw, in, out] in panels, as [kh * kw * in, out]
    DEPTHWISE = "depthwise"  # [kh, kw, C, multiplier] in panels, as [kh * kw, C * multiplier]
    FILTER_TRANSPOSED = "filter_transposed"  # [kh, kw, out, in] in panels, as [in, kh * kw * out]
    TAPS = "taps"  # [kh, kw, C, 1] of 8-bit codes in tap quads
    ROWS = "rows"  # row-major, may be quantized: embedding tables

    @property
    def quantizable(self) -> bool:
        return self is not WeightUse.PLAIN


@dataclass(frozen=True)
class OpRule:
    """weights: input position -> use, for inputs that must be constants (or, with `optional_weights`, may be).
    inplace: inputs whose memory an output of the same size may take over, where no other input lives there too.
    unused_outputs: the kernel copes with outputs that nobody reads.
    pitched_inputs, pitched_output: where there may be gaps between rows (the last dimension), as in channels of a wider
        image. They hold for all kernels of the op, so that which weights are quantized does not change the steps.
    """

    weights: Mapping[int, WeightUse] = field(default_factory=dict)
    optional_weights: bool = False
    inplace: tuple[int, ...] = ()
    unused_outputs: bool = False
    pitched_inputs: tuple[int, ...] = ()
    pitched_output: bool = False


# Ops whose output is the same bytes as their input, under another shape or name.
ALIASES = frozenset({
    "Reshape", "Squeeze", "ExpandDims", "Identity", "StopGradient", "PreventGradient", "Snapshot",
    "PlaceholderWithDefault", "EnsureShape", "CheckNumerics",
})

_UNARY = [
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Exp", "Log", "Log1p", "Expm1", "Sqrt",
    "Rsqrt", "Square", "Neg", "Abs", "Floor", "Ceil", "Round", "Rint", "Sign", "Sin", "Cos", "Erf", "Erfc", "Softplus",
    "Softsign", "Reciprocal", "Inv", "LogicalNot", "ClipByValue",
]
_BINARY = [
    "AddV2", "Add", "Sub", "Mul", "RealDiv", "Div", "DivNoNan", "Maximum", "Minimum", "Pow",
    "SquaredDifference", "FloorDiv", "FloorMod", "LogicalAnd", "LogicalOr", "BiasAdd",
]

_PITCHED_BINARY = ["AddV2", "Add", "Sub", "Mul", "Maximum", "Minimum"]

_CONV = OpRule(weights={1: WeightUse.FILTER}, pitched_inputs=(0,), pitched_output=True)
_CODE_CONV = OpRule(weights={1: WeightUse.FILTER})
_POOL = OpRule(pitched_inputs=(0,), pitched_output=True)
_DEPTHWISE = OpRule(weights={1: WeightUse.DEPTHWISE})
_TRANSPOSED_CONV = OpRule(weights={1: WeightUse.FILTER_TRANSPOSED})
_MATMUL = OpRule(weights={1: WeightUse.MATRIX}, optional_weights=True)
_GATHER = OpRule(weights={0: WeightUse.ROWS}, optional_weights=True)
_BATCH_NORM = OpRule(unused_outputs=True, inplace=(0,))

RULES: dict[str, OpRule] = {
    **{op: OpRule(inplace=(0,)) for op in _UNARY},
    **{op: OpRule(inplace=(0, 1)) for op in _BINARY},
    **{op: OpRule(inplace=(0, 1), pitched_inputs=(0, 1), pitched_output=True) for op in _PITCHED_BINARY},
    "Relu": OpRule(inplace=(0,), pitched_inputs=(0,), pitched_output=True),
    "Copy": OpRule(pitched_inputs=(0,), pitched_output=True),
    "MaxPool": _POOL,
    "AvgPool": _POOL,
    "Conv2D": _CONV,
    "_FusedConv2D": _CONV,
    "FusedConv2D": _CONV,
    "FusedConv2DAdd": OpRule(weights={1: WeightUse.FILTER}, inplace=(3,), pitched_inputs=(0,)),
    "DepthwiseConv2dNative": _DEPTHWISE,
    "FusedDepthwiseConv2dNative": _DEPTHWISE,
    "Conv2DBackpropInput": _TRANSPOSED_CONV,
    "FusedConv2DBackpropInput": _TRANSPOSED_CONV,
    "MatMul": _MATMUL,
    "_FusedMatMul": _MATMUL,
    "Gather": _GATHER,
    "GatherV2": _GATHER,
    "FusedBatchNorm": _BATCH_NORM,
    "FusedBatchNormV2": _BATCH_NORM,
    "FusedBatchNormV3": _BATCH_NORM,
    "BlockLSTM": OpRule(weights={4: WeightUse.MATRIX}, unused_outputs=True),
    "BlockLSTMV2": OpRule(weights={4: WeightUse.MATRIX}, unused_outputs=True),
    "LSTMBlockCell": OpRule(weights={3: WeightUse.MATRIX}, unused_outputs=True),
    "GRUBlockCell": OpRule(weights={2: WeightUse.MATRIX, 3: WeightUse.MATRIX}, unused_outputs=True),
    "QLinearConv2d": _CODE_CONV,
    "QLinearConv2dAdd": OpRule(weights={1: WeightUse.FILTER}, inplace=(3,)),
    "QLinearDepthwiseConv2d": OpRule(weights={1: WeightUse.TAPS}),
    "QLinearMatMul": OpRule(weights={1: WeightUse.MATRIX}),
    "QLinearAdd": OpRule(inplace=(0, 1)),
    "QLinearMul": OpRule(inplace=(0,)),
    "QLinearLookup": OpRule(inplace=(0,)),
    "GRUSequence": OpRule(weights={2: WeightUse.MATRIX, 3: WeightUse.MATRIX}, unused_outputs=True),
}
_DEFAULT = OpRule()

LSTMS = frozenset({"BlockLSTM", "BlockLSTMV2", "LSTMBlockCell"})


def rule_for(op: str) -> OpRule:
    return RULES.get(op, _DEFAULT)


def runtime_attrs(op: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that a step carries: TensorFlow's, less what only the compiler needs.

    A fused op's `fused_ops` becomes `activation`; a composite's `_wherry_` attributes lose their prefix.
    """
    if "_wherry_kernel" in attrs:
        prefix = "_wherry_"
        kept = {k[len(prefix):]: v for k, v in attrs.items() if k.startswith(prefix) and k != "_wherry_kernel"}
    else:
        kept = {k: v for k, v in attrs.items() if not k.startswith("_") and k not in _COMPILER_ATTRS}
        if kept.get("data_format") in (b"NHWC", b"NDHWC"):
            del kept["data_format"]  # what kernels take for granted
    if "fused_ops" in attrs:
        kept.pop("fused_ops", None)
        names = [name.decode() for name in attrs["fused_ops"]]
        kept["activation"] = names[1] if len(names) > 1 else ""
        if not names or names[0] != "BiasAdd":
            kept["activation"] = names[0] if names else ""
    return kept


_COMPILER_ATTRS = frozenset({
    "T", "Tidx", "Tindices", "Tparams", "Taxis", "Tperm", "Tpaddings", "Tshape", "Tmultiples", "Index",
    "use_cudnn_on_gpu",
    "num_args", "num_host_args", "host_args", "TArgs", "Targs", "Tin", "Tout", "f", "config", "config_proto",
    "executor_type", "U", "Tdim", "TI", "Tlen", "Tmax", "N", "shape", "dtype", "grad_a", "grad_b", "index_type",
    "Treduction_indices", "_output_shapes",
})


def composite_op(op: str, attrs: Mapping[str, Any]) -> str:
    """The runtime's name of a node's op: a composite's own, else the op."""
    kernel = attrs.get("_wherry_kernel")
    if kernel is None:
        return op
    return kernel.decode() if isinstance(kernel, bytes) else str(kernel)
