"""Batches in order: made at once where that is cheap, else several ahead by threads that serve a whole epoch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..rng import keyed
from .ahead import NBYTES, PICTURES, THREADS, in_order
from .split import Split

MOST = 8  # batches ahead


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
    To close the generator lets go of its threads. An error of a sample is raised when its batch is asked for.
    """
    steps = -(-len(order) // size)
    cuts = [min(step * size, len(order)) for step in range(steps + 1)]
    if steps > 1 and cuts[-1] - cuts[-2] < fewest:
        cuts[-2] = (cuts[-3] + cuts[-1] + 1) // 2
    samples = [order[cuts[step] : cuts[step + 1]] for step in range(steps)]
    if split.prefetch:
        yield from _ahead(split, samples, start)
        return
    for step in range(start, steps):
        x, y = split.batch(samples[step])
        yield Batch(step, samples[step], x, y)


def _ahead(split: Split, samples: Sequence[np.ndarray], start: int) -> Generator[Batch, None, None]:
    """Yield the same batches, made by threads; some are made while the net works on the one before."""
    if start >= len(samples):
        return
    size = len(samples[start])
    part = min(PICTURES, -(-size // (2 * THREADS)))  # so small that threads end with a batch at about the same time
    batch_nbytes = 4 * size * math.prod(split.shape)
    most = max(1, min(MOST, NBYTES // max(1, batch_nbytes))) * -(-size // part)
    begun: deque[tuple[Batch, int]] = deque()

    def jobs() -> Iterator[Callable[[], None]]:
        for step in range(start, len(samples)):
            ids = samples[step]
            batch = Batch(step, ids, np.empty((len(ids), *split.shape), np.float32), split.labels[ids])
            parts = [slice(at, at + part) for at in range(0, len(ids), part)]
            begun.append((batch, len(parts)))
            yield from (partial(split.fill, ids[p], batch.x[p]) for p in parts)

    with closing(in_order(jobs(), most)) as filled:
        for _ in filled:
            batch, parts = begun.popleft()
            for _ in range(parts - 1):
                next(filled)
            yield batch
