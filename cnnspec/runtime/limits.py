"""The measured limits of the machine: multiply-adds that never leave the registers, copies too large for caches."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..abi.constants import CHAINS

ROUNDS = 2_000_000  # of multiply-adds
TRIES = 15
COPIED = 2**24  # numbers of a copy: 64 MiB, more than the caches of the machines measured hold


def measure_peak(threads: int) -> float:
    """Return the FLOP/s of multiply-adds on so many threads: the best of several runs of some milliseconds."""
    from ..kernels.load import load_kernels
    from ..kernels.machine import running

    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(load_kernels(["peak"])["peak"])
    places = [ctypes.create_string_buffer(64) for _ in range(threads)]

    def run(place: Any) -> None:
        function(ROUNDS, ctypes.addressof(place))

    return 2.0 * ROUNDS * CHAINS * (running().vector_bytes // 4) * threads / _least_seconds(threads, run, places)


def measure_bandwidth(threads: int) -> float:
    """Return the bytes/s, read and written, of a large copy on so many threads: the best of several."""
    x = np.ones((threads, COPIED // threads), np.float32)
    y = np.zeros_like(x)
    return 2.0 * x.nbytes / _least_seconds(threads, np.copyto, y, x)


def _least_seconds(threads: int, work: Callable[..., object], *shares: Iterable[Any]) -> float:
    """Return the least time of several in which so many threads do their shares of a work."""
    best = math.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIES):
            start = time.perf_counter()
            list(pool.map(work, *shares))
            best = min(best, time.perf_counter() - start)
    return best
