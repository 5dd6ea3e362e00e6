"""Convolution of images with few channels, and weight gradients of small filters, on tiles with rows side by side.

The tile of conv.py loads the address of each row from a table. A pixel of one to a few channels has few products, and
loading addresses takes as long as multiplying. Here the distance of rows is a constant in the machine code, so that a
tile has as many rows as the registers hold sums. Rows come in runs:

    acc[i, m][k] = sum of a[i * a_run + m * pitch + ...] * b[...][k]      i < runs, m < run, k < width

Forward there is one run, of ``run`` output pixels of a row, and ``pitch`` elements of x lie from window to window. In a
weight gradient each of the kernel_height runs is a filter row of kernel_width * in_channels weights, and pitch = 1.
"""

from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ..abi.constants import NARROW_PITCHES, NARROW_PIXELS, WINDOW_ROWS
from ._jit import I64, as_float, kernel
from .activate import TYPES
from .machine import Machine, host
from .tile import START_ADD, START_BIAS, nested_loops, shape_of
from .vectors import Access, on_vectors

WIDTHS = (8, 16)
LEAST, MOST = NARROW_PIXELS

# Bound for each variant by kernel(): the tile, rows of a run (RUN), columns (WIDTH), bytes and type of an element.
P = A = tile = RUN = WIDTH = SIZE = T = None


def budget(machine: Machine, vectors: int) -> int:
    """Return the rows of sums, of ``vectors`` vectors each, that the registers hold beside one row of b."""
    return max(1, (WINDOW_ROWS if machine.registers >= 32 else 14 if vectors == 1 else 12) // vectors)


def make_run_tile(machine: Machine, width: int, bits: int, runs: int, run: int, pitch: int) -> Any:
    """Return the intrinsic ``tile(numbers, low, high)``, which computes runs * run rows of ``width`` columns.

    Numbers are int64, addresses and strides bytes: a, stride of a from run to run, b; for each of three loops,
    outermost first, its count and the strides of a and b; start, bias (see tile.py); out, its strides from run to run
    and from row to row, valid channels. ``pitch``: elements of a from row to row. Results are kept between ``low`` and
    ``high``. Rows that do not fit the registers are computed in parts, one after the other.
    """
    _, vectors, lanes = shape_of(machine, width, bits)
    size = bits // 8
    places = [(i, m) for i in range(runs) for m in range(run)]
    count = -(-len(places) // budget(machine, vectors))  # of parts, equal but for one row
    parts = [places[k * len(places) // count : (k + 1) * len(places) // count] for k in range(count)]

    @on_vectors(machine, bits, lanes, floats=2)
    def tile(vec, a, a_run, b, *rest):
        builder = vec.builder
        *loops, start, bias, out, out_run, out_step, valid, low, high = rest

        def target(i: int, m: int) -> Any:
            at = builder.add(out, builder.mul(out_run, I64(i)))
            return builder.add(at, builder.mul(out_step, I64(m)))

        def compute(part: list[tuple[int, int]]) -> None:
            sums = [[cgutils.alloca_once(builder, vec.type) for _ in range(vectors)] for _ in part]

            def begin(io: Access) -> None:
                for at in itertools.chain(*sums):
                    builder.store(ir.Constant(vec.type, [0.0] * lanes), at)
                with builder.if_then(builder.icmp_signed("==", start, I64(START_BIAS))):
                    for v in range(vectors):
                        first = io.load(bias, v)
                        for row in sums:
                            builder.store(first, row[v])
                with builder.if_then(builder.icmp_signed("==", start, I64(START_ADD))):
                    for place, row in zip(part, sums, strict=True):
                        for v, at in enumerate(row):
                            builder.store(io.load(target(*place), v), at)

            vec.either(valid, vectors, begin)
            with nested_loops(builder, loops, a, b) as (a_at, b_at):
                starts = {i: builder.add(a_at, builder.mul(a_run, I64(i))) for i, _ in part}
                ones = [vec.load_scalar(starts[i], m * pitch * size) for i, m in part]
                for m, v, total in vec.products(ones, lambda v: vec.load(b_at, v * vec.nbytes), vectors, sums):
                    builder.store(total, sums[m][v])

            def end(io: Access, *, masks_last: bool = False) -> None:
                lows, highs = vec.spread(low), vec.spread(high)
                last = io
                if masks_last:
                    last = Access(vec, [vec.mask(builder.sub(valid, I64(v * lanes))) for v in range(vectors)])
                for place, row in zip(part, sums, strict=True):
                    for v, at in enumerate(row):
                        row_io = last if place == part[-1] else io
                        row_io.store(vec.clamp(builder.load(at), lows, highs), target(*place), v)

            if runs > 1:
                vec.either(valid, vectors, end)
                return
            dense = builder.and_(
                builder.icmp_signed("==", out_step, builder.mul(valid, I64(size))),
                builder.icmp_signed(">=", builder.mul(valid, I64(2)), I64(width)),  # no further than the next pixel
            )
            with builder.if_else(dense) as (then, otherwise):
                with then:  # whole vectors: the next pixel is stored later, over the columns that do not exist
                    end(Access(vec), masks_last=True)
                with otherwise:
                    vec.either(valid, vectors, end)

        for part in parts:
            compute(part)

    return tile


def conv2d_narrow(p, a, n):
    """conv2d of one group, on rows of at least RUN output pixels, with an activation that is none or bounds."""
    x, w, bias, y = p[P.x], p[P.w], p[P.bias], p[P.y]
    out_h, out_w = a[A.out_height], a[A.out_width]
    x_sample, x_row, x_pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    y_sample, y_row, y_pixel = a[A.y_sample_stride] * SIZE, a[A.y_row_stride] * SIZE, a[A.y_pixel_stride] * SIZE
    taps_h, tap_row, inner = a[A.kernel_height], a[A.tap_row_stride] * SIZE, a[A.in_channels]
    channels, start, panel = a[A.out_channels], a[A.start], a[A.w_panel_stride] * SIZE
    low, high = T(as_float(a[A.low])), T(as_float(a[A.high]))
    step = WIDTH * SIZE
    for i in range(n):
        for h in range(out_h):
            for t in range(0, out_w, RUN):
                first = min(t, out_w - RUN)  # the last tile of a row overlaps the one before
                x_at = x + i * x_sample + h * x_row + first * x_pixel
                y_at = y + i * y_sample + h * y_row + first * y_pixel
                for k in range(0, channels, WIDTH):
                    tile(
                        (
                            x_at, 0, w + k // WIDTH * panel,
                            1, 0, 0, taps_h, tap_row, inner * step, inner, SIZE, step,
                            start, bias + k * SIZE, y_at + k * SIZE, 0, y_pixel, channels - k,
                        ),
                        low, high,
                    )  # fmt: skip


def conv2d_weight_grad_window(p, a, n):
    """conv2d_weight_grad of one group, in tiles that hold whole filters.

    RUN is kernel_width * in_channels, the numbers of one filter row.
    """
    x, dy, dw = p[P.x], p[P.dy], p[P.dw]
    out_h, out_w = a[A.out_height], a[A.out_width]
    x_sample, x_row, x_pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    y_sample, y_row, y_pixel = a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE
    tap_row = a[A.tap_row_stride] * SIZE
    channels, start, panel = a[A.out_channels], a[A.start], a[A.dw_panel_stride] * SIZE
    step = WIDTH * SIZE
    for k in range(0, channels, WIDTH):
        tile(
            (
                x, tap_row, dy + k * SIZE,
                n, x_sample, y_sample, out_h, x_row, y_row, out_w, x_pixel, y_pixel,
                start, 0, dw + k // WIDTH * panel, RUN * step, step, channels - k,
            ),
            T(float("-inf")), T(float("inf")),
        )  # fmt: skip


def _register() -> None:
    machine = host()
    for bits, types in TYPES.items():
        for width in WIDTHS:
            most = budget(machine, shape_of(machine, width, bits)[1])
            for pixels in range(LEAST, MOST + 1) if width == WIDTHS[0] else ():  # wider tiles do not wait for addresses
                run = min(pixels, most)
                for pitch in NARROW_PITCHES:
                    made = make_run_tile(machine, width, bits, 1, run, pitch)
                    name = f"conv2d_narrow.{width}.{pixels}.{pitch}.f{bits}"
                    kernel(name, **types, WIDTH=width, RUN=run, tile=made)(conv2d_narrow)
            for taps in range(1, WINDOW_ROWS + 1):
                for run in range(1, WINDOW_ROWS // taps + 1):
                    made = make_run_tile(machine, width, bits, taps, run, 1)
                    name = f"conv2d_weight_grad_window.{width}.{taps}x{run}.f{bits}"
                    kernel(name, **types, WIDTH=width, RUN=run, tile=made)(conv2d_weight_grad_window)


_register()
