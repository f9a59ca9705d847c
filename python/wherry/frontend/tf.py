"""TensorFlow, imported once for all of the frontend, without its start-up messages."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

__all__ = ["tf"]
