"""Sweeps: vectors of channels that pass over every pixel.

Batch normalisation, bias gradients and their like are all one loop nest with different bodies:

    for each sample, row, pixel:  outputs, terms = body(inputs, constants, bounds);  sums += terms

Channels go a cache line at a time, in one vector or several. Where nothing is summed, a pair of pixels goes through all
its channels, so that memory is read in order; constants come from the first-level cache. Sums stay in registers, so a
few rows of an image go through one line of channels, then through the next; they are kept row by row first, so that
thousands of pixels lose no digits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ._jit import I64
from .machine import Machine
from .vectors import Access, Vectors, on_vectors

Body = Callable[[Vectors, list[Any], list[Any], list[Any]], tuple[list[Any], list[Any]]]

PIXELS = 256  # of the rows that go through a line of channels together, where there are sums
LINE = 64  # bytes of channels that go together


def lanes_of(machine: Machine, bits: int) -> int:
    """Channels of one vector."""
    return machine.vector_bytes * 8 // bits


def line_of(bits: int) -> int:
    """Channels that go through a sweep together."""
    return LINE * 8 // bits


def make_sweep(machine: Machine, bits: int, inputs: int, constants: int, outputs: int, sums: int, body: Body) -> Any:
    """Return the intrinsic ``sweep((n, height, width, channels, ...), low, high)``, with outputs, sums or both.

    Then, for each input and then each output its address and the strides from sample to sample, row to row, pixel
    to pixel; then the addresses of the constants, one number a channel; then of the sums, to which the new ones are
    added. All int64, in bytes. ``low`` and ``high`` are bounds for the body's use.
    """
    images = inputs + outputs

    @on_vectors(machine, bits, lanes_of(machine, bits), floats=2)
    def sweep(vec, n, height, width, channels, *rest):
        *numbers, low, high = rest
        places = [numbers[4 * k : 4 * k + 4] for k in range(images)]
        fixed, targets = numbers[4 * images : 4 * images + constants], numbers[4 * images + constants :]
        loops = Loops(vec, (n, height, width, channels), places, fixed)
        bounds = [vec.spread(low), vec.spread(high)]
        if sums:
            loops.add_up(inputs, targets, lambda xs, known: body(vec, xs, known, bounds))
        else:
            loops.map(inputs, lambda xs, known: body(vec, xs, known, bounds)[0])

    return sweep


class Loops:
    """Emits the two orders in which images are swept."""

    def __init__(self, vec: Vectors, shape: tuple[Any, ...], places: list[list[Any]], fixed: list[Any]) -> None:
        self.vec, self.builder = vec, vec.builder
        self.n, self.height, self.width, self.channels = shape
        self.places, self.fixed = places, fixed
        self.line = LINE // vec.nbytes * vec.lanes
        self.vectors = LINE // vec.nbytes

    def map(self, inputs: int, body: Callable[[list[Any], list[Any]], list[Any]]) -> None:
        """Write outputs, a pair of pixels after the other, all channels of both."""
        b = self.builder
        whole = b.sdiv(self.channels, I64(self.line))
        left = b.sub(self.channels, b.mul(whole, I64(self.line)))

        def line(here: list[Any], pixels: int, number: Any, io: Access) -> None:
            along = b.mul(number, I64(LINE))
            for v in range(self.vectors):
                known = [io.load(b.add(at, along), v) for at in self.fixed]
                for p in range(pixels):
                    far = [
                        b.add(b.add(at, along), b.mul(pixel, I64(p)))
                        for at, (_, _, _, pixel) in zip(here, self.places, strict=True)
                    ]
                    made = body([io.load(at, v) for at in far[:inputs]], known)
                    for value, at in zip(made, far[inputs:], strict=True):
                        io.store(value, at, v)

        def some(starts: list[Any], first: Any, pixels: int) -> None:
            here = self._further(starts, 3, first)
            with cgutils.for_range(b, whole) as number:
                line(here, pixels, number.index, Access(self.vec))
            with b.if_then(b.icmp_signed(">", left, I64(0))):
                self.vec.either(left, self.vectors, lambda io: line(here, pixels, whole, io))

        pairs = b.sdiv(self.width, I64(2))
        addresses = [place[0] for place in self.places]
        with cgutils.for_range(b, self.n) as i, cgutils.for_range(b, self.height) as h:
            starts = self._further(self._further(addresses, 1, i.index), 2, h.index)
            with cgutils.for_range(b, pairs) as w:
                some(starts, b.mul(w.index, I64(2)), 2)
            with cgutils.for_range(b, self.width, start=b.mul(pairs, I64(2))) as w:
                some(starts, w.index, 1)

    def add_up(
        self, inputs: int, targets: list[Any], body: Callable[[list[Any], list[Any]], tuple[list[Any], list[Any]]]
    ) -> None:
        """Add to sums (and write outputs), a few rows after the other, a line of channels after the other."""
        b = self.builder
        totals, rows = (
            [[cgutils.alloca_once(b, self.vec.type) for _ in range(self.vectors)] for _ in targets] for _ in range(2)
        )
        many = b.sdiv(I64(PIXELS), self.width)
        lines = self._least(self.height, b.select(b.icmp_signed("<", many, I64(1)), I64(1), many))
        blocks = b.sdiv(b.add(self.height, b.sub(lines, I64(1))), lines)
        columns = b.sdiv(b.add(self.channels, I64(self.line - 1)), I64(self.line))
        with (
            cgutils.for_range(b, self.n) as i,
            cgutils.for_range(b, blocks) as block,
            cgutils.for_range(b, columns) as column,
        ):
            first, along = b.mul(block.index, lines), b.mul(column.index, I64(LINE))
            addresses = [b.add(place[0], along) for place in self.places]
            corners = self._further(self._further(addresses, 1, i.index), 2, first)

            def pass_over(io: Access) -> None:
                known = [[io.load(b.add(at, along), v) for at in self.fixed] for v in range(self.vectors)]
                self._clear(totals)
                with cgutils.for_range(b, self._least(lines, b.sub(self.height, first))) as h:
                    starts = self._further(corners, 2, h.index)
                    self._clear(rows)
                    with cgutils.for_range(b, self.width) as w:
                        here = self._further(starts, 3, w.index)
                        for v in range(self.vectors):
                            made, terms = body([io.load(at, v) for at in here[:inputs]], known[v])
                            for value, at in zip(made, here[inputs:], strict=True):
                                io.store(value, at, v)
                            for term, row in zip(terms, rows, strict=True):
                                b.store(b.fadd(b.load(row[v]), term), row[v])
                    for total, row in zip(itertools.chain(*totals), itertools.chain(*rows), strict=True):
                        b.store(b.fadd(b.load(total), b.load(row)), total)
                for target, total in zip(targets, totals, strict=True):
                    at = b.add(target, along)
                    for v in range(self.vectors):
                        io.store(b.fadd(io.load(at, v), b.load(total[v])), at, v)

            self.vec.either(b.sub(self.channels, b.mul(column.index, I64(self.line))), self.vectors, pass_over)

    def _further(self, addresses: list[Any], stride: int, count: Any) -> list[Any]:
        """The addresses ``count`` samples (stride 1), rows (2) or pixels (3) further on in each image."""
        b = self.builder
        return [b.add(at, b.mul(count, place[stride])) for at, place in zip(addresses, self.places, strict=True)]

    def _clear(self, sums: list[list[Any]]) -> None:
        for at in itertools.chain(*sums):
            self.builder.store(ir.Constant(self.vec.type, [0.0] * self.vec.lanes), at)

    def _least(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)
