"""LSTMs whose weights the compiler stores in 28 bits: the bits of plain floats, whole, in partitions and streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wherry
from wherry.pack import float28
from wherry.pack.reader import read_pack

STEPS, FEATURES, UNITS = 6, 40, 192


def model(units: int, batch: int = 1, scale: float = 0.1) -> Any:
    """Two directions, and a layer behind them that is too small."""
    import keras

    layers = keras.layers
    x = keras.Input((STEPS, FEATURES), name="x", batch_size=batch)
    y = layers.Bidirectional(layers.LSTM(units, return_sequences=True))(x)
    built = keras.Model(x, layers.LSTM(16)(y))
    random = np.random.default_rng(0)
    for weight in built.weights:
        weight.assign(random.normal(0, scale, weight.shape))
    return built


def kernels(pack: Path) -> list[str]:
    found = read_pack(pack)
    return sorted(step.kernel for step in found.steps if "LSTM" in step.kernel)


def run(pack: Path, x: np.ndarray, **options: Any) -> np.ndarray:
    with wherry.Executor(pack, **options) as executor:
        (result,) = executor.run({"x": x}).values()
    return result


def test_large_layers_of_one_sequence_take_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built, x = model(UNITS), np.random.default_rng(1).standard_normal((1, STEPS, FEATURES)).astype(np.float32)
    coded, cut, plain = (tmp_path / f"{name}.wherry" for name in ("coded", "cut", "plain"))
    wherry.compile(built, coded)
    wherry.compile(built, cut, partitions=3)
    monkeypatch.setattr(float28, "fits", lambda *_: False)
    wherry.compile(built, plain)
    assert kernels(coded) == ["BlockLSTMV2_f32_wf28"] * 2 + ["BlockLSTMV2_f32_wf32"]
    assert kernels(plain) == ["BlockLSTMV2_f32_wf32"] * 3
    assert coded.stat().st_size < plain.stat().st_size
    expected = run(plain, x)
    np.testing.assert_allclose(expected, np.asarray(built(x)), rtol=0, atol=1e-5)
    streamed = {"memory_budget": 2 * max(segment.nbytes for segment in read_pack(cut).segments)}
    for pack, options in [(coded, {}), (coded, {"threads": 2}), (cut, {"threads": 2}), (cut, streamed)]:
        assert run(pack, x, **options).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("units", "batch", "scale"), [(UNITS, 2, 0.1), (200, 1, 0.1), (160, 1, 0.1), (UNITS, 1, 2.0**-15)],
    ids=["batch", "units", "small", "exponents"],
)  # fmt: skip
def test_others_do_not(units: int, batch: int, scale: float, tmp_path: Path) -> None:
    pack = tmp_path / "pack.wherry"
    built = model(units, batch, scale)
    wherry.compile(built, pack)
    assert set(kernels(pack)) == {"BlockLSTMV2_f32_wf32"}
