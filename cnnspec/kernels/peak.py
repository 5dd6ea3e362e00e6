"""The measured limits of the machine: multiply-adds that never leave the registers, copies too large for caches."""

from __future__ import annotations

import time
from typing import Any

from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from .machine import host
from .tile import Vectors
from .walk import now, ticks

CHAINS = 12  # independent sums; enough to hide the latency of an FMA
COPIED = 2**24  # numbers of a copy: 64 MiB, more than the caches of the machines measured hold
SECONDS = 0.2  # of trying; a run takes less than a millisecond, and other processes may take a core for many of them


@intrinsic
def multiply_add(typingctx: Any, rounds: Any) -> Any:
    """Run ``rounds`` times CHAINS vector multiply-adds; return one number, so that none can be left out."""
    lanes = host().vector_bytes // 4

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vec = Vectors(builder, 32, lanes, host().fma)
        sums = [cgutils.alloca_once(builder, vec.type) for _ in range(CHAINS)]
        for i, at in enumerate(sums):
            builder.store(ir.Constant(vec.type, [float(i)] * lanes), at)
        factor = vec.spread(builder.uitofp(args[0], ir.FloatType()))
        with cgutils.for_range(builder, args[0]):
            for at in sums:
                builder.store(vec.fma(builder.load(at), factor, factor), at)
        total = builder.load(sums[0])
        for at in sums[1:]:
            total = builder.fadd(total, builder.load(at))
        return builder.extract_element(total, ir.IntType(32)(0))

    return types.float32(types.int64), codegen


@njit(parallel=True, cache=True)
def _all_threads(threads, rounds, out, spent):
    for t in prange(threads):
        before = ticks()
        out[t] = multiply_add(rounds)
        spent[t] = ticks() - before


@njit(parallel=True, cache=True)
def _copy(x, y):
    for t in prange(len(x)):
        y[t, :] = x[t, :]


def measure_peak(threads: int) -> float:
    """Return the FLOP/s of multiply-adds on so many threads: the sum of the best that each reached in many short runs.

    Each by the clock of its own core, as layers are timed: what other processes take does not lower the limit.
    """
    import numba
    import numpy as np

    from .cache import use_cache

    use_cache()
    numba.set_num_threads(threads)
    out, spent = np.zeros(threads, np.float32), np.zeros(threads, np.int64)
    rounds, best = 200_000, np.full(threads, np.iinfo(np.int64).max)
    _all_threads(threads, rounds, out, spent)
    now()
    first, start = now(), time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS:
        _all_threads(threads, rounds, out, spent)
        best = np.minimum(best, spent)
    per_second = (now() - first) / seconds
    return float(2.0 * rounds * CHAINS * (host().vector_bytes // 4) * per_second * (1 / best).sum())


def measure_bandwidth(threads: int) -> float:
    """Return the bytes/s, read and written, of a large copy on so many threads: the best of many."""
    import numba
    import numpy as np

    from .cache import use_cache

    use_cache()
    numba.set_num_threads(threads)
    x = np.ones((threads, COPIED // threads), np.float32)
    y = np.zeros_like(x)
    _copy(x, y)
    least = float("inf")
    end = time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        _copy(x, y)
        least = min(least, time.perf_counter() - start)
    return 2.0 * x.nbytes / least
