"""Batches in order: at once where that is cheap, else one ahead in a background thread."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..rng import keyed
from .split import Split


@dataclass(frozen=True)
class Batch:
    """One batch: its number in the epoch, the samples' positions in the split, and their values."""

    step: int
    sample_ids: np.ndarray  # int64[n]
    x: np.ndarray  # float32[n, H, W, C]
    y: np.ndarray  # int32[n] or float32[n, F]


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order int64[n] in which an epoch sees its samples, a function of seed and epoch alone."""
    return keyed(seed, "shuffle", epoch).permutation(n).astype(np.int64, copy=False)


def batches(
    split: Split, order: np.ndarray, size: int, start: int = 0, fewest: int = 1
) -> Generator[Batch, None, None]:
    """Yield the batches of ``order`` from batch number ``start`` on.

    The last one may be short; where it would have less than ``fewest`` samples, it shares evenly with the one before.
    """
    steps = -(-len(order) // size)
    cuts = [min(step * size, len(order)) for step in range(steps + 1)]
    if steps > 1 and cuts[-1] - cuts[-2] < fewest:
        cuts[-2] = (cuts[-3] + cuts[-1] + 1) // 2

    def make(step: int) -> Batch:
        ids = order[cuts[step] : cuts[step + 1]]
        x, y = split.batch(ids)
        return Batch(step, ids, x, y)

    if not split.prefetch:
        for step in range(start, steps):
            yield make(step)
        return
    if start >= steps:
        return
    with ThreadPoolExecutor(1, "cnnspec-batches") as pool:
        coming = pool.submit(make, start)
        for step in range(start, steps):
            batch = coming.result()
            if step + 1 < steps:
                coming = pool.submit(make, step + 1)
            yield batch
