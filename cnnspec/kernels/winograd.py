"""Winograd's F(4x4, 3x3): 36 multiplications where the direct method needs 144.

A tile of 4x4 outputs needs 6x6 inputs d, and y = A' [(G g G') * (B' d B)] A with constant matrices (Lavin & Gray 2016,
section 4). The weight gradient is the transposed algorithm: G' [(B' d B) * (A dy A')] G, summed over tiles.

Filters are kept transformed as [36][panels][C_in][width], tiles as [36][tiles][channels].
"""

from __future__ import annotations

from ._jit import as_float, f32_at, f64_at, fetch_to_write, kernel, stack, store_i64
from .activate import activate_f32, activate_f64
from .machine import host
from .product import make_product
from .sweep import lanes_of
from .tile import shape_of
from .transform import make_copy_edge, make_transforms

# Bound for each variant by kernel().
product_even = product_unit = transform_in = transform_out = transform_dy = transform_filter = transform_back = None
transform_out_plus = PLUS = WIDTH = ROWS = SIZE = LANES = T = at = stacked = activate = copy_edge = None


def winograd_filter(p, a, n):
    """p = w, u; filters [panels][9][channels][width] to [36][panels][channels][width].

    a = panels, channels, rows, plane of u.
    """
    panels, channels, rows, plane = a[0], a[1], a[2], a[3] * SIZE
    step = WIDTH * SIZE
    for q in range(panels):
        for c in range(rows):
            for k in range(0, WIDTH, LANES):
                x = p[0] + (q * 9 * channels + c) * step + k * SIZE
                y = p[1] + (q * channels + c) * step + k * SIZE
                transform_filter((x, 3 * channels * step, channels * step, y, 6 * plane, plane, 0, 0), T(0), T(0))


def winograd_conv2d(p, a, n):
    """p = x, u, bias, y, v, m, edge; a = height, width of y, x strides, y strides, channels in, out, tiles, planes of
    v and m, function, plane of u, whether y is to be asked for while tiles are multiplied.

    With PLUS p ends in an image that is added before the function, and a in its strides."""
    x, u, bias, y, v, m, edge = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
    out_h, out_w = a[0], a[1]
    x_image, x_row, x_pixel = a[2] * SIZE, a[3] * SIZE, a[4] * SIZE
    y_image, y_row, y_pixel = a[5] * SIZE, a[6] * SIZE, a[7] * SIZE
    inner, channels, most, v_plane, m_plane = a[8], a[9], a[10], a[11] * SIZE, a[12] * SIZE
    code, param, low, high = a[13], T(as_float(a[14])), T(as_float(a[15])), T(as_float(a[16]))
    u_plane, ask = a[17] * SIZE, a[18] != 0
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    total = n * each
    block = -(-total // -(-total // most))  # even blocks, and no row of a register tile idle where they may be larger
    block = min(max(block, most // ROWS * ROWS), -(-block // ROWS) * ROWS)
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
            if ask:
                for t in range(first + e * count // 36, first + (e + 1) * count // 36):
                    to = y + t // each * y_image + t % each // across * 4 * y_row + t % across * 4 * y_pixel
                    for r in range(4):
                        for s in range(4):
                            for b in range(0, channels * SIZE, 64):
                                fetch_to_write(to + r * y_row + s * y_pixel + b)
            for q in range(panels):
                u_at = u + e * u_plane + q * inner * WIDTH * SIZE
                product_even((
                    v + e * v_plane, inner * SIZE, SIZE, u_at, WIDTH * SIZE, inner,
                    m + e * m_plane + q * WIDTH * SIZE, wide * SIZE, count, 0,
                ))  # fmt: skip
        for t in range(count):
            i, h, w = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
            start, row, pixel = y + i * y_image + h * y_row + w * y_pixel, y_row, y_pixel
            whole = h + 4 <= out_h and w + 4 <= out_w
            if PLUS:
                added, added_row, added_pixel = p[7] + i * a[19] * SIZE, a[20] * SIZE, a[21] * SIZE
                added += h * added_row + w * added_pixel
            if not whole:
                start, row, pixel = edge, 4 * channels * SIZE, channels * SIZE
                if PLUS:
                    beside = edge + 16 * channels * SIZE
                    copy_edge(added, added_row, added_pixel, beside, min(4, out_h - h), min(4, out_w - w), 4, channels)
                    added, added_row, added_pixel = beside, row, pixel
            for k in range(0, channels, LANES):
                source = m + (t * wide + k) * SIZE
                at_k = start + k * SIZE
                if PLUS:
                    transform_out_plus(
                        (
                            source, 6 * m_plane, m_plane, at_k, row, pixel, bias + k * SIZE, channels - k,
                            added + k * SIZE, added_row, added_pixel,
                        ),
                        low, high,
                    )  # fmt: skip
                else:
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
    time, plane of du. Channels are so few that v stays in the cache beside z, while du passes through it once for each
    block of tiles.
    """
    x, dy, du, v, z, edge = p[0], p[1], p[2], p[3], p[4], p[5]
    out_h, out_w = a[0], a[1]
    x_image, x_row, x_pixel = a[2] * SIZE, a[3] * SIZE, a[4] * SIZE
    y_image, y_row, y_pixel = a[5] * SIZE, a[6] * SIZE, a[7] * SIZE
    inner, channels, block, v_plane, z_plane, few = a[8], a[9], a[10], a[11] * SIZE, a[12] * SIZE, a[13]
    du_plane = a[14] * SIZE
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
                        du + e * du_plane + (q * inner + c0) * WIDTH * SIZE, WIDTH * SIZE, some, 1,
                    ))  # fmt: skip


def winograd_weight_back(p, a, n):
    """p = du, dw: G' du G, the gradient of one shard: a = panels, input channels, filters, plane of du."""
    panels, channels, filters, plane = a[0], a[1], a[2], a[3] * SIZE
    step = WIDTH * SIZE
    for q in range(panels):
        for c in range(channels):
            for k in range(0, WIDTH, LANES):
                x = p[0] + (q * channels + c) * step + k * SIZE
                y = p[1] + (q * 9 * channels + c) * step + k * SIZE
                transform_back((x, 6 * plane, plane, y, 3 * channels * step, channels * step, 0, 0), T(0), T(0))
            for r in range(9):
                y = at(p[1] + ((q * 9 + r) * channels + c) * step)
                for k in range(filters - q * WIDTH, WIDTH):
                    y[k] = T(0)


def _register() -> None:
    import numba

    machine = host()
    for bits, number, reader, act in (
        (32, numba.float32, f32_at, activate_f32),
        (64, numba.float64, f64_at, activate_f64),
    ):
        common = {
            "SIZE": bits // 8, "LANES": lanes_of(machine, bits), "T": number, "at": reader, "activate": act,
            "stacked": stack(1), "copy_edge": make_copy_edge(number, reader, bits // 8),
            **make_transforms(machine, bits),
        }  # fmt: skip
        for width in (16, 32):
            products = {f"product_{rows}": make_product(machine, width, bits, rows) for rows in ("even", "unit")}
            products["ROWS"] = shape_of(machine, width, bits)[0]
            for template in (winograd_filter, winograd_conv2d, winograd_weight_grad, winograd_weight_back):
                kernel(f"{template.__name__}.{width}.f{bits}", WIDTH=width, PLUS=False, **products, **common)(template)
            name = f"winograd_conv2d.plus.{width}.f{bits}"
            kernel(name, WIDTH=width, PLUS=True, **products, **common)(winograd_conv2d)


_register()
