"""The multiply-add peak of this machine, measured: what ``bench`` compares layers with."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import I64
from .machine import host
from .tile import Vectors

CHAINS = 12  # independent sums: more than two units of four cycles each need, and they fit 16 registers
ROUNDS = 2_000_000


@intrinsic
def multiply_add(typingctx: Any, rounds: Any) -> Any:
    """Run ``rounds`` rounds of ``CHAINS`` independent multiply-adds of whole vectors; return their sum."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        machine = host()
        v = Vectors(builder, 32, machine.vector_bytes // 4, machine.fma)
        factor = ir.Constant(v.type, [0.999] * v.lanes)
        places = []
        for i in range(CHAINS):
            place = cgutils.alloca_once(builder, v.type)
            builder.store(ir.Constant(v.type, [1.0 + i] * v.lanes), place)
            places.append(place)
        with cgutils.for_range(builder, args[0], intp=I64):
            for place in places:
                builder.store(v.fma(builder.load(place), factor, factor), place)
        total = builder.load(places[0])
        for place in places[1:]:
            total = builder.fadd(total, builder.load(place))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.int64), codegen


@njit(nogil=True)
def run(rounds):
    return multiply_add(rounds)


def measure_peak(threads: int, repeats: int = 5) -> float:
    """Return the float32 operations per second of ``threads`` threads that do nothing but multiply and add.

    Two operations a multiply-add; the best of ``repeats`` tries.
    """
    run(1)
    operations = 2.0 * ROUNDS * CHAINS * (host().vector_bytes // 4) * threads
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            for done in [pool.submit(run, ROUNDS) for _ in range(threads)]:
                done.result()
            best = min(best, time.perf_counter() - start)
    return operations / best
