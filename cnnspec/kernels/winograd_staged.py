"""Winograd's algorithm in stages, for filters that no cache holds: all tiles first, then panel by panel.

Tiles of the whole batch lie transformed in memory as [36][parts][tiles][some channels], so that what goes together lies
side by side, and the machine fetches ahead what it reads. A panel of output channels transforms its own filters and
multiplies while they are in its cache, so that they, four times as large as filters, are never written. So does a panel
of the weight gradient with its sums.

Squares at the border that hold fewer than four rows or columns of outputs need fewer of the points (transform.py).
The tiles of the batch lie in such an order that those which need a point in common are one run: squares at the right
border, whole ones, those at the bottom, and corners.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from ._jit import as_float, kernel
from .activate import FUNCTIONS, activate_f32, activate_f64
from .machine import host
from .product import make_product, make_transpose
from .sweep import lanes_of
from .transform import make_lines, make_transforms

TILES = 96  # of a weight gradient that are multiplied together

# Bound for each variant by kernel().
product_even = product_unit = transform = transform_out = transform_out_plus = transform_filter = transform_back = None
line = line_out = line_end = line_end_plus = turn_over = activate = None
P = A = TURNED = PLUS = MORE = WIDTH = SIZE = LANES = T = None


@njit
def borders(out_h, out_w):
    """Return where each kind of a sample's tiles begins: right, whole, bottom, corner; then the count of tiles."""
    right = out_h // 4 if out_w % 4 else 0
    whole = right + out_h // 4 * (out_w // 4)
    bottom = whole + (out_w // 4 if out_h % 4 else 0)
    return 0, right, whole, bottom, bottom + (1 if out_h % 4 and out_w % 4 else 0)


@njit
def find(tile, n, out_h, out_w):
    """Return the sample and the corner (row, column) of a tile of the batch."""
    starts = borders(out_h, out_w)
    kind = 0
    while tile >= n * starts[kind + 1]:
        kind += 1
    each, rest = starts[kind + 1] - starts[kind], tile - n * starts[kind]
    i, k = rest // each, rest % each
    if kind == 0:
        return i, k * 4, out_w // 4 * 4
    if kind == 1:
        return i, k // (out_w // 4) * 4, k % (out_w // 4) * 4
    return i, out_h // 4 * 4, k * 4 if kind == 2 else out_w // 4 * 4


@njit
def used(e, n, out_h, out_w):
    """Return (first, end): tiles ``first`` to ``end`` - 1 of n samples need point e of the 36."""
    _, right, whole, bottom, each = borders(out_h, out_w)
    row, column = e // 6, e % 6
    in_rows = out_h % 4 == 0 or row <= out_h % 4 or row == 5
    in_columns = out_w % 4 == 0 or column <= out_w % 4 or column == 5
    return 0 if in_columns else n * right, n * (whole if not in_rows else each if in_columns else bottom)


@njit
def run(tile, end, n, batch, out_h, out_w):
    """Return (end, shift): tiles ``tile`` to ``end`` - 1 are contiguous in memory, at index tile + shift.

    Of a full batch all tiles are. Of a smaller one each kind of tiles begins where it does in a full one.
    """
    starts = borders(out_h, out_w)
    kind = 0
    while tile >= n * starts[kind + 1]:
        kind += 1
    return end if n == batch else min(end, n * starts[kind + 1]), (batch - n) * starts[kind]


def winograd_tiles(p, a, n):
    """v [36][parts][tiles][part_channels] = transformed tiles of an image x or dy [n, H, W, channels].

    Each kind of tiles is an operand: those at the right border, whole ones, those at the bottom, corners. A tile has
    MORE rows and columns than its 4x4 outputs: two for x, none for dy. square: room for one tile.
    """
    out_h, out_w, channels, few = a[A.out_height], a[A.out_width], a[A.channels], a[A.part_channels]
    part, plane = a[A.part_stride] * SIZE, a[A.plane_stride] * SIZE
    row, pixel, square, vector = a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE, p[P.square], LANES * SIZE
    starts = borders(out_h, out_w)
    for i in range(n):
        for kind in range(4):
            each = starts[kind + 1] - starts[kind]
            for t in range(each):
                _, h, w = find(starts[kind] + t, 1, out_h, out_w)
                height, width = min(4, out_h - h), min(4, out_w - w)
                start = p[P.x] + i * a[A.x_sample_stride] * SIZE + h * row + w * pixel
                to = p[P.right + kind] + (i * each + t) * few * SIZE
                for c in range(0, channels, LANES):
                    x, v = start + c * SIZE, to + c // few * part + c % few * SIZE
                    if kind == 1:
                        transform((x, row, pixel, v, 6 * plane, plane, 0, 0), T(0), T(0))
                        continue
                    for s in range(width + MORE):
                        line((x + s * pixel, row, square + s * vector, 6 * vector, height), T(0), T(0))
                    for r in range(6):
                        if r <= height or r == 5:
                            line((square + r * 6 * vector, vector, v + r * 6 * plane, plane, width), T(0), T(0))


def winograd_panel(p, a, n):
    """One panel of y [n, out_height, out_width, WIDTH] = act(x * w + bias), 3x3, stride 1, for the whole batch.

    v: all tiles of x, transformed [36][parts][tiles][part_channels]. w: the panel's filters [9][in_channels][WIDTH].
    The kernel transforms the filters of part_channels input channels into u and multiplies while u is in the cache, so
    that transformed filters are never written to memory. m: products of at most ``tiles`` tiles; square: room for one
    tile. With TURNED, for input gradients, w holds the convolution's filters [panels][9][w_rows][w_panel_width], which
    are rotated into ``turned`` first. With PLUS addend [as y] is added before the activation.
    """
    v, w, bias, y, u, m, turned, square = p[P.v], p[P.w], p[P.bias], p[P.y], p[P.u], p[P.m], p[P.turned], p[P.square]
    out_h, out_w, batch, v_plane = a[A.out_height], a[A.out_width], a[A.batch], a[A.v_plane_stride] * SIZE
    v_part = a[A.v_part_stride] * SIZE
    y_image, y_row, y_pixel = a[A.y_sample_stride] * SIZE, a[A.y_row_stride] * SIZE, a[A.y_pixel_stride] * SIZE
    inner, block, few, u_plane = a[A.in_channels], a[A.tiles], a[A.part_channels], a[A.u_plane_stride] * SIZE
    m_plane = a[A.m_plane_stride] * SIZE
    code, param, low, high = a[A.activation], T(as_float(a[A.parameter])), T(as_float(a[A.low])), T(as_float(a[A.high]))
    total = n * ((out_h + 3) // 4) * ((out_w + 3) // 4)
    step, v_tile, vector = WIDTH * SIZE, few * SIZE, LANES * SIZE
    for first in range(0, total, block):
        count = min(block, total - first)
        for c0 in range(0, inner, few):
            some = min(few, inner - c0)
            source, tap = w + c0 * step, inner * step
            if TURNED:
                source, tap = turned, some * step
                turn_over(w, turned, c0, some, a[A.w_panel_width], a[A.w_panel_stride] * SIZE, a[A.w_rows])
            for c in range(some):
                for k in range(0, step, vector):
                    at_k = c * step + k
                    transform_filter((source + at_k, 3 * tap, tap, u + at_k, 6 * u_plane, u_plane, 0, 0), T(0), T(0))
            for e in range(36):
                begin, end = used(e, n, out_h, out_w)
                tile, end = max(begin, first), min(end, first + count)
                while tile < end:
                    last, further = run(tile, end, n, batch, out_h, out_w)
                    product_even((
                        v + e * v_plane + c0 // few * v_part + (tile + further) * v_tile, v_tile, SIZE,
                        u + e * u_plane, step, some,
                        m + e * m_plane + (tile - first) * step, step, last - tile, c0,
                    ))  # fmt: skip
                    tile = last
        for t in range(count):
            i, h, w_at = find(first + t, n, out_h, out_w)
            height, width = min(4, out_h - h), min(4, out_w - w_at)
            corner = y + i * y_image + h * y_row + w_at * y_pixel
            if PLUS:
                added_row, added_pixel = a[A.addend_row_stride] * SIZE, a[A.addend_pixel_stride] * SIZE
                added = p[P.addend] + i * a[A.addend_sample_stride] * SIZE + h * added_row + w_at * added_pixel
            for k in range(0, step, vector):
                source, to, shift = m + t * step + k, corner + k, bias + k
                if height == 4 and width == 4:
                    if PLUS:
                        transform_out_plus(
                            (
                                source, 6 * m_plane, m_plane, to, y_row, y_pixel, shift, LANES,
                                added + k, added_row, added_pixel,
                            ),
                            low, high,
                        )  # fmt: skip
                    else:
                        transform_out((source, 6 * m_plane, m_plane, to, y_row, y_pixel, shift, LANES), low, high)
                    continue
                for s in range(6):
                    if s <= width or s == 5:
                        line_out(
                            (source + s * m_plane, 6 * m_plane, square + s * vector, 6 * vector, height), low, high
                        )
                for r in range(height):
                    from_r, to_r = square + r * 6 * vector, to + r * y_row
                    if PLUS:
                        added_r = added + r * added_row + k
                        line_end_plus((from_r, vector, to_r, y_pixel, width, shift, added_r, added_pixel), low, high)
                    else:
                        line_end((from_r, vector, to_r, y_pixel, width, shift), low, high)
            if FUNCTIONS >> code & 1:
                for r in range(height):
                    for s in range(width):
                        activate(code, (corner + r * y_row + s * y_pixel, WIDTH, param))


def winograd_weight_panel(p, a, n):
    """One panel of dw [9][in_channels][WIDTH], from the tiles of the whole batch.

    part_channels input channels go together. v, z: transformed tiles of x [36][parts][tiles][part_channels] and of
    this panel of dy [36][tiles][WIDTH]. du: room for the sums [36][part_channels][WIDTH].
    """
    v, z, dw, du = p[P.v], p[P.z], p[P.dw], p[P.du]
    out_h, out_w, batch, v_plane = a[A.out_height], a[A.out_width], a[A.batch], a[A.v_plane_stride] * SIZE
    v_part, z_plane = a[A.v_part_stride] * SIZE, a[A.z_plane_stride] * SIZE
    inner, few, plane = a[A.in_channels], a[A.part_channels], a[A.du_plane_stride] * SIZE
    step, v_tile = WIDTH * SIZE, few * SIZE
    for c0 in range(0, inner, few):
        some = min(few, inner - c0)
        for e in range(36):
            begin, end = used(e, n, out_h, out_w)
            tile = begin
            while tile < end:
                last, further = run(tile, min(end, tile + TILES), n, batch, out_h, out_w)  # z stays in the cache
                product_unit((
                    v + e * v_plane + c0 // few * v_part + (tile + further) * v_tile, SIZE, v_tile,
                    z + e * z_plane + (tile + further) * step, step, last - tile,
                    du + e * plane, step, some, tile - begin,
                ))  # fmt: skip
                tile = last
        for c in range(some):
            for k in range(0, step, LANES * SIZE):
                to = dw + (c0 + c) * step + k
                transform_back(
                    (du + c * step + k, 6 * plane, plane, to, 3 * inner * step, inner * step, 0, 0), T(0), T(0)
                )


def make_turn_over(transpose: Any, width: int, size: int, lanes: int) -> Any:
    """Return turn_over: filters [panels][9][rows][source width], to [9, last tap first][inputs][width].

    Of the rows ``width`` become outputs; outputs from ``first`` on become ``some`` inputs.
    """

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


def _register() -> None:
    import numba

    machine = host()
    for bits, number, act in ((32, numba.float32, activate_f32), (64, numba.float64, activate_f64)):
        lanes = lanes_of(machine, bits)
        common = {
            "SIZE": bits // 8, "LANES": lanes, "T": number, "activate": act,
            **make_transforms(machine, bits), **make_lines(machine, bits),
        }  # fmt: skip
        for name, key, more in (("input", "in", 2), ("dy", "dy", 0)):
            binding = {"transform": common[f"transform_{key}"], "line": common[f"line_{key}"], "MORE": more}
            kernel(f"winograd_{name}.f{bits}", **binding, **common)(winograd_tiles)
        for width in (16, 32):
            variant = {f"product_{rows}": make_product(machine, width, bits, rows) for rows in ("even", "unit")}
            variant |= {
                "WIDTH": width,
                "turn_over": make_turn_over(make_transpose(machine, bits), width, bits // 8, lanes),
            }
            for suffix, turned, plus in (("", False, False), ("_turned", True, False), (".plus", False, True)):
                name = f"winograd_panel{suffix}.{width}.f{bits}"
                kernel(name, TURNED=turned, PLUS=plus, **variant, **common)(winograd_panel)
            kernel(f"winograd_weight_panel.{width}.f{bits}", **variant, **common)(winograd_weight_panel)


_register()
