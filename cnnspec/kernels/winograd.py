"""Winograd's F(4x4, 3x3): 36 multiplications where the direct method needs 144.

A tile of 4x4 outputs needs 6x6 inputs d, and y = A' [(G g G') * (B' d B)] A with constant matrices (Lavin & Gray 2016,
section 4). The weight gradient is the transposed algorithm: G' [(B' d B) * (A dy A')] G, summed over tiles.

The 36 numbers of a transformed tile are its points. Filters are kept transformed as [36][panels][in_channels][width],
tiles as [36][tiles][channels]: at each point the products are one matrix product. Tiles of n samples are numbered by
sample, row and column. A tile that reaches beyond the image is copied to ``edge`` and filled with zeros. Stride
arguments are elements; local addresses and strides are bytes.
"""

from __future__ import annotations

from ._jit import as_float, fetch_to_write, kernel
from .activate import FUNCTIONS, TYPES
from .machine import host
from .product import make_product
from .sweep import lanes_of
from .tile import shape_of
from .transform import make_copy_edge, make_transforms

# Bound for each variant by kernel(). SIZE: bytes of an element. LANES: channels of a vector. WIDTH: channels of a
# panel. ROWS: rows of a register tile of product_even.
product_even = product_unit = transform_in = transform_out = transform_dy = transform_filter = transform_back = None
P = A = transform_out_addend = WIDTH = ROWS = SIZE = LANES = T = at = activate = copy_edge = None
ADDEND = False  # True in the kernel with this word in its name


def winograd_filter(p, a, n):
    """u [36][panels][in_channels][width] = G g G' of filters w [panels][9][in_channels][width].

    One block computes ``rows`` of the input channels.
    """
    panels, channels, rows, plane = a[A.panels], a[A.in_channels], a[A.rows], a[A.u_plane_stride] * SIZE
    step = WIDTH * SIZE
    for q in range(panels):
        for c in range(rows):
            for k in range(0, WIDTH, LANES):
                x = p[P.w] + (q * 9 * channels + c) * step + k * SIZE
                y = p[P.u] + (q * channels + c) * step + k * SIZE
                transform_filter((x, 3 * channels * step, channels * step, y, 6 * plane, plane, 0, 0), T(0), T(0))


def winograd_conv2d(p, a, n):
    """y [n, out_height, out_width, out_channels] = act(x * filters + bias), 3x3, stride 1, with transformed filters u.

    x [n, H, W, in_channels] begins at the first window. A block of at most ``tiles`` tiles is transformed into v
    [36][tiles][in_channels], multiplied into m [36][tiles][panels * WIDTH] and transformed back. With ``prefetch`` the
    cache lines of y are fetched while tiles are multiplied. With ADDEND addend [as y] is added before the activation.
    """
    x, u, bias, y, v, m, edge = p[P.x], p[P.u], p[P.bias], p[P.y], p[P.v], p[P.m], p[P.edge]
    out_h, out_w = a[A.out_height], a[A.out_width]
    x_sample, x_row, x_pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    y_sample, y_row, y_pixel = a[A.y_sample_stride] * SIZE, a[A.y_row_stride] * SIZE, a[A.y_pixel_stride] * SIZE
    inner, channels, most, v_plane = a[A.in_channels], a[A.out_channels], a[A.tiles], a[A.v_plane_stride] * SIZE
    m_plane = a[A.m_plane_stride] * SIZE
    code, param, low, high = a[A.activation], T(as_float(a[A.parameter])), T(as_float(a[A.low])), T(as_float(a[A.high]))
    u_plane, prefetch = a[A.u_plane_stride] * SIZE, a[A.prefetch] != 0
    across = (out_w + 3) // 4  # tiles of a row, then of a sample, then of all samples
    each = (out_h + 3) // 4 * across
    total = n * each
    block = -(-total // -(-total // most))  # blocks of even size, rounded up to a multiple of ROWS tiles
    block = min(max(block, most // ROWS * ROWS), -(-block // ROWS) * ROWS)
    panels = (channels + WIDTH - 1) // WIDTH
    wide = panels * WIDTH
    for first in range(0, total, block):
        count = min(block, total - first)
        for t in range(count):
            i, h, w = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
            start, row, pixel = x + i * x_sample + h * x_row + w * x_pixel, x_row, x_pixel
            if h + 4 > out_h or w + 4 > out_w:
                copy_edge(start, x_row, x_pixel, edge, min(6, out_h + 2 - h), min(6, out_w + 2 - w), 6, inner)
                start, row, pixel = edge, 6 * inner * SIZE, inner * SIZE
            for c in range(0, inner, LANES):
                to = v + (t * inner + c) * SIZE
                transform_in((start + c * SIZE, row, pixel, to, 6 * v_plane, v_plane, 0, 0), T(0), T(0))
        for e in range(36):
            if prefetch:  # 1/36 of the tiles at each point
                for t in range(first + e * count // 36, first + (e + 1) * count // 36):
                    to = y + t // each * y_sample + t % each // across * 4 * y_row + t % across * 4 * y_pixel
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
            start, row, pixel = y + i * y_sample + h * y_row + w * y_pixel, y_row, y_pixel
            whole = h + 4 <= out_h and w + 4 <= out_w
            if ADDEND:
                added, added_row = p[P.addend] + i * a[A.addend_sample_stride] * SIZE, a[A.addend_row_stride] * SIZE
                added_pixel = a[A.addend_pixel_stride] * SIZE
                added += h * added_row + w * added_pixel
            if not whole:
                start, row, pixel = edge, 4 * channels * SIZE, channels * SIZE
                if ADDEND:
                    beside = edge + 16 * channels * SIZE
                    copy_edge(added, added_row, added_pixel, beside, min(4, out_h - h), min(4, out_w - w), 4, channels)
                    added, added_row, added_pixel = beside, row, pixel
            for k in range(0, channels, LANES):
                source, to, shift = m + (t * wide + k) * SIZE, start + k * SIZE, bias + k * SIZE
                numbers = (source, 6 * m_plane, m_plane, to, row, pixel, shift, channels - k)
                if ADDEND:
                    transform_out_addend((*numbers, added + k * SIZE, added_row, added_pixel), low, high)
                else:
                    transform_out(numbers, low, high)
            if FUNCTIONS >> code & 1:
                for r in range(4):
                    for s in range(4):
                        activate(code, (start + r * row + s * pixel, channels, param))
            if not whole:
                for r in range(min(4, out_h - h)):
                    for s in range(min(4, out_w - w)):
                        source = at(edge + (r * 4 + s) * channels * SIZE)
                        target = at(y + i * y_sample + (h + r) * y_row + (w + s) * y_pixel)
                        for k in range(channels):
                            target[k] = source[k]


def winograd_weight_grad(p, a, n):
    """du [36][panels][in_channels][width] += sum over tiles of (B' d B) * (A dy A').

    x: [n, H, W, in_channels], from the first window on; dy: [n, out_height, out_width, out_channels]. A block of at
    most ``tiles`` tiles is transformed into z [36][tiles][out_channels] and, for chunk_channels input channels at a
    time, into v [36][tiles][chunk_channels]. v then stays in the cache beside z, and du passes through the cache once
    for each block.
    """
    x, dy, du, v, z, edge = p[P.x], p[P.dy], p[P.du], p[P.v], p[P.z], p[P.edge]
    out_h, out_w = a[A.out_height], a[A.out_width]
    x_sample, x_row, x_pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    y_sample, y_row, y_pixel = a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE
    inner, channels, block, v_plane = a[A.in_channels], a[A.out_channels], a[A.tiles], a[A.v_plane_stride] * SIZE
    z_plane, few = a[A.z_plane_stride] * SIZE, a[A.chunk_channels]
    du_plane = a[A.du_plane_stride] * SIZE
    across = (out_w + 3) // 4
    each = (out_h + 3) // 4 * across
    total = n * each
    panels = (channels + WIDTH - 1) // WIDTH
    for first in range(0, total, block):
        count = min(block, total - first)
        for t in range(count):
            i, h, w = (first + t) // each, (first + t) % each // across * 4, (first + t) % across * 4
            start, row, pixel = dy + i * y_sample + h * y_row + w * y_pixel, y_row, y_pixel
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
                start = x + i * x_sample + h * x_row + w * x_pixel + c0 * SIZE
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
    """dw [panels][9][in_channels][width] = G' du G: the filter gradient of one shard.

    Of the last panel, columns beyond out_channels become zero.
    """
    panels, channels, filters, plane = a[A.panels], a[A.in_channels], a[A.out_channels], a[A.du_plane_stride] * SIZE
    step = WIDTH * SIZE
    for q in range(panels):
        for c in range(channels):
            for k in range(0, WIDTH, LANES):
                x = p[P.du] + (q * channels + c) * step + k * SIZE
                y = p[P.dw] + (q * 9 * channels + c) * step + k * SIZE
                transform_back((x, 6 * plane, plane, y, 3 * channels * step, channels * step, 0, 0), T(0), T(0))
            for r in range(9):
                y = at(p[P.dw] + ((q * 9 + r) * channels + c) * step)
                for k in range(filters - q * WIDTH, WIDTH):
                    y[k] = T(0)


def _register() -> None:
    machine = host()
    for bits, types in TYPES.items():
        copy = make_copy_edge(types["T"], types["at"], bits // 8)
        common = {**types, "LANES": lanes_of(machine, bits), "copy_edge": copy, **make_transforms(machine, bits)}
        for width in (16, 32):
            products = {f"product_{rows}": make_product(machine, width, bits, rows) for rows in ("even", "unit")}
            products["ROWS"] = shape_of(machine, width, bits)[0]
            for template in (winograd_filter, winograd_conv2d, winograd_weight_grad, winograd_weight_back):
                kernel(f"{template.__name__}.{width}.f{bits}", WIDTH=width, **products, **common)(template)
            name = f"winograd_conv2d.addend.{width}.f{bits}"
            kernel(name, WIDTH=width, ADDEND=True, **products, **common)(winograd_conv2d)


_register()
