"""The Python front, as a person at a prompt uses it."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec


# ---- predict --------------------------------------------------------------------------------------
@pytest.mark.parametrize("end", ["conv 3 3x3 -> flatten", "conv 3 3x3 -> relu -> flatten", "maxpool 2 -> flatten"])
def test_a_net_may_end_in_flatten(end: str) -> None:
    x = np.random.default_rng(0).random((3, 4, 4, 2), np.float32)
    flat = cnnspec.parse(f"input 4x4x2\n{end}\ntrain {{ loss mse }}")
    image = cnnspec.parse(f"input 4x4x2\n{end.removesuffix(' -> flatten')}\ntrain {{ loss mse }}")
    assert np.array_equal(flat.predict(x), image.predict(x).reshape(3, -1))
