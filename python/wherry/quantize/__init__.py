"""Weight formats, choosing which constants get one, and measuring what that costs in accuracy."""

from wherry.quantize.apply import LeftLayer, QuantizeReport, StaticReport, TensorError, quantize_weights
from wherry.quantize.arithmetic import ArithmeticReport, fit_arithmetic, integer_layers, set_arithmetic
from wherry.quantize.formats import WeightScheme, parse_scheme
from wherry.quantize.halves import half_layers

__all__ = [
    "ArithmeticReport",
    "LeftLayer",
    "QuantizeReport",
    "StaticReport",
    "TensorError",
    "WeightScheme",
    "fit_arithmetic",
    "half_layers",
    "integer_layers",
    "parse_scheme",
    "quantize_weights",
    "set_arithmetic",
]
