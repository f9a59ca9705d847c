"""Float32 weights of an LSTM's state in 28 bits each, without loss: what cpp/math/float28.h reads, and when that pays.

Of [inputs + units, 4 * units] the input's rows lie in panels of float32. The others are cut into groups of 8 rows and
16 columns, `[units / 16][4 gates][units / 8]`. A group whose exponents all have the same upper four bits, the bits that
most groups have, takes 7 vectors of 64 bytes: its eighth row goes to where those bits were. The others take 8.

The last gate's groups stay plain. A core that waits for weights from the third-level cache reads 9 % less, and one that
has its part of them in the second, where decoding takes longer than reading, has less to decode.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wherry.pack.stored import PANEL_WIDTH

GATES = 4
GROUP_ROWS = 8
_CODED_GATES = 3
_LINE = 64  # bytes of a vector, and what parts are aligned to
_HEAD_BYTES = _LINE  # begins with the exponent's upper bits
_OWN = np.uint32(0x87FFFFFF)  # all bits but those
_SHIFT = np.uint32(27)

# Weights of a state that fit the caches nearest to a core are not waited for.
LEAST_BYTES = 512 * 1024
# How many groups of the gates that may be coded must be: each that is not interrupts the loop.
_LEAST_CODED = 0.5


def fits(shape: tuple[int, ...], batch: int) -> bool:
    """Whether the kernel takes such weights, and they are as large as to gain from it."""
    units = shape[1] // GATES
    whole = units > 0 and units % PANEL_WIDTH == 0 and shape[1] == GATES * units and shape[0] >= units
    return whole and batch == 1 and 4 * units * shape[1] >= LEAST_BYTES


def pays(weight: np.ndarray) -> bool:
    """Whether enough of its groups have the same exponents."""
    _, plain = _plain_groups(weight)
    return bool(1 - np.mean(plain[:, :_CODED_GATES]) >= _LEAST_CODED)


def stored_size(weight: np.ndarray) -> int:
    """Bytes of `pack_float28`'s result."""
    _, plain = _plain_groups(weight)
    inputs, columns = _inputs(weight), weight.shape[1]
    vectors = (GROUP_ROWS - 1) * plain.size + int(plain.sum())
    return inputs * columns * 4 + _HEAD_BYTES + _aligned(plain.size // GATES) + _LINE * vectors


def pack_float28(weight: np.ndarray) -> bytes:
    """The bytes of a float32 weight [inputs + units, 4 * units], units a multiple of 16."""
    inputs, (units, columns) = _inputs(weight), (weight.shape[1] // GATES, weight.shape[1])
    panels = weight[:inputs].reshape(inputs, columns // PANEL_WIDTH, PANEL_WIDTH).transpose(1, 0, 2)
    exponent, plain = _plain_groups(weight)
    head = (np.uint32(exponent) << _SHIFT).tobytes().ljust(_HEAD_BYTES, b"\0")
    bits = (plain.transpose(0, 2, 1) << np.arange(GATES)).sum(axis=2).astype(np.uint8)  # [panels, groups]
    parts = [panels.tobytes(), head, bits.tobytes().ljust(_aligned(bits.size), b"\0")]
    for groups, kept in zip(_groups(weight[inputs:]), plain, strict=True):
        coded = _coded(groups)
        for gate, group in np.ndindex(GATES, units // GROUP_ROWS):
            parts.append((groups if kept[gate, group] else coded)[gate, group].tobytes())
    return b"".join(parts)


def unpack_float28(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The weight again."""
    units, columns = shape[1] // GATES, shape[1]
    inputs, at = shape[0] - units, (shape[0] - units) * columns * 4
    panels = np.frombuffer(data, np.float32, inputs * columns).reshape(columns // PANEL_WIDTH, inputs, PANEL_WIDTH)
    exponent = np.frombuffer(data, np.uint32, 1, at)
    count = units // PANEL_WIDTH * (units // GROUP_ROWS)
    bits = np.frombuffer(data, np.uint8, count, at + _HEAD_BYTES).reshape(units // PANEL_WIDTH, -1)
    at += _HEAD_BYTES + _aligned(count)
    blocks = np.empty((units // PANEL_WIDTH, GATES, units // GROUP_ROWS, GROUP_ROWS, PANEL_WIDTH), np.uint32)
    for panel, gate, group in np.ndindex(*blocks.shape[:3]):
        rows = 8 if bits[panel, group] >> gate & 1 else 7
        words = np.frombuffer(data, np.uint32, rows * PANEL_WIDTH, at).reshape(rows, PANEL_WIDTH)
        at += rows * _LINE
        if rows == 7:
            parts = (words >> _SHIFT & 15) << (4 * np.arange(6, -1, -1, dtype=np.uint32))[:, None]
            last = np.bitwise_or.reduce(parts, axis=0)  # 28 bits, the sign the lowest
            words = np.vstack([words, last >> 1 | last << 31])
            words = words & _OWN | exponent
        blocks[panel, gate, group] = words
    state = blocks.view(np.float32).transpose(2, 3, 1, 0, 4).reshape(units, columns)
    return np.concatenate([panels.transpose(1, 0, 2).reshape(inputs, columns), state])


def _inputs(weight: np.ndarray) -> int:
    return int(weight.shape[0] - weight.shape[1] // GATES)


def _aligned(size: int) -> int:
    return -(-size // _LINE) * _LINE


def _groups(state: np.ndarray) -> Iterator[np.ndarray]:
    """For each panel of units, the bits of its groups [gates, groups, 8, 16]."""
    units = state.shape[0]
    for first in range(0, units, PANEL_WIDTH):
        columns = [state[:, gate * units + first :][:, :PANEL_WIDTH] for gate in range(GATES)]
        yield np.stack(columns).view(np.uint32).reshape(GATES, units // GROUP_ROWS, GROUP_ROWS, PANEL_WIDTH)


def _plain_groups(weight: np.ndarray) -> tuple[int, np.ndarray]:
    """The upper bits of most groups' exponents, and which groups [panels, gates, groups] lie plain."""
    lowest, highest = [], []
    for groups in _groups(weight[_inputs(weight) :]):
        upper = (groups >> _SHIFT & 15).astype(np.uint8)
        lowest.append(upper.min(axis=(2, 3)))
        highest.append(upper.max(axis=(2, 3)))
    upper, alike = np.stack(lowest), np.stack(lowest) == np.stack(highest)
    alike[:, _CODED_GATES:] = False
    exponent = int(np.bincount(upper[alike], minlength=16).argmax())
    return exponent, ~(alike & (upper == exponent))


def _coded(groups: np.ndarray) -> np.ndarray:
    """Groups [..., 8, 16] as [..., 7, 16]: row i holds bits 27 - 4 i to 30 - 4 i of the eighth, turned by 4."""
    rows, last = groups[..., :-1, :], groups[..., -1:, :]
    turned = last << np.uint32(4) | last >> np.uint32(28)  # the sign in bit 3
    shifts = (27 - 4 * np.arange(GROUP_ROWS - 1, dtype=np.uint32))[:, None]
    coded: np.ndarray = rows & _OWN | (turned >> shifts & np.uint32(15)) << _SHIFT
    return coded
