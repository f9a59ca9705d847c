"""Codes of 2 to 16 bits to bytes and back, as cpp/runtime/tensor.h lays them down.

8 bits are bytes and 16 bits little-endian pairs of bytes. Other widths are packed without gaps, least
significant bit first, each group of 16 codes in 2 * bits bytes.
"""

from __future__ import annotations

import numpy as np

GROUP = 16
_CHUNK = 1 << 14  # groups at a time: what is worked on stays in the cache


def packed_group_bytes(bits: int) -> int:
    """Bytes of 16 codes."""
    return 2 * bits


def pack_bits(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes [groups, 16], unsigned, to bytes: uint8 [groups, 2 * bits]."""
    if bits == 8:
        return np.ascontiguousarray(codes, np.uint8)
    if bits == 16:
        return np.ascontiguousarray(codes, "<u2").view(np.uint8)
    packed = np.empty((codes.shape[0], packed_group_bytes(bits)), np.uint8)
    for start in range(0, codes.shape[0], _CHUNK):
        part = codes[start : start + _CHUNK].T.astype(np.uint32)
        out = np.zeros((packed_group_bytes(bits), part.shape[1]), np.uint8)
        for i in range(GROUP):
            byte, shift = divmod(i * bits, 8)
            spread = part[i] << np.uint32(shift)
            for j in range((shift + bits + 7) // 8):
                out[byte + j] |= (spread >> np.uint32(8 * j)).astype(np.uint8)
        packed[start : start + _CHUNK] = out.T
    return packed


def unpack_bits(packed: np.ndarray, bits: int) -> np.ndarray:
    """The inverse: uint8 [groups, 2 * bits] to uint8 or uint16 codes [groups, 16]."""
    if bits == 8:
        return packed
    if bits == 16:
        return np.ascontiguousarray(packed).view("<u2")
    codes = np.empty((packed.shape[0], GROUP), np.uint8 if bits < 8 else np.uint16)
    for i in range(GROUP):
        byte, shift = divmod(i * bits, 8)
        value = np.zeros(packed.shape[0], np.uint32)
        for j in range((shift + bits + 7) // 8):
            value |= packed[:, byte + j].astype(np.uint32) << np.uint32(8 * j)
        codes[:, i] = (value >> np.uint32(shift)) & np.uint32((1 << bits) - 1)
    return codes
