"""Winograd's F(4x4, 3x3) in stages, for filters that no cache holds: first all tiles, then a block for each panel.

A tile has 4x4 outputs. Transformed it has 36 numbers a channel, called points: point e = 6 * row + column. Stage one
writes the tiles of the whole batch to memory as [36][parts][tiles][part_channels]. Stage two reads a part of a plane in
the order of memory, so that the machine fetches ahead. A panel of WIDTH output channels transforms its own filters and
multiplies while they are in its cache. Transformed filters, four times as large as filters, are thus never written to
memory. Neither are the sums of a weight gradient (docs/adr/0011).

Tiles at the border have outputs in fewer than four rows or columns, and need fewer points (transform.py). Tiles are
numbered in four kinds: 0 at the right border, 1 whole, 2 at the bottom, 3 corners. The tiles of a kind are ordered by
sample, row and column. The tiles that need a point are then one run of numbers (docs/adr/0018).
"""

from __future__ import annotations

from typing import Any

from numba import njit

from ._jit import as_float, kernel
from .activate import FUNCTIONS, TYPES
from .machine import host
from .product import make_product, make_transpose
from .sweep import lanes_of
from .transform import make_lines, make_transforms

TILES = 96  # most tiles of one product in a weight gradient: z then stays in the cache

# Bound for each variant by kernel(). SIZE: bytes of an element. LANES: channels of a vector. WIDTH: channels of a
# panel.
product_even = product_unit = transform = transform_out = transform_out_addend = transform_filter = None
transform_back = line = line_out = line_end = line_end_addend = turn_over = activate = None
P = A = TURNED = ADDEND = MORE = WIDTH = SIZE = LANES = T = None


@njit
def borders(out_h, out_w):
    """Return the tile numbers at which each kind of a sample's tiles ends, behind a 0.

    So the tiles of kind k are borders[k] to borders[k + 1] - 1.
    """
    right = out_h // 4 if out_w % 4 else 0
    whole = right + out_h // 4 * (out_w // 4)
    bottom = whole + (out_w // 4 if out_h % 4 else 0)
    return 0, right, whole, bottom, bottom + (1 if out_h % 4 and out_w % 4 else 0)


@njit
def find(tile, n, out_h, out_w):
    """Return (sample, row, column): the place of the first output of tile number ``tile`` of n samples."""
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
    """Return (first, end): tiles ``first`` to ``end`` - 1 of n samples need point e of the 36.

    A tile of h rows of outputs needs the points of rows 0 to h and of row 5; likewise columns.
    """
    _, right, whole, bottom, each = borders(out_h, out_w)
    row, column = e // 6, e % 6
    in_rows = out_h % 4 == 0 or row <= out_h % 4 or row == 5
    in_columns = out_w % 4 == 0 or column <= out_w % 4 or column == 5
    return 0 if in_columns else n * right, n * (whole if not in_rows else each if in_columns else bottom)


@njit
def run(tile, end, n, batch, out_h, out_w):
    """Return (last, shift): tiles ``tile`` to ``last`` - 1 are contiguous in memory, at index tile + shift.

    ``end``: an upper bound of ``last``. ``n``: samples of this run. ``batch``: samples that the memory is laid out for.
    All tiles of a full batch are contiguous. In a smaller batch each kind begins where it begins in a full one.
    """
    starts = borders(out_h, out_w)
    kind = 0
    while tile >= n * starts[kind + 1]:
        kind += 1
    return end if n == batch else min(end, n * starts[kind + 1]), (batch - n) * starts[kind]


def winograd_tiles(p, a, n):
    """v [36][parts][tiles][part_channels] = transformed tiles of an image x or dy [n, H, W, channels].

    Each kind of tiles is an operand: right, whole, bottom, corner. out_height, out_width: of y or dy, whose 4x4 squares
    make the tiles. A tile of x has MORE = 2 rows and columns more than its outputs, a tile of dy has MORE = 0. square:
    workspace [6][6][LANES] for a border tile whose columns are transformed and whose rows are not. Strides: elements.
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
                    for s in range(width + MORE):  # columns of the image first, then rows
                        line((x + s * pixel, row, square + s * vector, 6 * vector, height), T(0), T(0))
                    for r in range(6):
                        if r <= height or r == 5:
                            line((square + r * 6 * vector, vector, v + r * 6 * plane, plane, width), T(0), T(0))


def winograd_panel(p, a, n):
    """One panel of y [n, out_height, out_width, WIDTH] = act(x * w + bias), 3x3, stride 1, for the whole batch.

    v: all tiles of x, transformed [36][parts][tiles][part_channels]. w: the panel's filters [9][in_channels][WIDTH].
    The kernel transforms the filters of part_channels input channels into u and multiplies while u is in the cache, so
    that transformed filters are never written to memory. u: workspace [36][part_channels][WIDTH]. m: workspace
    [36][tiles][WIDTH] of the products of at most ``tiles`` tiles. square: workspace [6][6][LANES] of a border tile.
    ``batch``: samples that v is laid out for. With TURNED, for input gradients, w holds the convolution's filters
    [panels][9][w_rows][w_panel_width], which are rotated into ``turned`` [9][part_channels][WIDTH] first. With ADDEND
    addend [as y] is added before the activation. Strides: elements.
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
            some = min(few, inner - c0)  # input channels of this part
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
            if ADDEND:
                added_row, added_pixel = a[A.addend_row_stride] * SIZE, a[A.addend_pixel_stride] * SIZE
                added = p[P.addend] + i * a[A.addend_sample_stride] * SIZE + h * added_row + w_at * added_pixel
            for k in range(0, step, vector):
                source, to, shift = m + t * step + k, corner + k, bias + k
                if height == 4 and width == 4:
                    numbers = (source, 6 * m_plane, m_plane, to, y_row, y_pixel, shift, LANES)
                    if ADDEND:
                        transform_out_addend((*numbers, added + k, added_row, added_pixel), low, high)
                    else:
                        transform_out(numbers, low, high)
                    continue
                for s in range(6):
                    if s <= width or s == 5:
                        line_out(
                            (source + s * m_plane, 6 * m_plane, square + s * vector, 6 * vector, height), low, high
                        )
                for r in range(height):
                    from_r, to_r = square + r * 6 * vector, to + r * y_row
                    if ADDEND:
                        added_r = added + r * added_row + k
                        line_end_addend((from_r, vector, to_r, y_pixel, width, shift, added_r, added_pixel), low, high)
                    else:
                        line_end((from_r, vector, to_r, y_pixel, width, shift), low, high)
            if FUNCTIONS >> code & 1:
                for r in range(height):
                    for s in range(width):
                        activate(code, (corner + r * y_row + s * y_pixel, WIDTH, param))


def winograd_weight_panel(p, a, n):
    """One panel of dw [9][in_channels][WIDTH], from the tiles of the whole batch.

    v, z: transformed tiles of x [36][parts][tiles][part_channels] and of this panel of dy [36][tiles][WIDTH]. du:
    workspace [36][part_channels][WIDTH] of the sums over tiles, for one part of the input channels at a time.
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
    """Return turn_over, which rotates filters by 180 degrees and exchanges their input and output channels.

    It reads w [panels][9][rows][source_width]: ``rows`` input channels, and output channels in panels of
    ``source_panel`` bytes. It writes turned [9][some][width]: tap t is tap 8 - t of w. The input channels of ``turned``
    are output channels first to first + some - 1 of w. Its output channels are ``width`` input channels of w, from the
    address ``w`` on. It works on squares of ``lanes`` x ``lanes`` elements of ``size`` bytes.
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
    machine = host()
    for bits, types in TYPES.items():
        lanes = lanes_of(machine, bits)
        common = {**types, "LANES": lanes, **make_transforms(machine, bits), **make_lines(machine, bits)}
        for name, key, more in (("input", "in", 2), ("dy", "dy", 0)):
            binding = {"transform": common[f"transform_{key}"], "line": common[f"line_{key}"], "MORE": more}
            kernel(f"winograd_{name}.f{bits}", **binding, **common)(winograd_tiles)
        for width in (16, 32):
            variant = {f"product_{rows}": make_product(machine, width, bits, rows) for rows in ("even", "unit")}
            turn = make_turn_over(make_transpose(machine, bits), width, bits // 8, lanes)
            variant |= {"WIDTH": width, "turn_over": turn}
            for suffix, turned, addend in (("", False, False), ("_turned", True, False), (".addend", False, True)):
                name = f"winograd_panel{suffix}.{width}.f{bits}"
                kernel(name, TURNED=turned, ADDEND=addend, **variant, **common)(winograd_panel)
            kernel(f"winograd_weight_panel.{width}.f{bits}", **variant, **common)(winograd_weight_panel)


_register()
