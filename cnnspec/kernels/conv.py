"""Convolution, dense layers and their gradients on the register tile of tile.py: implicit GEMM over NHWC images.

Filters lie in panels: [groups][panels][kernel_height][kernel_width * in_channels][WIDTH], the last panel filled with
zeros. in_channels and out_channels count the channels of one group. Stride arguments are elements; local addresses and
strides are bytes. x_row_stride and x_pixel_stride lead from the window of one output to the next, so they are the
stride of the convolution times the strides of the image.

A weight gradient sums over pixels, in blocks of at most PIXELS pixels. All taps and channels go over one block before
the next block is touched: the block of x then comes from the second-level cache, where a whole image would come from
memory once for each tap. The pixels of dy in the block are copied side by side first. So are those of x where they lie
FAR_BYTES or more apart: at those distances they would share a few sets of the caches.
"""

from __future__ import annotations

from ..abi.constants import COPIED_ROWS, DEEP, FAR_BYTES, PANEL_WIDTHS
from ._jit import as_float, kernel, stack, store_i64
from .activate import FUNCTIONS, TYPES
from .machine import host
from .tile import START_ADD, make_pack, make_tile, shape_of

# The weight gradient copies dy and x to the stack: 152 KiB of float32, 450 of float64 at most.
BLOCK = 4096  # elements of one panel of dy that are copied side by side: half of the first-level cache
PANELS = 8  # panels of dy that are copied together
TILES = 32  # register tiles whose row addresses are computed together, once for all panels of filters

# Bound for each variant by kernel(): the register tile, its rows (ROWS) and columns (WIDTH), bytes of an element
# (SIZE), its type (T), rows of the table of addresses (TABLE), most pixels of a block (PIXELS).
P = A = tile = ROWS = WIDTH = SIZE = T = stacked = activate = pack = packs = pack_rows = packs_rows = TABLE = None
PIXELS = NARROW = IN_PARTS = None


def conv2d(p, a, n):
    """y = act(x * w + bias): x [n, H, W, groups * in_channels] to y [n, out_height, out_width, groups * out_channels].

    Each output is the sum over kernel_height x kernel_width taps and in_channels. x begins at the first window,
    padding included. ``start``: a Start. The input gradient of a convolution is this kernel on dy with rotated
    filters; a dense layer is the case of one pixel. With IN_PARTS a sum of more than 2 * DEEP products is computed in
    parts of about DEEP, which are added up in y: thousands in one register lose digits, and filters of a part stay in
    the cache for all rows.
    """
    x, w, bias, y = p[P.x], p[P.w], p[P.bias], p[P.y]
    out_h, out_w = a[A.out_height], a[A.out_width]
    x_sample, x_row, x_pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    y_sample, y_row, y_pixel = a[A.y_sample_stride] * SIZE, a[A.y_row_stride] * SIZE, a[A.y_pixel_stride] * SIZE
    taps_h, tap_row, taps_w = a[A.kernel_height], a[A.tap_row_stride] * SIZE, a[A.kernel_width]
    tap_pixel, inner = a[A.tap_pixel_stride] * SIZE, a[A.in_channels]
    groups, x_group, w_group = a[A.groups], a[A.x_group_stride] * SIZE, a[A.w_group_stride] * SIZE
    y_group = a[A.y_group_stride] * SIZE
    channels, start, panel = a[A.out_channels], a[A.start], a[A.w_panel_stride] * SIZE
    code, param, low, high = a[A.activation], T(as_float(a[A.parameter])), T(as_float(a[A.low])), T(as_float(a[A.high]))
    total = n * out_h * out_w
    step = WIDTH * SIZE
    x_wrap, y_wrap = x_row - out_w * x_pixel, y_row - out_w * y_pixel
    x_next, y_next = x_sample - out_h * x_row, y_sample - out_h * y_row
    parts, high_part, deep = 1, taps_h, inner  # parts of a sum; filter rows and input channels of a part
    if IN_PARTS and taps_h * taps_w * inner > 2 * DEEP:
        high_part = max(1, DEEP // (taps_w * inner))
        across = -(-inner // max(1, DEEP // taps_w))
        deep = -(-inner // across)
        across = -(-inner // deep)
        parts = -(-taps_h // high_part) * across
    rows = stacked()  # addresses of the windows of TABLE outputs, and of the outputs
    outs = rows + 8 * TABLE
    for g in range(groups):
        x_at, y_at, left, below = x + g * x_group, y + g * y_group, out_w, out_h
        for first in range(0, total, TABLE):
            count = min(TABLE, total - first)
            for t in range(-(-count // ROWS) * ROWS):
                store_i64(rows + 8 * t, x_at)
                store_i64(outs + 8 * t, y_at)
                if first + t + 1 < total:  # the last tile repeats the last output in its idle rows
                    x_at += x_pixel
                    y_at += y_pixel
                    left -= 1
                    if left == 0:
                        left = out_w
                        x_at += x_wrap
                        y_at += y_wrap
                        below -= 1
                        if below == 0:
                            below = out_h
                            x_at += x_next
                            y_at += y_next
            for k in range(0, channels, WIDTH):
                w_at = w + g * w_group + k // WIDTH * panel
                r = c = 0
                begin, least, most = start, low, high
                for part in range(parts):
                    if IN_PARTS:
                        r, c = part // across * high_part, part % across * deep
                        begin = START_ADD if part > 0 else start
                        least = low if part == parts - 1 else T(float("-inf"))
                        most = high if part == parts - 1 else T(float("inf"))
                    for t in range(0, count, ROWS):
                        tile(
                            rows + 8 * t, w_at + (r * taps_w * inner + c) * step,
                            min(high_part, taps_h - r), tap_row, taps_w * inner * step, taps_w, tap_pixel, inner * step,
                            min(deep, inner - c), SIZE, step, begin, bias + g * y_group + k * SIZE,
                            outs + 8 * t, k * SIZE, r * tap_row + c * SIZE, channels - k, least, most,
                        )  # fmt: skip
    if FUNCTIONS >> code & 1:  # no bounds: over whole rows, which are long enough for vectors
        runs, length = 1, out_w * groups * channels
        if y_pixel != groups * channels * SIZE:  # a block of the channels: pixel by pixel
            runs, length = out_w, groups * channels
        for image in range(n):
            for h in range(out_h):
                for run in range(runs):
                    activate(code, (y + image * y_sample + h * y_row + run * y_pixel, length, param))


def conv2d_weight_grad(p, a, n):
    """dw [kernel_height, kernel_width, in_channels, out_channels] = sum over samples and output pixels of x * dy.

    ``start`` says whether the sums are added to dw. Of each tap the first ``rows`` input channels are computed. With
    NARROW, for few input channels of one group, the rows of a register tile run through all taps.
    """
    x, dy, dw, out_h, out_w = p[P.x], p[P.dy], p[P.dw], a[A.out_height], a[A.out_width]
    x_sample, x_row, x_pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    y_sample, y_row, y_pixel = a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE
    taps_h, tap_row, taps_w = a[A.kernel_height], a[A.tap_row_stride] * SIZE, a[A.kernel_width]
    tap_pixel, inner = a[A.tap_pixel_stride] * SIZE, a[A.in_channels]
    groups, x_group, w_group = a[A.groups], a[A.x_group_stride] * SIZE, a[A.dw_group_stride] * SIZE
    y_group, channels, first = a[A.dy_group_stride] * SIZE, a[A.out_channels], a[A.start]
    panel, rows, least, most = a[A.dw_panel_stride] * SIZE, a[A.rows], T(float("-inf")), T(float("inf"))
    step, packed, packed_rows, table = WIDTH * SIZE, packs(), packs_rows(), stacked()
    # output columns, rows and samples of a block
    across, high, images = min(out_w, PIXELS), min(out_h, max(1, PIXELS // out_w)), max(1, PIXELS // (out_h * out_w))
    for image in range(0, n, images):
        samples = min(images, n - image)
        for h in range(0, out_h, high):
            lines = min(high, out_h - h)
            for w in range(0, out_w, across):
                pixels = min(across, out_w - w)
                start = first if image + h + w == 0 else START_ADD
                x_at = x + image * x_sample + h * x_row + w * x_pixel
                y_at = dy + image * y_sample + h * y_row + w * y_pixel
                length, near, far = pixels, x_pixel, lines  # rounds and stride of the innermost loop; rounds outside it
                if pixels == 1:
                    near = x_row
                if pixels == 1 or x_row == pixels * x_pixel:
                    length, far = lines * pixels, 1
                outer = samples
                if length == 1:
                    length, near, outer = samples, x_sample, 1
                each, copy_rows = samples * lines * pixels, not NARROW and near >= FAR_BYTES
                for g in range(groups):
                    for k0 in range(0, channels, PANELS * WIDTH):
                        some = min(PANELS * WIDTH, channels - k0)
                        for k in range(0, some, WIDTH):
                            pack((
                                y_at + g * y_group + (k0 + k) * SIZE, y_sample, y_row, y_pixel,
                                samples, lines, pixels, packed + k // WIDTH * each * step,
                            ))  # fmt: skip
                        if NARROW:  # a tile's rows run through all taps and channels, so that few are idle
                            dw_at = dw + k0 // WIDTH * panel
                            for t in range(0, taps_h * taps_w * inner, ROWS):
                                for m in range(ROWS):
                                    row = min(t + m, taps_h * taps_w * inner - 1)
                                    tap = row // inner
                                    from_x = tap // taps_w * tap_row + tap % taps_w * tap_pixel + row % inner * SIZE
                                    store_i64(table + 8 * m, x_at + from_x)
                                    store_i64(table + 8 * (ROWS + m), dw_at + row * step)
                                tile(
                                    table, packed, outer, x_sample, lines * pixels * step, far, x_row, pixels * step,
                                    length, near, step, start, 0, table + 8 * ROWS, 0, 0, channels - k0, least, most,
                                )  # fmt: skip
                            continue
                        for place in range(taps_h * taps_w):
                            from_x = g * x_group + place // taps_w * tap_row + place % taps_w * tap_pixel
                            dw_at = dw + g * w_group + k0 // WIDTH * panel + place * inner * step
                            for i0 in range(0, rows, COPIED_ROWS):
                                x_i = x_at + from_x + i0 * SIZE
                                if copy_rows:
                                    pack_rows((x_i, x_sample, x_row, x_pixel, samples, lines, pixels, packed_rows))
                                for k in range(0, some, WIDTH):
                                    for i in range(0, min(COPIED_ROWS, rows - i0), ROWS):
                                        b_at = packed + k // WIDTH * each * step
                                        out = dw_at + k // WIDTH * panel + (i0 + i) * step
                                        if copy_rows:
                                            tile(
                                                packed_rows + i * SIZE, b_at, 1, 0, 0, 1, 0, 0,
                                                each, COPIED_ROWS * SIZE, step, start, 0, out, step, rows - i0 - i,
                                                channels - k0 - k, least, most,
                                            )  # fmt: skip
                                        else:
                                            tile(
                                                x_i + i * SIZE, b_at, outer, x_sample, lines * pixels * step,
                                                far, x_row, pixels * step, length, near, step, start, 0,
                                                out, step, rows - i0 - i, channels - k0 - k, least, most,
                                            )  # fmt: skip


def _register() -> None:
    machine = host()
    for bits, types in TYPES.items():
        for width in PANEL_WIDTHS:
            rows = shape_of(machine, width, bits)[0]
            common = {**types, "ROWS": rows, "WIDTH": width}
            table = {"TABLE": TILES * rows, "stacked": stack(2 * TILES * rows)}
            for suffix, deep in (("", False), ("_deep", True)):
                kernel(
                    f"conv2d{suffix}.{width}.f{bits}", **common, **table, IN_PARTS=deep,
                    tile=make_tile(machine, width, bits, unit_rows=False),
                )(conv2d)  # fmt: skip
            kernel(
                f"conv2d_row.{width}.f{bits}", **{**common, "ROWS": 1}, **table, IN_PARTS=True,
                tile=make_tile(machine, width, bits, unit_rows=False, rows=1),
            )(conv2d)  # fmt: skip
            for suffix, narrow in (("", False), ("_narrow", True)):
                panels = 1 if narrow else PANELS
                kernel(
                    f"conv2d_weight_grad{suffix}.{width}.f{bits}", **common, NARROW=narrow, PANELS=panels,
                    PIXELS=BLOCK // width, stacked=stack(2 * rows),
                    pack=make_pack(machine, width, bits), packs=stack(panels * BLOCK * bits // 64),
                    pack_rows=make_pack(machine, COPIED_ROWS, bits),
                    packs_rows=stack(BLOCK // width * COPIED_ROWS * bits // 64),
                    tile=make_tile(machine, width, bits, unit_rows=not narrow),
                )(conv2d_weight_grad)  # fmt: skip


_register()
