"""Passes: each rewrites a Graph in place and leaves one that TensorFlow runs to the same answer."""
