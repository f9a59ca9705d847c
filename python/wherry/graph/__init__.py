"""The intermediate representation: a graph of TensorFlow ops, lossless to and from GraphDef."""

from wherry.graph.graph import Function, Graph, Node, Ref
from wherry.graph.types import DType, FuncName, Shape, TensorType
from wherry.graph.values import ArrayValue, QuantizedValue, Value

__all__ = [
    "ArrayValue", "DType", "FuncName", "Function", "Graph", "Node", "QuantizedValue", "Ref", "Shape",
    "TensorType", "Value",
]
