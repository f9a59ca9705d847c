"""Wherry: slim, partitioned runtimes for TensorFlow models that are too big for a phone."""

__version__ = "0.1.0"
