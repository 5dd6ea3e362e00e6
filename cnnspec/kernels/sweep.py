"""Sweeps: vectors of channels that pass over every pixel, with numbers of each channel held in registers.

Batch normalisation, bias gradients and their like are all one loop nest with different bodies:

    for each sample, row, pixel:  outputs, terms = body(inputs, constants);  sums += terms

Sums are kept row by row first, so that thousands of pixels lose no digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .machine import Machine
from .tile import Vectors

Body = Callable[[Vectors, list[Any], list[Any]], tuple[list[Any], list[Any]]]


def lanes_of(machine: Machine, bits: int) -> int:
    """Channels of one vector."""
    return machine.vector_bytes * 8 // bits


def make_sweep(machine: Machine, bits: int, inputs: int, constants: int, outputs: int, sums: int, body: Body) -> Any:
    """Return the intrinsic ``sweep((n, height, width, valid, ...))`` for one vector of channels.

    Then, for each input and then each output its address and the strides from sample to sample, row to row, pixel
    to pixel; then the addresses of the constants; then of the sums, to which the new ones are added. All int64,
    in bytes. ``valid``: channels of the vector that exist.
    """
    lanes = lanes_of(machine, bits)
    images = inputs + outputs

    @intrinsic
    def sweep(typingctx: Any, numbers: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            n, height, width, valid, *rest = cgutils.unpack_tuple(builder, args[0])
            vec = Vectors(builder, bits, lanes, machine.fma)
            mask = vec.mask(valid)
            places = [rest[4 * k : 4 * k + 4] for k in range(images)]
            fixed = [vec.masked_load(at, mask) for at in rest[4 * images : 4 * images + constants]]
            targets = rest[4 * images + constants :]
            zero = ir.Constant(vec.type, [0.0] * lanes)
            totals = [cgutils.alloca_once(builder, vec.type) for _ in range(sums)]
            rows = [cgutils.alloca_once(builder, vec.type) for _ in range(sums)]
            for at in totals:
                builder.store(zero, at)
            with cgutils.for_range(builder, n) as i, cgutils.for_range(builder, height) as h:
                starts = []
                for address, image, row, _ in places:
                    start = builder.add(address, builder.mul(i.index, image))
                    starts.append(builder.add(start, builder.mul(h.index, row)))
                for at in rows:
                    builder.store(zero, at)
                with cgutils.for_range(builder, width) as w:
                    here = [
                        builder.add(start, builder.mul(w.index, pixel))
                        for start, (_, _, _, pixel) in zip(starts, places, strict=True)
                    ]
                    xs = [vec.masked_load(at, mask) for at in here[:inputs]]
                    made, terms = body(vec, xs, fixed)
                    for value, at in zip(made, here[inputs:], strict=True):
                        vec.masked_store(value, at, mask)
                    for term, at in zip(terms, rows, strict=True):
                        builder.store(builder.fadd(builder.load(at), term), at)
                for total, row in zip(totals, rows, strict=True):
                    builder.store(builder.fadd(builder.load(total), builder.load(row)), total)
            for target, total in zip(targets, totals, strict=True):
                old = vec.masked_load(target, mask)
                vec.masked_store(builder.fadd(old, builder.load(total)), target, mask)
            return context.get_dummy_value()

        count = 4 + 4 * images + constants + sums
        return types.void(types.UniTuple(types.int64, count)), codegen

    return sweep
