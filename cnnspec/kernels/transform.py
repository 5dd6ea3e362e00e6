"""The transforms of Winograd's F(4x4, 3x3), on vectors of channels: straight-line code for a square of numbers.

The points are 0, +-5/8, +-3/2 and infinity, not the textbook's 0, +-1, +-2: the rounding error is six times smaller.

Fewer than four outputs a side, at the border of an image, need as many points less (``points_of``). Filters are the
same at those that remain: what differs in their scale is put into the transform of the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from ._jit import I64
from .machine import Machine
from .sweep import lanes_of
from .vectors import Access, Vectors, on_vectors

A, B = 0.625, 1.5  # the points; they and their squares are exact in binary
A2, B2 = A * A, B * B
POINTS = (0.0, A, -A, B, -B)  # and infinity, the sixth
SIDE = 4  # outputs of a whole square

Transform = Callable[[Vectors, list[Any]], list[Any]]


class Line:
    """Arithmetic on vectors for one-dimensional transforms."""

    def __init__(self, vec: Vectors) -> None:
        self.vec, self.b = vec, vec.builder

    def number(self, value: float) -> Any:
        return ir.Constant(self.vec.type, [value] * self.vec.lanes)

    def scale(self, x: Any, by: float) -> Any:
        return self.b.fmul(x, self.number(by))

    def fma(self, x: Any, by: float, plus: Any) -> Any:
        return self.vec.fma(x, self.number(by), plus)

    def add(self, x: Any, y: Any) -> Any:
        return self.b.fadd(x, y)

    def sub(self, x: Any, y: Any) -> Any:
        return self.b.fsub(x, y)


def input_line(vec: Vectors, d: list[Any]) -> list[Any]:
    """B' d: six numbers to six."""
    m = Line(vec)
    even_a, odd_a = m.fma(d[2], -B2, d[4]), m.scale(m.fma(d[1], -B2, d[3]), A)
    even_b, odd_b = m.fma(d[2], -A2, d[4]), m.scale(m.fma(d[1], -A2, d[3]), B)
    first = m.fma(d[0], A2 * B2, m.fma(d[2], -(A2 + B2), d[4]))
    last = m.fma(d[1], A2 * B2, m.fma(d[3], -(A2 + B2), d[5]))
    return [first, m.add(even_a, odd_a), m.sub(even_a, odd_a), m.add(even_b, odd_b), m.sub(even_b, odd_b), last]


def output_line(vec: Vectors, t: list[Any]) -> list[Any]:
    """A' t: six numbers to four."""
    m = Line(vec)
    plus_a, minus_a = m.add(t[1], t[2]), m.sub(t[1], t[2])
    plus_b, minus_b = m.add(t[3], t[4]), m.sub(t[3], t[4])
    return [
        m.add(t[0], m.add(plus_a, plus_b)),
        m.fma(minus_a, A, m.scale(minus_b, B)),
        m.fma(plus_a, A2, m.scale(plus_b, B2)),
        m.fma(minus_a, A2 * A, m.fma(minus_b, B2 * B, t[5])),
    ]


def output_line_transposed(vec: Vectors, y: list[Any]) -> list[Any]:
    """A y: four numbers to six."""
    m = Line(vec)
    even_a, odd_a = m.fma(y[2], A2, y[0]), m.fma(y[3], A2 * A, m.scale(y[1], A))
    even_b, odd_b = m.fma(y[2], B2, y[0]), m.fma(y[3], B2 * B, m.scale(y[1], B))
    return [y[0], m.add(even_a, odd_a), m.sub(even_a, odd_a), m.add(even_b, odd_b), m.sub(even_b, odd_b), y[3]]


N0, NA, NB = A2 * B2, 2 * A2 * (A2 - B2), 2 * B2 * (B2 - A2)


def filter_line(vec: Vectors, g: list[Any]) -> list[Any]:
    """G g: three numbers to six."""
    m = Line(vec)
    even_a, odd_a = m.fma(g[2], A2 / NA, m.scale(g[0], 1 / NA)), m.scale(g[1], A / NA)
    even_b, odd_b = m.fma(g[2], B2 / NB, m.scale(g[0], 1 / NB)), m.scale(g[1], B / NB)
    first = m.scale(g[0], 1 / N0)
    return [first, m.add(even_a, odd_a), m.sub(even_a, odd_a), m.add(even_b, odd_b), m.sub(even_b, odd_b), g[2]]


def filter_line_transposed(vec: Vectors, t: list[Any]) -> list[Any]:
    """G' t: six numbers to three."""
    m = Line(vec)
    plus_a, minus_a = m.add(t[1], t[2]), m.sub(t[1], t[2])
    plus_b, minus_b = m.add(t[3], t[4]), m.sub(t[3], t[4])
    return [
        m.fma(t[0], 1 / N0, m.fma(plus_a, 1 / NA, m.scale(plus_b, 1 / NB))),
        m.fma(minus_a, A / NA, m.scale(minus_b, B / NB)),
        m.fma(plus_a, A2 / NA, m.fma(plus_b, B2 / NB, t[5])),
    ]


def points_of(size: int) -> list[int]:
    """Return which of the six points a line of ``size`` outputs needs: ``size`` + 1 finite ones, and infinity."""
    return [*range(size + 1), 5]


def _polynomial(roots: Sequence[float]) -> list[float]:
    """Return the coefficients of the product of x - root, that of x^0 first."""
    found = [1.0]
    for root in roots:
        found = [high - root * low for high, low in zip([0.0, *found], [*found, 0.0], strict=True)]
    return found


def short_input(size: int) -> list[list[float]]:
    """Return B' for ``size`` outputs: a row for each of points_of, of ``size`` + 2 numbers.

    A whole square's filters are divided by the distances of their point from all others; here fewer are others, so
    the distances from those left out are multiplied.
    """
    used, unused = POINTS[: size + 1], POINTS[size + 1 :]
    rows = []
    for point in used:
        scale = math.prod(point - other for other in unused)
        rows.append([scale * c for c in _polynomial([p for p in used if p != point])] + [0.0])
    return [*rows, _polynomial(used)]


def short_output(size: int) -> list[list[float]]:
    """Return A' for ``size`` outputs: a row for each of them, of a number for each of points_of."""
    return [[point**k for point in POINTS[: size + 1]] + [float(k == size - 1)] for k in range(size)]


def times(matrix: Sequence[Sequence[float]]) -> Transform:
    """Return the transform that multiplies by a matrix."""

    def line(vec: Vectors, x: list[Any]) -> list[Any]:
        m = Line(vec)
        made = []
        for row in matrix:
            (first, by), *terms = [(one, c) for one, c in zip(x, row, strict=True) if c]
            total = first if by == 1 else m.scale(first, by)
            for one, c in terms:
                total = m.add(total, one) if c == 1 else m.fma(one, c, total)
            made.append(total)
        return made

    return line


def make_transform(
    machine: Machine, bits: int, rows_in: int, rows_out: int, line: Transform, *, epilogue: bool, addend: bool = False
) -> Any:
    """Return the intrinsic ``transform((x, row, column, y, row, column, bias, valid), low, high)``.

    It works on one vector of channels. A square of ``rows_in`` numbers a side becomes one of ``rows_out``: columns
    first, then rows. Strides are bytes. With ``epilogue`` the vector at ``bias`` is added and the result kept between
    ``low`` and ``high``, and no more than ``valid`` channels are written. Without, whole vectors are: what reaches
    beyond a tile's channels is overwritten by the next tile, or lies in the gap between planes. With ``addend`` there
    are three more numbers, the address, row and column of another square that is added before the bounds.
    """
    lanes = lanes_of(machine, bits)

    @on_vectors(machine, bits, lanes, floats=2)
    def transform(vec, x, x_row, x_column, y, y_row, y_column, bias, valid, *rest):
        builder = vec.builder
        *other, low, high = rest

        def place(base: Any, row: Any, r: int, column: Any, s: int) -> Any:
            offset = builder.add(builder.mul(row, I64(r)), builder.mul(column, I64(s)))
            return builder.add(base, offset)

        def emit(io: Access) -> None:
            half = []  # half[s][r]: column s after its transform
            for s in range(rows_in):
                half.append(line(vec, [vec.load(place(x, x_row, r, x_column, s)) for r in range(rows_in)]))
            if epilogue:
                shift, lows, highs = io.load(bias), vec.spread(low), vec.spread(high)
            for r in range(rows_out):
                for s, value in enumerate(line(vec, [half[c][r] for c in range(rows_in)])):
                    if epilogue:
                        value = builder.fadd(value, shift)
                    if addend:
                        value = builder.fadd(value, io.load(place(other[0], other[1], r, other[2], s)))
                    if epilogue:
                        value = vec.clamp(value, lows, highs)
                    io.store(value, place(y, y_row, r, y_column, s))

        if epilogue:
            vec.either(valid, 1, emit)
        else:
            emit(Access(vec))

    return transform


def make_line(machine: Machine, bits: int, lines: Sequence[tuple[Transform, list[int], list[int]]], finish: str) -> Any:
    """Return the intrinsic ``line((x, step, y, step, size, ...), low, high)``: one row or column of a square.

    ``lines``: for sizes of 1, 2 ... the transform, and which places it reads and writes. ``finish``: "", or "bias": the
    vector at one more address is added, and the result kept between ``low`` and ``high``; or "addend": the address and
    step of numbers that are added before the bounds follow.
    """
    lanes = lanes_of(machine, bits)

    @on_vectors(machine, bits, lanes, floats=2)
    def transform_line(vec, x, x_step, y, y_step, size, *rest):
        builder = vec.builder
        *other, low, high = rest

        def place(base: Any, step: Any, k: int) -> Any:
            return builder.add(base, builder.mul(step, I64(k)))

        for wanted, (line, reads, writes) in enumerate(lines, start=1):
            with builder.if_then(builder.icmp_signed("==", size, I64(wanted))):
                made = line(vec, [vec.load(place(x, x_step, k)) for k in reads])
                for k, value in zip(writes, made, strict=True):
                    if finish:
                        value = builder.fadd(value, vec.load(other[0]))
                    if finish == "addend":
                        value = builder.fadd(value, vec.load(place(other[1], other[2], k)))
                    if finish:
                        value = vec.clamp(value, vec.spread(low), vec.spread(high))
                    vec.store(value, place(y, y_step, k))

    return transform_line


def make_lines(machine: Machine, bits: int) -> dict[str, Any]:
    """Return the transforms of single lines, of one to four outputs, by the names that kernels bind."""
    into, out, back = [], [], []
    for size in range(1, SIDE + 1):
        short = size < SIDE
        pixels, outputs, points = list(range(size + 2)), list(range(size)), points_of(size)
        into.append((times(short_input(size)) if short else input_line, pixels, points))
        out.append((times(short_output(size)) if short else output_line, points, outputs))
        turned = list(zip(*short_output(size), strict=True))
        back.append((times(turned) if short else output_line_transposed, outputs, points))
    return {
        "line_in": make_line(machine, bits, into, ""),
        "line_dy": make_line(machine, bits, back, ""),
        "line_out": make_line(machine, bits, out, ""),
        "line_end": make_line(machine, bits, out, "bias"),
        "line_end_addend": make_line(machine, bits, out, "addend"),
    }


def make_transforms(machine: Machine, bits: int) -> dict[str, Any]:
    """Return the transforms by the names that kernels bind."""
    return {
        "transform_in": make_transform(machine, bits, 6, 6, input_line, epilogue=False),
        "transform_out": make_transform(machine, bits, 6, 4, output_line, epilogue=True),
        "transform_out_addend": make_transform(machine, bits, 6, 4, output_line, epilogue=True, addend=True),
        "transform_dy": make_transform(machine, bits, 4, 6, output_line_transposed, epilogue=False),
        "transform_filter": make_transform(machine, bits, 3, 6, filter_line, epilogue=False),
        "transform_back": make_transform(machine, bits, 6, 3, filter_line_transposed, epilogue=False),
    }


def make_copy_edge(T: Any, at: Any, size: int) -> Any:
    """Return copy_edge: a square of pixels at the border, what lies beyond the image filled with zeros."""
    from numba import njit

    @njit
    def copy_edge(source, row, pixel, target, height, width, side, channels):
        for r in range(side):
            for s in range(side):
                out = at(target + (r * side + s) * channels * size)
                if r < height and s < width:
                    x = at(source + r * row + s * pixel)
                    for c in range(channels):
                        out[c] = x[c]
                else:
                    for c in range(channels):
                        out[c] = T(0)

    return copy_edge
