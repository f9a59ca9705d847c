"""Passes: each rewrites a Graph in place and leaves one that TensorFlow runs to the same answer."""

from wherry.passes.pipeline import CODE_PASSES, PASSES, Pass, PassRecord, PassReport, optimise

__all__ = ["CODE_PASSES", "PASSES", "Pass", "PassRecord", "PassReport", "optimise"]
