"""Small dense matrices, for the transformed tiles of Winograd's algorithm: products and transposes."""

from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ._jit import I64
from .machine import Machine
from .tile import shape_of
from .vectors import I32, on_vectors


def make_product(machine: Machine, width: int, bits: int, rows_of_a: str) -> Any:
    """Return the intrinsic ``product(numbers)``: out[m] = sum over i of a[m, i] b[i], for many small matrices.

    ``following``, ``b_next``: bytes from i to i + 1. ``row``: from row to row of a, with rows_of_a = ``even``. They lie
    side by side with ``unit``. With ``add`` the sums are added to what out holds. Rows of b and out are whole panels.
    """
    rows, vectors, lanes = shape_of(machine, width, bits)
    size = bits // 8

    @on_vectors(machine, bits, lanes)
    def product(vec, a, row, following, b, b_next, length, out, out_row, count, add):
        builder = vec.builder
        acc = [[cgutils.alloca_once(builder, vec.type) for _ in range(vectors)] for _ in range(rows)]
        step = I64(size) if rows_of_a == "unit" else row

        def least(x: Any, y: Any) -> Any:
            return builder.select(builder.icmp_signed("<", x, y), x, y)

        tiles = builder.sdiv(builder.add(count, I64(rows - 1)), I64(rows))
        with cgutils.for_range(builder, tiles) as tile:
            first = builder.mul(tile.index, I64(rows))
            left = builder.sub(count, first)
            out_at = builder.add(out, builder.mul(first, out_row))
            if rows_of_a == "unit":  # rows too many read what follows; else they repeat the last one
                places = [builder.add(first, I64(m)) for m in range(rows)]
            else:
                places = [builder.add(first, least(I64(m), builder.sub(left, I64(1)))) for m in range(rows)]
            starts = [builder.add(a, builder.mul(place, step)) for place in places]
            for at in itertools.chain(*acc):
                builder.store(ir.Constant(vec.type, [0.0] * lanes), at)
            with cgutils.for_range(builder, length) as i:
                off, at = builder.mul(i.index, following), builder.add(b, builder.mul(i.index, b_next))
                ones = [vec.load_scalar(builder.add(start, off)) for start in starts]
                for m, v, total in vec.products(ones, lambda v: vec.load(at, v * vec.nbytes), vectors, acc):
                    builder.store(total, acc[m][v])
            for m in range(rows):
                with builder.if_then(builder.icmp_signed("<", I64(m), left), likely=True):
                    target = builder.add(out_at, builder.mul(out_row, I64(m)))
                    with builder.if_else(builder.icmp_signed("!=", add, I64(0))) as (then, otherwise):
                        with then:
                            for v in range(vectors):
                                old = vec.load(target, v * vec.nbytes)
                                total = builder.fadd(old, builder.load(acc[m][v]))
                                vec.store(total, target, v * vec.nbytes)
                        with otherwise:
                            for v in range(vectors):
                                vec.store(builder.load(acc[m][v]), target, v * vec.nbytes)

    return product


def make_transpose(machine: Machine, bits: int) -> Any:
    """Return the intrinsic ``transpose((x, row, y, y_row))``: a square of LANES x LANES numbers, turned over."""
    lanes = machine.vector_bytes * 8 // bits

    @on_vectors(machine, bits, lanes)
    def transpose(vec, x, row, y, y_row):
        builder = vec.builder
        lines = [vec.load(builder.add(x, builder.mul(row, I64(i)))) for i in range(lanes)]
        half = lanes // 2
        low, high = (
            ir.Constant(ir.VectorType(I32, lanes), [k for i in range(half) for k in (first + i, lanes + first + i)])
            for first in (0, half)
        )
        for _ in range(lanes.bit_length() - 1):  # each round interleaves the upper half with the lower
            pairs = [(lines[i], lines[i + half]) for i in range(half)]
            lines = [builder.shuffle_vector(*pair, order) for pair in pairs for order in (low, high)]
        for i, line in enumerate(lines):
            vec.store(line, builder.add(y, builder.mul(y_row, I64(i))))

    return transpose
