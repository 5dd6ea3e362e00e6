"""Winograd's algorithm in stages, for filters that no cache holds: all tiles first, then panel by panel.

Tiles of the whole batch lie transformed in memory as [36][samples][tiles][channels]. A panel of output channels
transforms its own filters and multiplies while they are in its cache, so that they, four times as large as filters, are
never written. So does a panel of the weight gradient with its sums.
"""

from __future__ import annotations

from typing import Any

from ._jit import as_float, f32_at, f64_at, kernel, stack, store_i64
from .activate import activate_f32, activate_f64
from .machine import host
from .product import make_product, make_transpose
from .sweep import lanes_of
from .transform import make_copy_edge, make_transforms

TILES = 96  # of a weight gradient that are multiplied together

# Bound for each variant by kernel().
product_even = product_unit = transform_in = transform_out = transform_dy = transform_filter = transform_back = None
TURNED = turn_over = transform_out_plus = PLUS = WIDTH = SIZE = LANES = T = at = stacked = activate = copy_edge = None


def winograd_input(p, a, n):
    """p = x, v, edge; v = [36][samples][tiles][channels].

    a = height and width of y, x strides, channels; from sample to sample of v, from tile to tile, from plane to plane.
    """
    out_h, out_w, inner = a[0], a[1], a[5]
    x_row, x_pixel = a[3] * SIZE, a[4] * SIZE
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    plane = a[8] * SIZE
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
    """p = dy, z, edge; z = [36][samples][tiles][channels]; a as in winograd_input."""
    out_h, out_w, channels = a[0], a[1], a[5]
    y_row, y_pixel = a[3] * SIZE, a[4] * SIZE
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    plane = a[8] * SIZE
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
    """p = v, w, bias, y, u, m, turned, edge: one panel of output channels, on the tiles of the whole batch.

    Its filters are transformed here, some input channels at a time, and multiply before they leave the cache: none are
    written to memory. a = height and width of y, v plane, v tile, y strides, input channels, tiles, input channels at
    a time, planes of u and m, function. With TURNED (input gradients) the filters are those of the convolution, to be
    turned over; then a ends in the width and elements of their panels, and the rows of a tap. With PLUS p ends in an
    image that is added before the function, and a in its strides.
    """
    v, w, bias, y, u, m, turned, edge = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
    out_h, out_w, v_plane, v_tile = a[0], a[1], a[2] * SIZE, a[3] * SIZE
    y_image, y_row, y_pixel = a[4] * SIZE, a[5] * SIZE, a[6] * SIZE
    inner, block, few, u_plane, m_plane = a[7], a[8], a[9], a[10] * SIZE, a[11] * SIZE
    code, param, low, high = a[12], T(as_float(a[13])), T(as_float(a[14])), T(as_float(a[15]))
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    step = WIDTH * SIZE
    table = stacked()
    for first in range(0, n * each, block):
        count = min(block, n * each - first)
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
                product_even((
                    v + e * v_plane + first * v_tile + c0 * SIZE, v_tile, SIZE, u + e * u_plane, step, some,
                    m + e * m_plane, step, count, c0,
                ))  # fmt: skip
        for t in range(count):
            i, h, w_at = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
            corner = y + i * y_image + h * y_row + w_at * y_pixel
            whole = h + 4 <= out_h and w_at + 4 <= out_w
            start, row, pixel = corner, y_row, y_pixel
            if PLUS:
                added, added_row, added_pixel = p[8] + i * a[16] * SIZE, a[17] * SIZE, a[18] * SIZE
                added += h * added_row + w_at * added_pixel
            if not whole:
                start, row, pixel = edge, 4 * step, step
                if PLUS:
                    beside = edge + 16 * step
                    copy_edge(added, added_row, added_pixel, beside, min(4, out_h - h), min(4, out_w - w_at), 4, WIDTH)
                    added, added_row, added_pixel = beside, row, pixel
            for k in range(0, WIDTH, LANES):
                at_k = k * SIZE
                source = m + t * step + at_k
                if PLUS:
                    transform_out_plus(
                        (
                            source, 6 * m_plane, m_plane, start + at_k, row, pixel, bias + at_k, LANES,
                            added + at_k, added_row, added_pixel,
                        ),
                        low, high,
                    )  # fmt: skip
                else:
                    transform_out(
                        (source, 6 * m_plane, m_plane, start + at_k, row, pixel, bias + at_k, LANES), low, high
                    )
            if code > 2:
                for r in range(4):
                    for s in range(4):
                        store_i64(table, start + r * row + s * pixel)
                        activate(table, 1, WIDTH, code, param)
            if not whole:
                for r in range(min(4, out_h - h)):
                    for s in range(min(4, out_w - w_at)):
                        made, target = at(edge + (r * 4 + s) * step), at(corner + r * y_row + s * y_pixel)
                        for k in range(WIDTH):
                            target[k] = made[k]


def winograd_weight_panel(p, a, n):
    """p = v, z, dw, du: one panel of dw, from the tiles of the whole batch, some input channels at a time.

    a = tiles of a sample, v plane, v tile, z plane, z tile, input channels, input channels at a time, plane of du.
    """
    v, z, dw, du = p[0], p[1], p[2], p[3]
    total, v_plane, v_tile, z_plane, z_tile = n * a[0], a[1] * SIZE, a[2] * SIZE, a[3] * SIZE, a[4] * SIZE
    inner, few, plane = a[5], a[6], a[7] * SIZE
    step = WIDTH * SIZE
    for c0 in range(0, inner, few):
        some = min(few, inner - c0)
        for e in range(36):
            for first in range(0, total, TILES):  # so many that z stays in the first-level cache
                product_unit((
                    v + e * v_plane + first * v_tile + c0 * SIZE, SIZE, v_tile,
                    z + e * z_plane + first * z_tile, z_tile, min(TILES, total - first),
                    du + e * plane, step, some, first,
                ))  # fmt: skip
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


def _register() -> None:
    import numba

    machine = host()
    for bits, number, reader, act in (
        (32, numba.float32, f32_at, activate_f32),
        (64, numba.float64, f64_at, activate_f64),
    ):
        lanes = lanes_of(machine, bits)
        common = {
            "SIZE": bits // 8, "LANES": lanes, "T": number, "at": reader, "activate": act, "stacked": stack(1),
            "copy_edge": make_copy_edge(number, reader, bits // 8), **make_transforms(machine, bits),
        }  # fmt: skip
        for template in (winograd_input, winograd_dy):
            kernel(f"{template.__name__}.f{bits}", **common)(template)
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
