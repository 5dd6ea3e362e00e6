"""Input gradient of a convolution with few input channels: overlapping windows of dx, added up.

One pixel of dy gives to taps_w * channels numbers of a row of dx that lie side by side. They are the lanes here, so few
are idle where channels alone fill half a vector. Rows of dy that do not exist are left out instead of read as zeros:

    z[w, (s, c)] = sum over r, k of dy[h + pad - r, w, k] * f[r, k, (s, c)]        one product of the tile
    dx[h, x, c]  = sum over s of z[x + pad - s, (s, c)]

z is one row of windows. It is added up while the next one is computed, so that no load waits for a store.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ..abi.constants import OVERLAP_PIXELS, PANEL_WIDTHS
from ._jit import kernel, stack, store_i64
from .activate import TYPES
from .machine import Machine, host
from .sweep import lanes_of
from .tile import START_ZERO, make_tile, shape_of
from .vectors import on_vectors

LEAST, MOST = OVERLAP_PIXELS

# Bound for each variant by kernel(): the tile, its rows and columns, the width of a panel, the element's bytes and
# type; the sum and its lanes.
P = A = tile = ROWS = COLUMNS = WIDTH = SIZE = T = stacked = add_windows = LANES = None


def make_add_windows(machine: Machine, bits: int) -> Any:
    """Return the intrinsic ``add_windows((z, step, count, x, valid))``: x = the sum of vectors, ``step`` bytes apart.

    Also returns the lanes of a vector; ``valid`` of them are stored.
    """
    lanes = min(8, lanes_of(machine, bits))

    @on_vectors(machine, bits, lanes)
    def add_windows(vec, z, step, count, x, valid):
        builder = vec.builder
        total = cgutils.alloca_once_value(builder, ir.Constant(vec.type, [0.0] * lanes))
        builder.store(ir.Constant(vec.type, [0.0] * lanes), total)
        with cgutils.for_range(builder, count) as i:
            at = builder.add(z, builder.mul(i.index, step))
            builder.store(builder.fadd(builder.load(total), vec.load(at)), total)
        vec.either(valid, 1, lambda io: io.store(builder.load(total), x))

    return add_windows, lanes


def conv2d_overlap(p, a, n):
    """dx [n, height, width, dx_channels] from dy [n, dy_height, dy_width, dy_channels], for a convolution of stride 1.

    filters: [panels][kernel_height, last row first][dy_channels][WIDTH]; along the width run (tap of a row, dx
    channel). windows: room for two rows of dy_width windows, and a vector beyond.
    """
    dy, filters, dx, windows = p[P.dy], p[P.filters], p[P.dx], p[P.windows]
    height, width, dy_h, dy_w = a[A.height], a[A.width], a[A.dy_height], a[A.dy_width]
    y_sample, y_row, y_pixel = a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE
    x_sample, x_row, x_pixel = a[A.dx_sample_stride] * SIZE, a[A.dx_row_stride] * SIZE, a[A.dx_pixel_stride] * SIZE
    taps_h, taps_w, pad_h, pad_w = a[A.kernel_height], a[A.kernel_width], a[A.padding_height], a[A.padding_width]
    inner, channels, panels = a[A.dy_channels], a[A.dx_channels], a[A.panels]
    step = WIDTH * SIZE
    tap = inner * step
    window = panels * step
    back = channels * SIZE - window  # to the next tap in the window of the pixel before
    in_order = x_pixel == channels * SIZE and -channels % LANES <= channels  # see kernels/pool.py
    rows = stacked()
    outs = rows + 8 * ROWS
    for i in range(n):
        for h in range(height + 1):
            if h < height:
                top = h + pad_h - taps_h + 1  # row of dy that the last row of the filter meets
                first, last = max(0, top), min(dy_h, h + pad_h + 1)
                y_at = dy + i * y_sample + first * y_row
                z = windows + (h & 1) * dy_w * window
                for t in range(0, dy_w, ROWS):
                    for k in range(0, panels * WIDTH, COLUMNS):
                        for m in range(ROWS):
                            w = min(t + m, dy_w - 1)  # pixels too many repeat the last one
                            store_i64(rows + 8 * m, y_at + w * y_pixel)
                            store_i64(outs + 8 * m, z + w * window + k * SIZE)
                        tile(
                            rows, filters + (k // WIDTH * taps_h + first - top) * tap + k % WIDTH * SIZE,
                            last - first, y_row, tap, 1, 0, 0, inner, SIZE, step,
                            START_ZERO, 0, outs, 0, 0, COLUMNS, T(float("-inf")), T(float("inf")),
                        )  # fmt: skip
            if h > 0:
                z = windows + (h - 1 & 1) * dy_w * window
                x_at = dx + i * x_sample + (h - 1) * x_row
                for x in range(width):
                    more = LANES if in_order and x < width - 1 else 0
                    q = x + pad_w
                    s = max(0, q - dy_w + 1)
                    count = min(taps_w, q + 1) - s
                    z_at = z + (q - s) * window + s * channels * SIZE
                    for c in range(0, channels, LANES):
                        valid = channels - c + more
                        add_windows((z_at + c * SIZE, back, count, x_at + x * x_pixel + c * SIZE, valid))


def _register() -> None:
    machine = host()
    for bits, types in TYPES.items():
        add, lanes = make_add_windows(machine, bits)
        for width in PANEL_WIDTHS:
            columns = width if machine.registers >= 32 else min(width, 2 * lanes_of(machine, bits))
            vectors = shape_of(machine, columns, bits)[1]
            limit = max(1, (24 if machine.registers >= 32 else 12) // vectors)  # sums that fit beside the filters
            for pixels in range(LEAST, MOST + 1):
                rows = -(-pixels // -(-pixels // limit))  # so that tiles share the pixels evenly
                kernel(
                    f"conv2d_overlap.{width}.{pixels}.f{bits}", **types, ROWS=rows, COLUMNS=columns, WIDTH=width,
                    stacked=stack(2 * rows), add_windows=add, LANES=lanes,
                    tile=make_tile(machine, columns, bits, unit_rows=False, rows=rows),
                )(conv2d_overlap)  # fmt: skip


_register()
