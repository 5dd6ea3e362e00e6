"""The images and labels that every contender computes on."""

from __future__ import annotations

import numpy as np

POOL = 4  # different batches that steps take in turn


def batches(shape: list[int], classes: int, batch: int, count: int = POOL) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images float32[batch, H, W, C] and labels int64[batch], the same in every contender."""
    rng = np.random.default_rng(batch)
    return [(rng.standard_normal((batch, *shape), np.float32), rng.integers(0, classes, batch)) for _ in range(count)]
