"""Multiply-adds that never leave the registers: what the machine can compute at most."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..abi.constants import CHAINS
from ._jit import emits, f32_at, kernel
from .machine import host
from .vectors import Vectors


@emits(types.float32, types.int64)
def multiply_add(builder, rounds):
    """Run ``rounds`` times CHAINS vector multiply-adds; return one number, so that none can be left out."""
    lanes = host().vector_bytes // 4
    vec = Vectors(builder, 32, lanes, host().fma)
    sums = [cgutils.alloca_once(builder, vec.type) for _ in range(CHAINS)]
    for i, at in enumerate(sums):
        builder.store(ir.Constant(vec.type, [float(i)] * lanes), at)
    factor = vec.spread(builder.uitofp(rounds, ir.FloatType()))
    with cgutils.for_range(builder, rounds):
        for at in sums:
            builder.store(vec.fma(builder.load(at), factor, factor), at)
    total = builder.load(sums[0])
    for at in sums[1:]:
        total = builder.fadd(total, builder.load(at))
    return builder.extract_element(total, ir.IntType(32)(0))


@kernel("peak", types.void(types.int64, types.int64))
def run_chains(rounds, out):
    """Multiply and add ``rounds`` times; write one number to ``out``."""
    f32_at(out)[0] = multiply_add(rounds)
