"""The measured limits of the machine: multiply-adds that never leave the registers, copies too large for caches."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import f32_at, kernel
from .machine import host
from .vectors import Vectors

ROUNDS = 2_000_000
TRIES = 15
CHAINS = 12  # independent sums; enough to hide the latency of an FMA
COPIED = 2**24  # numbers of a copy: 64 MiB, more than the caches of the machines measured hold


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


@kernel("peak", types.void(types.int64, types.int64))
def run_chains(rounds, out):
    """Multiply and add ``rounds`` times; write one number to ``out``."""
    f32_at(out)[0] = multiply_add(rounds)


def measure_peak(threads: int) -> float:
    """Return the FLOP/s of multiply-adds on so many threads: the best of several runs of some milliseconds."""
    from .load import load_kernels

    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(load_kernels(["peak"])["peak"])
    places = [ctypes.create_string_buffer(64) for _ in range(threads)]

    def run(place: Any) -> None:
        function(ROUNDS, ctypes.addressof(place))

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIES):
            start = time.perf_counter()
            list(pool.map(run, places))
            seconds = time.perf_counter() - start
            best = max(best, 2.0 * ROUNDS * CHAINS * (host().vector_bytes // 4) * threads / seconds)
    return best


def measure_bandwidth(threads: int) -> float:
    """Return the bytes/s, read and written, of a large copy on so many threads: the best of several."""
    import numpy as np

    x = np.ones((threads, COPIED // threads), np.float32)
    y = np.zeros_like(x)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIES):
            start = time.perf_counter()
            list(pool.map(np.copyto, y, x))
            best = max(best, 2.0 * x.nbytes / (time.perf_counter() - start))
    return best
