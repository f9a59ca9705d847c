"""Float32 weights in 28 bits: every one comes back bit by bit, and the size is known before."""

from __future__ import annotations

import numpy as np
import pytest
from wherry.graph import ArrayValue
from wherry.ops.rules import WeightUse
from wherry.pack import float28
from wherry.pack.stored import Layout, WeightFormat
from wherry.pack.weights import pack_recurrent
from wherry.plan.weight_size import part_sizes

ODD = [0.0, -0.0, 1e-40, -1e-45, np.inf, -np.inf, np.nan, 3e38, -3e38, 2.0, 2.0**-15, 2.0**-16, -1.9999999]


def weights(inputs: int, units: int, scale: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng([seed, inputs, units])
    return random.standard_normal((inputs + units, 4 * units), np.float32) * np.float32(scale)


def check(weight: np.ndarray) -> float:
    """Bytes of the stored weight, in those of the floats."""
    stored = pack_recurrent(ArrayValue(weight))
    assert (stored.layout, stored.format, stored.bits) == (Layout.PANELS, WeightFormat.FLOAT28, 28)
    assert part_sizes(ArrayValue(weight), WeightUse.RECURRENT) == [len(stored.data)]
    again = float28.unpack_float28(stored.data, weight.shape)
    assert np.array_equal(again.view(np.uint32), weight.view(np.uint32))
    return len(stored.data) / weight.nbytes


@pytest.mark.parametrize(("inputs", "units"), [(0, 16), (3, 16), (7, 48), (33, 208), (512, 512)])
@pytest.mark.parametrize("scale", [1e-30, 0.02, 0.3, 40.0])
def test_round_trip(inputs: int, units: int, scale: float) -> None:
    weight = weights(inputs, units, scale)
    check(weight)
    random = np.random.default_rng(1)
    weight.reshape(-1)[random.integers(0, weight.size, len(ODD))] = ODD
    check(weight)


@pytest.mark.parametrize("value", [0.0, 1.0, np.inf, 1e-42])
def test_weights_that_are_all_the_same(value: float) -> None:
    weight = np.full((4 + 64, 256), value, np.float32)
    assert check(weight) < 1
    assert float28.pays(weight)


def test_of_ordinary_weights_an_eleventh_is_saved() -> None:
    assert check(weights(0, 512, 0.05)) < 0.925


def test_when_it_pays() -> None:
    assert float28.fits((512 + 512, 2048), 1)
    assert not float28.fits((512 + 512, 2048), 2), "rows that share the weights do not wait for them"
    assert not float28.fits((512 + 500, 2000), 1), "units are in whole panels"
    assert not float28.fits((512 + 160, 640), 1), "400 kB stay in the second-level cache"
    assert float28.pays(weights(5, 192, 0.05))
    spread = weights(5, 192, 1.0) ** 9
    assert not float28.pays(spread)
    check(spread)
