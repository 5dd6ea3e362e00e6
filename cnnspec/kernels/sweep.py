"""Sweeps: vectors of channels that pass over every pixel, with numbers of each channel held in registers.

Batch normalisation, bias gradients and their like are all one loop nest with different bodies:

    for each sample, row, pixel:  outputs, terms = body(inputs, constants, bounds);  sums += terms

A few rows of an image go through all their channels before the next rows do, so that memory is read in order; a cache
line of channels at a time, in one vector or several. Sums are kept row by row first, so that thousands of pixels lose
no digits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import I64
from .machine import Machine
from .tile import Access, Vectors

Body = Callable[[Vectors, list[Any], list[Any], list[Any]], tuple[list[Any], list[Any]]]

PIXELS = 256  # of the rows that go through all channels together
LINE = 64  # bytes of channels that go together


def lanes_of(machine: Machine, bits: int) -> int:
    """Channels of one vector."""
    return machine.vector_bytes * 8 // bits


def line_of(bits: int) -> int:
    """Channels that go through a sweep together."""
    return LINE * 8 // bits


def make_sweep(machine: Machine, bits: int, inputs: int, constants: int, outputs: int, sums: int, body: Body) -> Any:
    """Return the intrinsic ``sweep((n, height, width, channels, ...), low, high)``.

    Then, for each input and then each output its address and the strides from sample to sample, row to row, pixel
    to pixel; then the addresses of the constants, one number a channel; then of the sums, to which the new ones are
    added. All int64, in bytes. ``low`` and ``high`` are bounds for the body's use.
    """
    lanes, line = lanes_of(machine, bits), line_of(bits)
    vectors = line // lanes
    images = inputs + outputs

    @intrinsic
    def sweep(typingctx: Any, numbers: Any, low: Any, high: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            n, height, width, channels, *rest = cgutils.unpack_tuple(builder, args[0])
            vec = Vectors(builder, bits, lanes, machine.fma)
            bounds = [vec.spread(args[1]), vec.spread(args[2])]
            places = [rest[4 * k : 4 * k + 4] for k in range(images)]
            fixed, targets = rest[4 * images : 4 * images + constants], rest[4 * images + constants :]
            zero = ir.Constant(vec.type, [0.0] * lanes)
            totals, rows = (
                [[cgutils.alloca_once(builder, vec.type) for _ in range(vectors)] for _ in range(sums)] for _ in "tr"
            )

            def least(a: Any, b: Any) -> Any:
                return builder.select(builder.icmp_signed("<", a, b), a, b)

            def clear(sums: list[list[Any]]) -> None:
                for at in itertools.chain(*sums):
                    builder.store(zero, at)

            many = builder.sdiv(I64(PIXELS), width)
            lines = least(height, builder.select(builder.icmp_signed("<", many, I64(1)), I64(1), many))
            blocks = builder.sdiv(builder.add(height, builder.sub(lines, I64(1))), lines)
            columns = builder.sdiv(builder.add(channels, I64(line - 1)), I64(line))
            with (
                cgutils.for_range(builder, n) as i,
                cgutils.for_range(builder, blocks) as block,
                cgutils.for_range(builder, columns) as column,
            ):
                first = builder.mul(block.index, lines)
                along = builder.mul(column.index, I64(LINE))
                corners = []
                for address, image, row, _ in places:
                    start = builder.add(builder.add(address, along), builder.mul(i.index, image))
                    corners.append(builder.add(start, builder.mul(first, row)))

                def pass_over(io: Access) -> None:
                    known = [[io.load(builder.add(at, along), v) for at in fixed] for v in range(vectors)]
                    clear(totals)
                    with cgutils.for_range(builder, least(lines, builder.sub(height, first))) as h:
                        starts = [
                            builder.add(corner, builder.mul(h.index, row))
                            for corner, (_, _, row, _) in zip(corners, places, strict=True)
                        ]
                        clear(rows)
                        with cgutils.for_range(builder, width) as w:
                            here = [
                                builder.add(start, builder.mul(w.index, pixel))
                                for start, (_, _, _, pixel) in zip(starts, places, strict=True)
                            ]
                            for v in range(vectors):
                                made, terms = body(vec, [io.load(at, v) for at in here[:inputs]], known[v], bounds)
                                for value, at in zip(made, here[inputs:], strict=True):
                                    io.store(value, at, v)
                                for term, at in zip(terms, rows, strict=True):
                                    builder.store(builder.fadd(builder.load(at[v]), term), at[v])
                        for total, row in zip(itertools.chain(*totals), itertools.chain(*rows), strict=True):
                            builder.store(builder.fadd(builder.load(total), builder.load(row)), total)
                    for target, total in zip(targets, totals, strict=True):
                        at = builder.add(target, along)
                        for v in range(vectors):
                            io.store(builder.fadd(io.load(at, v), builder.load(total[v])), at, v)

                vec.either(builder.sub(channels, builder.mul(column.index, I64(line))), vectors, pass_over)
            return context.get_dummy_value()

        floating = types.float32 if bits == 32 else types.float64
        count = 4 + 4 * images + constants + sums
        return types.void(types.UniTuple(types.int64, count), floating, floating), codegen

    return sweep
