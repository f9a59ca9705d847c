"""Reads models of every format into a Graph. The only package that imports TensorFlow when it is imported."""

from wherry.frontend.load import load

__all__ = ["load"]
