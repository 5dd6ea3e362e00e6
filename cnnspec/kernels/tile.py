"""The register tile: rows x width sums in vector registers. Convolutions, dense layers and their gradients run on it.

    acc[m][k] = sum over i0, i1, i2 of a[m, i0, i1, i2] * b[i0, i1, i2][k]      m < rows, k < width

The width runs over output channels. Forward a row is an output pixel, a is its window of x, b are filters, and the
loops run over kernel rows, kernel columns and input channels. In a weight gradient a row is a weight of each filter, a
is x, b is dy, and the loops run over samples, rows and columns. Each of the three loops has its own strides in a and
b. This makes the tile implicit GEMM on NHWC images, without im2col (docs/performance.md).

A number of a is spread over a vector; acc and b are ``width / lanes`` vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..abi import Start
from ..abi.constants import MOST_TILE_ROWS
from ._jit import I64, emits
from .machine import Machine
from .vectors import Access, Vectors, on_vectors


def shape_of(machine: Machine, width: int, bits: int) -> tuple[int, int, int]:
    """Return (rows, vectors of a row, lanes of a vector) of the tile for a panel of ``width`` channels.

    ``bits`` of a number: 32 or 64. Sums take 16 of 32 vector registers, or 12 of 16. At least eight sums are
    independent, which hides the latency of the FMA.
    """
    lanes = min(machine.vector_bytes * 8 // bits, width)
    vectors = width // lanes
    budget = 16 if machine.registers >= 32 else 12
    return max(1, min(MOST_TILE_ROWS, budget // vectors)), vectors, lanes


START_ZERO, START_BIAS, START_ADD = (int(start) for start in Start)


@contextmanager
def nested_loops(builder: ir.IRBuilder, loops: Sequence[Any], a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
    """Emit nested loops; inside the innermost one a and b are these addresses.

    ``loops``: for each loop, outermost first, its count and the bytes that a and b move on in each round.
    """
    with ExitStack() as stack:
        for count, a_step, b_step in zip(*[iter(loops)] * 3, strict=True):
            i = stack.enter_context(cgutils.for_range(builder, count)).index
            a, b = builder.add(a, builder.mul(i, a_step)), builder.add(b, builder.mul(i, b_step))
        yield a, b


def make_tile(machine: Machine, width: int, bits: int, *, unit_rows: bool, rows: int = 0) -> Any:
    """Return the intrinsic ``tile``, which computes one tile of ``width`` columns and ``rows`` (0: as shape_of says).

    All addresses and strides are bytes. Loop j has nj rounds, in which a moves on by aj and b by bj. With ``unit_rows``
    (weight gradients) row m of a lies m elements behind the address ``a``, row m of the result lies at ``out + m *
    step``, and the first ``count`` rows are stored. Without (outputs) ``a`` and ``out`` are addresses of tables of
    int64 with the address of each row, to which ``count`` and ``step`` are added. ``start`` is a Start: sums begin at
    zero or at the vector ``bias``; with ADD the sums, rounded, are added to the numbers at ``out``. Results are kept
    between ``low`` and ``high``. ``valid``: channels of the panel that exist. b is read beyond them, so memory ends in
    SLACK bytes of room (runtime/runner.py); results beyond them are not stored.
    """
    most, vectors, lanes = shape_of(machine, width, bits)
    rows = rows or most
    size, floating = bits // 8, types.float32 if bits == 32 else types.float64

    @emits(types.void, *[types.int64] * 17, floating, floating)
    def tile(
        builder, a, b, n0, a0, b0, n1, a1, b1, n2, a2, b2, start, bias, out, step, count, valid, low, high
    ):  # fmt: skip
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
            with nested_loops(builder, (n0, a0, b0, n1, a1, b1, n2, a2, b2), I64(0), b) as (off, at):
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
                with builder.if_then(builder.icmp_signed("<", I64(m), count)) if unit_rows else nullcontext():
                    for v in range(vectors):
                        io.store(vec.clamp(builder.load(acc[m][v]), lows, highs), outs[m], v)

        vec.either(valid, vectors, begin)
        multiply()
        vec.either(valid, vectors, end)

    return tile


def make_pack(machine: Machine, width: int, bits: int) -> Any:
    """Return the intrinsic ``pack(numbers)``, which copies a block of pixels to [samples][rows][pixels][width].

    Numbers (int64): address of the block's first channel; bytes from sample to sample, row to row, pixel to pixel;
    samples, rows, pixels; address of the copy. Each pixel gives ``width`` channels.
    """
    lanes = shape_of(machine, width, bits)[2] if width % 16 else machine.vector_bytes * 8 // bits
    vectors = width // lanes

    @on_vectors(machine, bits, lanes)
    def pack(vec, source, image, row, pixel, samples, rows, pixels, target):
        builder = vec.builder
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

    return pack
