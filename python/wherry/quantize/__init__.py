"""Weight formats, choosing which constants get one, and measuring what that costs in accuracy."""

from wherry.quantize.apply import QuantizeReport, TensorError, quantize_weights
from wherry.quantize.formats import WeightScheme, parse_scheme

__all__ = ["QuantizeReport", "TensorError", "WeightScheme", "parse_scheme", "quantize_weights"]
