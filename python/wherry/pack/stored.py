"""A constant as it lies in a pack: the Python side of `Tensor` and `Quantization` in cpp/runtime/tensor.h."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from wherry.graph import DType

PANEL_WIDTH = 16
QUAD = 4  # neighbouring rows of a column that lie together
TAP_CHANNELS = 64  # of a depthwise filter of codes, in one block


class Layout(enum.IntEnum):
    ROW_MAJOR = 0
    PANELS = 1
    QUADS = 2
    TAP_QUADS = 3

    @property
    def has_sums(self) -> bool:
        """Whether the sum of each channel's codes stands in the place of offsets."""
        return self in (Layout.QUADS, Layout.TAP_QUADS)


class WeightFormat(enum.IntEnum):
    PLAIN = 0
    FLOAT16 = 1
    INT8 = 2
    MINMAX = 3
    INT16 = 4
    FLOAT28 = 5


@dataclass
class StoredWeight:
    """Bytes, layout, and what turns codes back into float32.

    shape: the tensor's, as the kernel sees it. bits: minmax 2 to 16, int8 8, int16 and float16 16, float28 28,
    plain 0.
    scale and offset: float32, one per channel, not padded; the channels run along dimension `axis`
    (see pack/weights.py). In quads and tap quads, offset holds the sum of each channel's codes, of int16 those of high
    bytes, padded, and those of low ones. With a split (int8 in quads) it holds the sums of all codes, padded, and those
    of each channel's first `split` codes.
    """

    data: bytes
    shape: tuple[int, ...]
    layout: int = Layout.ROW_MAJOR
    format: int = WeightFormat.PLAIN
    bits: int = 0
    axis: int = 0
    channels: int = 0
    split: int = 0
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    dtype: DType = DType.FLOAT
