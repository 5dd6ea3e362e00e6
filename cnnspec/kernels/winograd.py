"""Winograd's F(4x4, 3x3): 36 multiplications where the direct method needs 144.

A tile of 4x4 outputs needs 6x6 inputs d, and y = A' [(G g G') * (B' d B)] A with constant matrices (Lavin & Gray 2016,
section 4). The points here are 0, +-5/8, +-3/2 and infinity, not the textbook's 0, +-1, +-2: the rounding error is six
times smaller. The weight gradient is the transposed algorithm: G' [(B' d B) * (A dy A')] G, summed over tiles.

Filters are kept transformed as [36][panels][C_in][width], tiles as [36][tiles][channels].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import I64, as_float, kernel, stack, store_i64
from .activate import activate_f32, activate_f64
from .machine import Machine, host
from .sweep import lanes_of
from .tile import START_ZERO, Access, Vectors, make_product, make_tile, make_transpose, shape_of

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


def make_transform(machine: Machine, bits: int, rows_in: int, rows_out: int, line: Transform, *, epilogue: bool) -> Any:
    """Return the intrinsic ``transform((x, row, column, y, row, column, bias, valid), low, high)``.

    It works on one vector of channels. A square of ``rows_in`` numbers a side becomes one of ``rows_out``: columns
    first, then rows. Strides are bytes. With ``epilogue`` the vector at ``bias`` is added and the result kept between
    ``low`` and ``high``, and no more than ``valid`` channels are written. Without, whole vectors are: what reaches
    beyond a tile's channels is overwritten by the next tile, or lies in the gap between planes.
    """
    lanes = lanes_of(machine, bits)

    @intrinsic
    def transform(typingctx: Any, numbers: Any, low: Any, high: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, x_row, x_column, y, y_row, y_column, bias, valid = cgutils.unpack_tuple(builder, args[0])
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
                            value = vec.clamp(builder.fadd(value, shift), lows, highs)
                        io.store(value, place(y, y_row, r, y_column, s))

            if epilogue:
                vec.either(valid, 1, emit)
            else:
                emit(Access(vec))
            return context.get_dummy_value()

        floating = types.float32 if bits == 32 else types.float64
        return types.void(types.UniTuple(types.int64, 8), floating, floating), codegen

    return transform


# Bound for each variant by kernel().
tile = product_even = product_unit = product_table = transform_in = transform_out = transform_dy = transform_filter = (
    transform_back
) = None
TURNED = turn_over = ROWS = WIDTH = SIZE = LANES = T = at = stacked = activate = None


def winograd_filter(p, a, n):
    """p = w, u; filters [panels][9][channels][width] to [36][panels][channels][width]: a = panels, channels, rows."""
    panels, channels, rows = a[0], a[1], a[2]
    step = WIDTH * SIZE
    for q in range(panels):
        for c in range(rows):
            for k in range(0, WIDTH, LANES):
                x = p[0] + (q * 9 * channels + c) * step + k * SIZE
                y = p[1] + (q * channels + c) * step + k * SIZE
                plane = panels * channels * step
                transform_filter((x, 3 * channels * step, channels * step, y, 6 * plane, plane, 0, 0), T(0), T(0))


def winograd_conv2d(p, a, n):
    """p = x, u, bias, y, v, m, edge; a = height, width of y, x strides, y strides, channels in, out, tiles, planes."""
    x, u, bias, y, v, m, edge = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
    out_h, out_w = a[0], a[1]
    x_image, x_row, x_pixel = a[2] * SIZE, a[3] * SIZE, a[4] * SIZE
    y_image, y_row, y_pixel = a[5] * SIZE, a[6] * SIZE, a[7] * SIZE
    inner, channels, block, v_plane, m_plane = a[8], a[9], a[10], a[11] * SIZE, a[12] * SIZE
    code, param, low, high = a[13], T(as_float(a[14])), T(as_float(a[15])), T(as_float(a[16]))
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    total = n * each
    panels = (channels + WIDTH - 1) // WIDTH
    wide = panels * WIDTH
    table = stacked()
    for first in range(0, total, block):
        count = min(block, total - first)
        for t in range(count):
            i, h, w = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
            start, row, pixel = x + i * x_image + h * x_row + w * x_pixel, x_row, x_pixel
            if h + 4 > out_h or w + 4 > out_w:
                copy_edge(start, x_row, x_pixel, edge, min(6, out_h + 2 - h), min(6, out_w + 2 - w), 6, inner)
                start, row, pixel = edge, 6 * inner * SIZE, inner * SIZE
            for c in range(0, inner, LANES):
                to = v + (t * inner + c) * SIZE
                transform_in((start + c * SIZE, row, pixel, to, 6 * v_plane, v_plane, 0, 0), T(0), T(0))
        for e in range(36):
            for q in range(panels):
                u_at = u + (e * panels + q) * inner * WIDTH * SIZE
                product_even((
                    v + e * v_plane, inner * SIZE, SIZE, u_at, WIDTH * SIZE, inner,
                    m + e * m_plane + q * WIDTH * SIZE, wide * SIZE, count, 0,
                ))  # fmt: skip
        for t in range(count):
            i, h, w = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
            start, row, pixel = y + i * y_image + h * y_row + w * y_pixel, y_row, y_pixel
            whole = h + 4 <= out_h and w + 4 <= out_w
            if not whole:
                start, row, pixel = edge, 4 * channels * SIZE, channels * SIZE
            for k in range(0, channels, LANES):
                source = m + (t * wide + k) * SIZE
                at_k = start + k * SIZE
                transform_out(
                    (source, 6 * m_plane, m_plane, at_k, row, pixel, bias + k * SIZE, channels - k), low, high
                )
            if code > 2:
                for r in range(4):
                    for s in range(4):
                        store_i64(table, start + r * row + s * pixel)
                        activate(table, 1, channels, code, param)
            if not whole:
                for r in range(min(4, out_h - h)):
                    for s in range(min(4, out_w - w)):
                        source = at(edge + (r * 4 + s) * channels * SIZE)
                        target = at(y + i * y_image + (h + r) * y_row + (w + s) * y_pixel)
                        for k in range(channels):
                            target[k] = source[k]


def winograd_weight_grad(p, a, n):
    """p = x, dy, du, v, z, edge; du [36][panels][inner][width] grows by the products of the transformed tiles.

    a = out height and width, x strides, dy strides, channels in, out, tiles, planes of v and z, input channels at a
    time: so few that v stays in the cache beside z, while du passes through it once for each block of tiles.
    """
    x, dy, du, v, z, edge = p[0], p[1], p[2], p[3], p[4], p[5]
    out_h, out_w = a[0], a[1]
    x_image, x_row, x_pixel = a[2] * SIZE, a[3] * SIZE, a[4] * SIZE
    y_image, y_row, y_pixel = a[5] * SIZE, a[6] * SIZE, a[7] * SIZE
    inner, channels, block, v_plane, z_plane, few = a[8], a[9], a[10], a[11] * SIZE, a[12] * SIZE, a[13]
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    total = n * each
    panels = (channels + WIDTH - 1) // WIDTH
    for first in range(0, total, block):
        count = min(block, total - first)
        for t in range(count):
            i, h, w = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
            start, row, pixel = dy + i * y_image + h * y_row + w * y_pixel, y_row, y_pixel
            if h + 4 > out_h or w + 4 > out_w:
                copy_edge(start, y_row, y_pixel, edge, min(4, out_h - h), min(4, out_w - w), 4, channels)
                start, row, pixel = edge, 4 * channels * SIZE, channels * SIZE
            for k in range(0, channels, LANES):
                to = z + (t * channels + k) * SIZE
                transform_dy((start + k * SIZE, row, pixel, to, 6 * z_plane, z_plane, 0, 0), T(0), T(0))
        for c0 in range(0, inner, few):
            some = min(few, inner - c0)
            for t in range(count):
                i, h, w = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
                start = x + i * x_image + h * x_row + w * x_pixel + c0 * SIZE
                row, pixel = x_row, x_pixel
                if h + 4 > out_h or w + 4 > out_w:
                    copy_edge(start, x_row, x_pixel, edge, min(6, out_h + 2 - h), min(6, out_w + 2 - w), 6, some)
                    start, row, pixel = edge, 6 * some * SIZE, some * SIZE
                for c in range(0, some, LANES):
                    to = v + (t * some + c) * SIZE
                    transform_in((start + c * SIZE, row, pixel, to, 6 * v_plane, v_plane, 0, 0), T(0), T(0))
            for e in range(36):
                for q in range(panels):
                    product_unit((
                        v + e * v_plane, SIZE, some * SIZE, z + e * z_plane + q * WIDTH * SIZE, channels * SIZE, count,
                        du + ((e * panels + q) * inner + c0) * WIDTH * SIZE, WIDTH * SIZE, some, 1,
                    ))  # fmt: skip


def winograd_input(p, a, n):
    """p = x, v, edge; v = [36][tiles][channels] of each sample.

    a = height and width of y, x strides, channels, v image, from tile to tile of v.
    """
    out_h, out_w, inner = a[0], a[1], a[5]
    x_row, x_pixel = a[3] * SIZE, a[4] * SIZE
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    plane = each * a[7] * SIZE
    for i in range(n):
        for t in range(each):
            h, w = t // across * 4, t % across * 4
            start, row, pixel = p[0] + i * a[2] * SIZE + h * x_row + w * x_pixel, x_row, x_pixel
            if h + 4 > out_h or w + 4 > out_w:
                copy_edge(start, x_row, x_pixel, p[2], min(6, out_h + 2 - h), min(6, out_w + 2 - w), 6, inner)
                start, row, pixel = p[2], 6 * inner * SIZE, inner * SIZE
            for c in range(0, inner, LANES):
                to = p[1] + (i * a[6] + t * a[7] + c) * SIZE
                transform_in((start + c * SIZE, row, pixel, to, 6 * plane, plane, 0, 0), T(0), T(0))


def winograd_dy(p, a, n):
    """p = dy, z, edge; z = [36][tiles][channels] of each sample; a as in winograd_input."""
    out_h, out_w, channels = a[0], a[1], a[5]
    y_row, y_pixel = a[3] * SIZE, a[4] * SIZE
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    plane = each * a[7] * SIZE
    for i in range(n):
        for t in range(each):
            h, w = t // across * 4, t % across * 4
            start, row, pixel = p[0] + i * a[2] * SIZE + h * y_row + w * y_pixel, y_row, y_pixel
            if h + 4 > out_h or w + 4 > out_w:
                copy_edge(start, y_row, y_pixel, p[2], min(4, out_h - h), min(4, out_w - w), 4, channels)
                start, row, pixel = p[2], 4 * channels * SIZE, channels * SIZE
            for k in range(0, channels, LANES):
                to = p[1] + (i * a[6] + t * a[7] + k) * SIZE
                transform_dy((start + k * SIZE, row, pixel, to, 6 * plane, plane, 0, 0), T(0), T(0))


def winograd_panel(p, a, n):
    """p = v, w, bias, y, u, m, turned, edge, table: one panel of output channels, on the tiles of the whole batch.

    Its filters are transformed here, some input channels at a time, and multiply before they leave the cache: none are
    written to memory. a = height and width of y, v image, v tile, y strides, input channels, tiles, input channels at
    a time, planes of u and m, function. With TURNED (input gradients) the filters are those of the convolution, to be
    turned over; then a ends in the width and elements of their panels, and the rows of a tap.
    """
    v, w, bias, y, u, m, turned, edge, table = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8]
    out_h, out_w, v_image, v_tile = a[0], a[1], a[2] * SIZE, a[3] * SIZE
    y_image, y_row, y_pixel = a[4] * SIZE, a[5] * SIZE, a[6] * SIZE
    inner, block, few, u_plane, m_plane = a[7], a[8], a[9], a[10] * SIZE, a[11] * SIZE
    code, param, low, high = a[12], T(as_float(a[13])), T(as_float(a[14])), T(as_float(a[15]))
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    step = WIDTH * SIZE
    function = stacked()
    for first in range(0, n * each, block):
        count = min(block, n * each - first)
        for t in range(count):
            store_i64(table + 8 * t, (first + t) // each * v_image + (first + t) % each * v_tile)
        for c0 in range(0, inner, few):
            some = min(few, inner - c0)
            source, tap = w + c0 * step, inner * step
            if TURNED:
                source, tap = turned, some * step
                turn_over(w, turned, c0, some, a[16], a[17] * SIZE, a[18])
            for c in range(some):
                for k in range(0, step, LANES * SIZE):
                    at_k = c * step + k
                    transform_filter((source + at_k, 3 * tap, tap, u + at_k, 6 * u_plane, u_plane, 0, 0), T(0), T(0))
            for e in range(36):
                product_table((
                    v + e * each * v_tile + c0 * SIZE, table, SIZE, u + e * u_plane, step, some,
                    m + e * m_plane, step, count, c0,
                ))  # fmt: skip
        for t in range(count):
            i, h, w_at = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
            corner = y + i * y_image + h * y_row + w_at * y_pixel
            whole = h + 4 <= out_h and w_at + 4 <= out_w
            start, row, pixel = corner, y_row, y_pixel
            if not whole:
                start, row, pixel = edge, 4 * step, step
            for k in range(0, WIDTH, LANES):
                at_k = k * SIZE
                transform_out(
                    (m + t * step + at_k, 6 * m_plane, m_plane, start + at_k, row, pixel, bias + at_k, LANES), low, high
                )
            if code > 2:
                for r in range(4):
                    for s in range(4):
                        store_i64(function, start + r * row + s * pixel)
                        activate(function, 1, WIDTH, code, param)
            if not whole:
                for r in range(min(4, out_h - h)):
                    for s in range(min(4, out_w - w_at)):
                        made, target = at(edge + (r * 4 + s) * step), at(corner + r * y_row + s * y_pixel)
                        for k in range(WIDTH):
                            target[k] = made[k]


def winograd_weight_panel(p, a, n):
    """p = v, z, dw, du: one panel of dw, from the tiles of the whole batch, some input channels at a time.

    a = tiles of a sample, v image, v tile, z image, z tile, input channels, input channels at a time, plane of du.
    """
    v, z, dw, du = p[0], p[1], p[2], p[3]
    each, v_image, v_tile, z_image, z_tile = a[0], a[1] * SIZE, a[2] * SIZE, a[3] * SIZE, a[4] * SIZE
    inner, few, plane = a[5], a[6], a[7] * SIZE
    step = WIDTH * SIZE
    for c0 in range(0, inner, few):
        some = min(few, inner - c0)
        for e in range(36):
            for i in range(0, some, ROWS):
                tile(
                    v + e * each * v_tile + (c0 + i) * SIZE, z + e * each * z_tile,
                    1, 0, 0, n, v_image, z_image, each, v_tile, z_tile, START_ZERO, 0,
                    du + e * plane + i * step, step, some - i, WIDTH, T(float("-inf")), T(float("inf")),
                )  # fmt: skip
        for c in range(some):
            for k in range(0, step, LANES * SIZE):
                to = dw + (c0 + c) * step + k
                transform_back(
                    (du + c * step + k, 6 * plane, plane, to, 3 * inner * step, inner * step, 0, 0), T(0), T(0)
                )


def winograd_weight_finish(p, a, n):
    """p = du of all shards, dw; sums in order, then G' () G: a = panels, channels, rows, elements of a copy, copies,
    channels of dy. The filling of the last panel becomes zero.
    """
    panels, channels, rows, copy, copies, filters = a[0], a[1], a[2], a[3], a[4], a[5]
    step = WIDTH * SIZE
    total = at(p[0])
    for e in range(36):
        for q in range(panels):
            start = (e * panels + q) * channels * WIDTH
            for k in range(rows * WIDTH):
                s = total[start + k]
                for c in range(1, copies):
                    s += total[c * copy + start + k]
                total[start + k] = s
    plane = panels * channels * step
    for q in range(panels):
        for c in range(rows):
            for k in range(0, WIDTH, LANES):
                x = p[0] + (q * channels + c) * step + k * SIZE
                y = p[1] + (q * 9 * channels + c) * step + k * SIZE
                transform_back((x, 6 * plane, plane, y, 3 * channels * step, channels * step, 0, 0), T(0), T(0))
            for r in range(9):
                y = at(p[1] + ((q * 9 + r) * channels + c) * step)
                for k in range(filters - q * WIDTH, WIDTH):
                    y[k] = T(0)


def make_turn_over(transpose: Any, width: int, size: int, lanes: int) -> Any:
    """Return turn_over: filters [panels][9][rows][source width], to [9, last tap first][inputs][width].

    Of the rows ``width`` become outputs; outputs from ``first`` on become ``some`` inputs.
    """
    from numba import njit

    @njit
    def turn_over(w, turned, first, some, source_width, source_panel, rows):
        for c in range(0, some, lanes):
            k = first + c
            at = w + k // source_width * source_panel + k % source_width * size
            for tap in range(9):
                for row in range(0, width, lanes):
                    source = at + (tap * rows + row) * source_width * size
                    target = turned + (((8 - tap) * some + c) * width + row) * size
                    transpose((source, source_width * size, target, width * size))

    return turn_over


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


copy_edge = None


def _register() -> None:
    import numba

    from ._jit import f32_at, f64_at

    machine = host()
    sides = ((32, numba.float32, f32_at, activate_f32), (64, numba.float64, f64_at, activate_f64))
    for bits, number, reader, act in sides:
        transforms = {
            "transform_in": make_transform(machine, bits, 6, 6, input_line, epilogue=False),
            "transform_out": make_transform(machine, bits, 6, 4, output_line, epilogue=True),
            "transform_dy": make_transform(machine, bits, 4, 6, output_line_transposed, epilogue=False),
            "transform_filter": make_transform(machine, bits, 3, 6, filter_line, epilogue=False),
            "transform_back": make_transform(machine, bits, 6, 3, filter_line_transposed, epilogue=False),
        }
        edge = make_copy_edge(number, reader, bits // 8)
        for width in (16, 32):
            common = {
                **{f"product_{rows}": make_product(machine, width, bits, rows) for rows in ("even", "unit", "table")},
                "WIDTH": width, "SIZE": bits // 8, "LANES": lanes_of(machine, bits), "T": number,
                "at": reader, "activate": act, "stacked": stack(1), "copy_edge": edge, **transforms,
            }  # fmt: skip
            for template in (winograd_filter, winograd_conv2d, winograd_weight_grad, winograd_weight_finish):
                kernel(f"{template.__name__}.{width}.f{bits}", **common)(template)
            over = make_turn_over(make_transpose(machine, bits), width, bits // 8, lanes_of(machine, bits))
            for suffix, turned in (("", False), ("_turned", True)):
                kernel(f"winograd_panel{suffix}.{width}.f{bits}", **common, TURNED=turned, turn_over=over)(
                    winograd_panel
                )
            kernel(
                f"winograd_weight_panel.{width}.f{bits}", **common, ROWS=shape_of(machine, width, bits)[0],
                tile=make_tile(machine, width, bits, unit_rows=True),
            )(winograd_weight_panel)  # fmt: skip
        for template in (winograd_input, winograd_dy):
            kernel(f"{template.__name__}.f{bits}", **common)(template)


_register()
