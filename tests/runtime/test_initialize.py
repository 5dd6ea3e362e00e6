from __future__ import annotations

import numpy as np
import pytest

from cnnspec.errors import InternalError
from cnnspec.ir.fields import Param
from cnnspec.runtime.initialize import initial


def test_kaiming_uniform_fills_its_interval():
    w = initial(Param("weight", (3, 3, 16, 64), "kaiming_uniform", 144), "conv1.weight", 1)
    bound = 1 / 12
    assert w.dtype == np.float32 and w.shape == (3, 3, 16, 64)
    assert abs(w).max() <= bound and w.max() > 0.99 * bound and w.min() < -0.99 * bound
    assert abs(w.mean()) < 0.02 * bound
    assert abs(w.std() - bound / np.sqrt(3)) < 0.02 * bound


def test_draws_depend_on_seed_and_name_alone():
    p = Param("weight", (40,), "kaiming_uniform", 9)
    first = initial(p, "a.weight", 1)
    initial(p, "b.weight", 1)
    assert (initial(p, "a.weight", 1) == first).all()
    assert not (initial(p, "b.weight", 1) == first).any()
    assert not (initial(p, "a.weight", 2) == first).any()


def test_constants():
    assert (initial(Param("b", (4,), "zeros"), "b", 1) == 0).all()
    assert (initial(Param("b", (4,), "ones"), "b", 1) == 1).all()


@pytest.mark.parametrize("param", [Param("w", (4,), "kaimin"), Param("w", (4,), "kaiming_uniform", 0)])
def test_unknown_initialiser_is_our_mistake(param):
    with pytest.raises(InternalError, match=r"x\.w"):
        initial(param, "x.w", 1)
