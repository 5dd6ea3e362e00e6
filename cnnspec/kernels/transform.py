"""The transforms of Winograd's F(4x4, 3x3), on vectors of channels: straight-line code for a square of numbers.

The points are 0, +-5/8, +-3/2 and infinity, not the textbook's 0, +-1, +-2: the rounding error is six times smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import I64
from .machine import Machine
from .sweep import lanes_of
from .vectors import Access, Vectors

A, B = 0.625, 1.5  # the points; they and their squares are exact in binary
A2, B2 = A * A, B * B

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


def make_transform(
    machine: Machine, bits: int, rows_in: int, rows_out: int, line: Transform, *, epilogue: bool, plus: bool = False
) -> Any:
    """Return the intrinsic ``transform((x, row, column, y, row, column, bias, valid), low, high)``.

    It works on one vector of channels. A square of ``rows_in`` numbers a side becomes one of ``rows_out``: columns
    first, then rows. Strides are bytes. With ``epilogue`` the vector at ``bias`` is added and the result kept between
    ``low`` and ``high``, and no more than ``valid`` channels are written. Without, whole vectors are: what reaches
    beyond a tile's channels is overwritten by the next tile, or lies in the gap between planes. With ``plus`` there are
    three more numbers, the address, row and column of another square that is added before the bounds.
    """
    lanes = lanes_of(machine, bits)

    @intrinsic
    def transform(typingctx: Any, numbers: Any, low: Any, high: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, x_row, x_column, y, y_row, y_column, bias, valid, *other = cgutils.unpack_tuple(builder, args[0])
            vec = Vectors(builder, bits, lanes, machine.fma)

            def place(base: Any, row: Any, r: int, column: Any, s: int) -> Any:
                offset = builder.add(builder.mul(row, I64(r)), builder.mul(column, I64(s)))
                return builder.add(base, offset)

            def emit(io: Access) -> None:
                half = []  # half[s][r]: column s after its transform
                for s in range(rows_in):
                    half.append(line(vec, [vec.load(place(x, x_row, r, x_column, s)) for r in range(rows_in)]))
                if epilogue:
                    shift, lows, highs = io.load(bias), vec.spread(args[1]), vec.spread(args[2])
                for r in range(rows_out):
                    for s, value in enumerate(line(vec, [half[c][r] for c in range(rows_in)])):
                        if epilogue:
                            value = builder.fadd(value, shift)
                        if plus:
                            value = builder.fadd(value, io.load(place(other[0], other[1], r, other[2], s)))
                        if epilogue:
                            value = vec.clamp(value, lows, highs)
                        io.store(value, place(y, y_row, r, y_column, s))

            if epilogue:
                vec.either(valid, 1, emit)
            else:
                emit(Access(vec))
            return context.get_dummy_value()

        floating = types.float32 if bits == 32 else types.float64
        return types.void(types.UniTuple(types.int64, 11 if plus else 8), floating, floating), codegen

    return transform


def make_transforms(machine: Machine, bits: int) -> dict[str, Any]:
    """Return the transforms by the names that kernels bind."""
    return {
        "transform_in": make_transform(machine, bits, 6, 6, input_line, epilogue=False),
        "transform_out": make_transform(machine, bits, 6, 4, output_line, epilogue=True),
        "transform_out_plus": make_transform(machine, bits, 6, 4, output_line, epilogue=True, plus=True),
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
