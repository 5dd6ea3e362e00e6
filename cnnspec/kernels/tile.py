"""The one micro-kernel: a tile of registers that multiplies and adds. conv and dense run on it, both ways.

    acc[m][v] += a[m, i0, i1, i2] * b[i0, i1, i2][v]

``a`` is one number, spread over a vector; ``b`` is a vector. A tile has ``rows`` x ``width`` numbers: each row is an
output pixel (or a weight), the width runs over channels. Three loops with strides of their own make it implicit
GEMM on NHWC with nothing copied (see docs/performance.md).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..abi import Start
from ..abi.constants import MOST_TILE_ROWS
from ._jit import I64
from .machine import Machine
from .vectors import Access, Vectors


def shape_of(machine: Machine, width: int, bits: int) -> tuple[int, int, int]:
    """Return rows, vectors a row and lanes of the tile for a panel of ``width`` channels.

    Sums take 16 of 32 registers, or 12 of 16; at least eight are in flight, which hides the latency of the FMA.
    """
    lanes = min(machine.vector_bytes * 8 // bits, width)
    vectors = width // lanes
    budget = 16 if machine.registers >= 32 else 12
    return max(1, min(MOST_TILE_ROWS, budget // vectors)), vectors, lanes


START_ZERO, START_BIAS, START_ADD = (int(start) for start in Start)


def make_tile(machine: Machine, width: int, bits: int, *, unit_rows: bool, rows: int = 0) -> Any:
    """Return the intrinsic ``tile``, which computes one tile of ``width`` columns and ``rows``, or those of shape_of.

    All addresses and strides are bytes. With ``unit_rows`` (weight gradients) ``a`` is the address of row 0, row m
    lies m elements behind it, row m of the result at ``out + m*step``, and only the first ``count`` rows are stored.
    Without (outputs) ``a`` and ``out`` are addresses of tables of int64 with the address of each row; rows are
    ``count`` bytes further on, and results ``step`` bytes.
    ``start``: zero, the vector at ``bias``, or zero and what ``out`` holds is added at the end: the sum of a part is
    rounded as the small number that it is. ``valid``: channels of the panel that exist; ``b`` is read beyond them,
    which is why memory ends in some room (``SLACK`` of the runner), but nothing of it is stored.
    """
    usual, vectors, lanes = shape_of(machine, width, bits)
    rows = rows or usual
    size = bits // 8

    @intrinsic
    def tile(
        typingctx: Any, a: Any, b: Any,
        n0: Any, a0: Any, b0: Any, n1: Any, a1: Any, b1: Any, n2: Any, a2: Any, b2: Any,
        start: Any, bias: Any, out: Any, step: Any, count: Any, valid: Any, low: Any, high: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            (a, b, n0, a0, b0, n1, a1, b1, n2, a2, b2, start, bias, out, step, count, valid, low, high) = args
            vec = Vectors(builder, bits, lanes, machine.fma)
            acc = [[cgutils.alloca_once(builder, vec.type) for _ in range(vectors)] for _ in range(rows)]

            def table(base: Any, m: int) -> Any:
                return builder.load(builder.inttoptr(builder.add(base, I64(8 * m)), ir.PointerType(I64)))

            if unit_rows:
                outs = [builder.add(out, builder.mul(step, I64(m))) for m in range(rows)]
            else:
                starts = [builder.add(table(a, m), count) for m in range(rows)]
                outs = [builder.add(table(out, m), step) for m in range(rows)]

            def begin(io: Access) -> None:
                zero = ir.Constant(vec.type, [0.0] * lanes)
                for v in range(vectors):
                    for m in range(rows):
                        builder.store(zero, acc[m][v])
                with builder.if_then(builder.icmp_signed("==", start, I64(START_BIAS))):
                    for v in range(vectors):
                        first = io.load(bias, v)
                        for m in range(rows):
                            builder.store(first, acc[m][v])

            def multiply() -> None:
                with cgutils.for_range(builder, n0) as i0:
                    off0, b_0 = builder.mul(i0.index, a0), builder.add(b, builder.mul(i0.index, b0))
                    with cgutils.for_range(builder, n1) as i1:
                        off1 = builder.add(off0, builder.mul(i1.index, a1))
                        b_1 = builder.add(b_0, builder.mul(i1.index, b1))
                        with cgutils.for_range(builder, n2) as i2:
                            off = builder.add(off1, builder.mul(i2.index, a2))
                            at = builder.add(b_1, builder.mul(i2.index, b2))
                            if unit_rows:
                                ones = [vec.load_scalar(builder.add(a, off), m * size) for m in range(rows)]
                            else:
                                ones = [vec.load_scalar(builder.add(starts[m], off)) for m in range(rows)]
                            for m, v, total in vec.products(ones, lambda v: vec.load(at, v * vec.nbytes), vectors, acc):
                                builder.store(total, acc[m][v])

            def end(io: Access) -> None:
                lows, highs = vec.spread(low), vec.spread(high)
                with builder.if_then(builder.icmp_signed("==", start, I64(START_ADD))):
                    for m in range(rows):
                        for v in range(vectors):
                            builder.store(builder.fadd(io.load(outs[m], v), builder.load(acc[m][v])), acc[m][v])
                for m in range(rows):

                    def put(m: int = m) -> None:
                        for v in range(vectors):
                            io.store(vec.clamp(builder.load(acc[m][v]), lows, highs), outs[m], v)

                    if unit_rows:
                        with builder.if_then(builder.icmp_signed("<", I64(m), count)):
                            put()
                    else:
                        put()

            vec.either(valid, vectors, begin)
            multiply()
            vec.either(valid, vectors, end)
            return context.get_dummy_value()

        floating = types.float32 if bits == 32 else types.float64
        return types.void(*[types.int64] * 17, floating, floating), codegen

    return tile


def make_pack(machine: Machine, width: int, bits: int) -> Any:
    """Return the intrinsic ``pack(numbers)``: a panel of ``width`` channels of some pixels, copied side by side.

    Numbers: source, bytes from sample to sample, row to row, pixel to pixel, samples, rows, pixels, target.
    """
    lanes = shape_of(machine, width, bits)[2] if width % 16 else machine.vector_bytes * 8 // bits
    vectors = width // lanes

    @intrinsic
    def pack(typingctx: Any, numbers: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, image, row, pixel, samples, rows, pixels, target = cgutils.unpack_tuple(builder, args[0])
            vec = Vectors(builder, bits, lanes, machine.fma)
            to = cgutils.alloca_once_value(builder, target)
            builder.store(target, to)
            with cgutils.for_range(builder, samples) as i:
                at0 = builder.add(source, builder.mul(i.index, image))
                with cgutils.for_range(builder, rows) as h:
                    at1 = builder.add(at0, builder.mul(h.index, row))
                    with cgutils.for_range(builder, pixels) as w:
                        at = builder.add(at1, builder.mul(w.index, pixel))
                        for v in range(vectors):
                            vec.store(vec.load(at, v * vec.nbytes), builder.load(to), v * vec.nbytes)
                        builder.store(builder.add(builder.load(to), I64(vectors * vec.nbytes)), to)
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, 8)), codegen

    return pack
