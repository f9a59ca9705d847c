"""Every model of the zoo, from keras to the C++ runtime. The large ones are slow and run by `make bench-models` too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import zoo
from tests.models.check import FLOAT32_LIMIT, compare

MODELS = [name if name in zoo.FAST else pytest.param(name, marks=pytest.mark.slow) for name in zoo.NAMES]


@pytest.mark.parametrize("name", MODELS)
def test_float32_is_tensorflows_answer(name: str, tmp_path: Path) -> None:
    result = compare(name, tmp_path, partitions=(1, 2, 11) if name in zoo.FAST else (1, 11, 50))
    assert result.relative <= FLOAT32_LIMIT
    assert result.identical
