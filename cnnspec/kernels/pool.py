"""Pooling and its gradients. Windows are cut at the border, so padding is never read.

Without AVX-512 masked stores are slow. Where pixels lie side by side, whole vectors are stored in order: lanes beyond a
pixel's channels reach into the next pixel, which overwrites them. Only the last pixel of a row is stored with a mask.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ..abi.constants import POOL_NARROW
from ._jit import I64, kernel, u8_at
from .activate import TYPES
from .machine import Machine, host
from .pointwise import register
from .sweep import lanes_of
from .vectors import BYTE, I32, Access, Vectors, on_vectors

P = A = at = T = SIZE = LANES = INDEX = best_of_four = best_of_window = spread_to_four = sum_of_window = None

FEW = 16  # pixels of a window up to which a mean is taken number by number
RUN = 32  # pixels that are added up before they are added to the rest in float64


def make_best_of_four(machine: Machine, bits: int, lanes: int, indexed: bool) -> Any:
    """Return the intrinsic ``best((x, row, pixel, y, index, valid))``: the largest of 2x2 pixels, and which one it is.

    One vector of channels; addresses and strides in bytes. A NaN wins. Unless ``indexed``, index is not written.
    """

    @on_vectors(machine, bits, lanes)
    def best(vec, x, row, pixel, y, index, valid):
        builder = vec.builder
        whole = ir.VectorType(I32, lanes)
        below = builder.add(x, row)

        def choose(io: Access) -> None:
            best_value, place = io.load(x), ir.Constant(whole, [0] * lanes)
            for number, address in enumerate((builder.add(x, pixel), below, builder.add(below, pixel)), start=1):
                value = io.load(address)
                wins = _wins(builder, value, best_value)
                best_value = builder.select(wins, value, best_value)
                if indexed:
                    place = builder.select(wins, ir.Constant(whole, [number] * lanes), place)
            io.store(best_value, y)
            if indexed:
                io.store_bytes(builder.trunc(place, ir.VectorType(BYTE, lanes)), index)

        vec.either(valid, 1, choose)

    return best


def _wins(builder: ir.IRBuilder, value: Any, known: Any) -> Any:
    return builder.or_(builder.fcmp_ordered(">", value, known), builder.fcmp_unordered("uno", value, value))


def make_best_of_window(machine: Machine, bits: int, lanes: int, indexed: bool) -> Any:
    """Return the intrinsic ``best(numbers)``: the largest of a window, and which place it is. Numbers:

    x, row, pixel, rows, columns, y, index, first place, places of a row, valid. A NaN wins. Unless ``indexed``, index
    is not written.
    """

    @on_vectors(machine, bits, lanes)
    def best(vec, x, row, pixel, rows, columns, y, index, first, wide, valid):
        builder = vec.builder
        value_at, place_at = (cgutils.alloca_once(builder, kind) for kind in (vec.type, ir.VectorType(I32, lanes)))

        def choose(io: Access) -> None:
            builder.store(io.load(x), value_at)
            builder.store(vec.spread_whole(first), place_at)
            with cgutils.for_range(builder, rows) as r, cgutils.for_range(builder, columns) as s:
                at = builder.add(builder.mul(r.index, row), builder.mul(s.index, pixel))
                value, known = io.load(builder.add(x, at)), builder.load(value_at)
                wins = _wins(builder, value, known)
                place = builder.add(first, builder.add(builder.mul(r.index, wide), s.index))
                builder.store(builder.select(wins, value, known), value_at)
                if indexed:
                    builder.store(builder.select(wins, vec.spread_whole(place), builder.load(place_at)), place_at)
            io.store(builder.load(value_at), y)
            if indexed:
                io.store_bytes(builder.trunc(builder.load(place_at), ir.VectorType(BYTE, lanes)), index)

        vec.either(valid, 1, choose)

    return best


def make_spread_to_four(machine: Machine, bits: int, lanes: int) -> Any:
    """Return the intrinsic ``spread((dy, index, dx, row, pixel, valid))``: dy where the index says, zero elsewhere."""

    @on_vectors(machine, bits, lanes)
    def spread(vec, dy, index, dx, row, pixel, valid):
        builder = vec.builder
        whole = ir.VectorType(I32, lanes)
        zero = ir.Constant(vec.type, [0.0] * lanes)
        below = builder.add(dx, row)

        def spread_out(io: Access) -> None:
            place, value = builder.zext(io.load_bytes(index), whole), io.load(dy)
            for number, address in enumerate((dx, builder.add(dx, pixel), below, builder.add(below, pixel))):
                here = builder.icmp_unsigned("==", place, ir.Constant(whole, [number] * lanes))
                io.store(builder.select(here, value, zero), address)

        vec.either(valid, 1, spread_out)

    return spread


def make_sum_of_window(machine: Machine, bits: int) -> Any:
    """Return the intrinsic ``total((x, row, pixel, rows, columns, y, valid), share)``: share times a window's sum.

    One vector of channels. Up to RUN pixels of a row are added up as they are, and their sums in float64: a mean of
    50,000 pixels is as exact as one of few.
    """
    lanes = lanes_of(machine, bits)

    @on_vectors(machine, bits, lanes, floats=1)
    def total(vec, x, row, pixel, rows, columns, y, valid, share):
        builder, wide = vec.builder, Vectors(vec.builder, 64, lanes, machine.fma)
        zero, none = (ir.Constant(v.type, [0.0] * lanes) for v in (vec, wide))
        sum_at, total_at = (cgutils.alloca_once(builder, v.type) for v in (vec, wide))
        runs = builder.sdiv(builder.add(columns, I64(RUN - 1)), I64(RUN))

        def least(a: Any, b: Any) -> Any:
            return builder.select(builder.icmp_signed("<", a, b), a, b)

        def add_up(io: Access) -> None:
            builder.store(none, total_at)
            with cgutils.for_range(builder, rows) as r, cgutils.for_range(builder, runs) as run:
                first = builder.mul(run.index, I64(RUN))
                start = builder.add(x, builder.add(builder.mul(r.index, row), builder.mul(first, pixel)))
                builder.store(zero, sum_at)
                with cgutils.for_range(builder, least(builder.sub(columns, first), I64(RUN))) as s:
                    value = io.load(builder.add(start, builder.mul(s.index, pixel)))
                    builder.store(builder.fadd(builder.load(sum_at), value), sum_at)
                more = builder.load(sum_at)
                more = more if bits == 64 else builder.fpext(more, wide.type)
                builder.store(builder.fadd(builder.load(total_at), more), total_at)
            made = builder.fmul(builder.load(total_at), wide.spread(share))
            io.store(made if bits == 64 else builder.fptrunc(made, vec.type), y)

        vec.either(valid, 1, add_up)

    return total


def maxpool__2x2(p, a, n):
    """maxpool for windows of 2x2 side by side, without padding, on an even height and width."""
    channels, out_h, out_w = a[A.channels], a[A.out_height], a[A.out_width]
    x_sample, x_row, x_pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    y_sample, y_row, y_pixel = a[A.y_sample_stride] * SIZE, a[A.y_row_stride] * SIZE, a[A.y_pixel_stride] * SIZE
    index_sample, index_row, index_pixel = 0, 0, channels
    if INDEX:
        index_sample, index_row = a[A.indices_sample_stride], a[A.indices_row_stride]
        index_pixel = a[A.indices_pixel_stride]
    in_order = y_pixel == channels * SIZE and index_pixel == channels and -channels % LANES <= channels
    for i in range(n):
        for h in range(out_h):
            x = p[P.x] + i * x_sample + 2 * h * x_row
            y = p[P.y] + i * y_sample + h * y_row
            index = p[P.indices] + i * index_sample + h * index_row if INDEX else 0
            for w in range(out_w):
                more = LANES if in_order and w < out_w - 1 else 0
                for c in range(0, channels, LANES):
                    valid = channels - c + more
                    best_of_four((x + c * SIZE, x_row, x_pixel, y + c * SIZE, index + c, valid))
                x += 2 * x_pixel
                y += y_pixel
                index += index_pixel


def maxpool_grad__2x2(p, a, n):
    """maxpool_grad for windows of 2x2 side by side, without padding; each dx is written once."""
    channels, out_h, out_w = a[A.channels], a[A.out_height], a[A.out_width]
    dy_sample, dy_row, dy_pixel = a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE
    index_sample, index_row = a[A.indices_sample_stride], a[A.indices_row_stride]
    index_pixel = a[A.indices_pixel_stride]
    dx_sample, dx_row, dx_pixel = a[A.dx_sample_stride] * SIZE, a[A.dx_row_stride] * SIZE, a[A.dx_pixel_stride] * SIZE
    in_order = dx_pixel == channels * SIZE and channels <= LANES <= 2 * channels  # one vector a pixel: two are written
    for i in range(n):
        for h in range(out_h):
            dy = p[P.dy] + i * dy_sample + h * dy_row
            index = p[P.indices] + i * index_sample + h * index_row
            dx = p[P.dx] + i * dx_sample + 2 * h * dx_row
            for w in range(out_w):
                more = LANES if in_order and w < out_w - 1 else 0
                for c in range(0, channels, LANES):
                    valid = channels - c + more
                    spread_to_four((dy + c * SIZE, index + c, dx + c * SIZE, dx_row, dx_pixel, valid))
                dy += dy_pixel
                index += index_pixel
                dx += 2 * dx_pixel


def maxpool(p, a, n):
    """y [n, out_height, out_width, channels] = largest of each window of x [n, height, width, channels]. A NaN wins.

    With INDEX indices (uint8, as y) say which pixel of the window it is, row by row.
    """
    height, width, channels, out_h, out_w = a[A.height], a[A.width], a[A.channels], a[A.out_height], a[A.out_width]
    window_h, window_w = a[A.kernel_height], a[A.kernel_width]
    x_row, x_pixel = a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    for i in range(n):
        for oh in range(out_h):
            top = oh * a[A.stride_height] - a[A.padding_height]
            r0, r1 = max(0, -top), min(window_h, height - top)
            for ow in range(out_w):
                left = ow * a[A.stride_width] - a[A.padding_width]
                s0, s1 = max(0, -left), min(window_w, width - left)
                x = p[P.x] + i * a[A.x_sample_stride] * SIZE + (top + r0) * x_row + (left + s0) * x_pixel
                y = p[P.y] + (i * a[A.y_sample_stride] + oh * a[A.y_row_stride] + ow * a[A.y_pixel_stride]) * SIZE
                index = 0
                if INDEX:
                    index = p[P.indices] + i * a[A.indices_sample_stride] + oh * a[A.indices_row_stride]
                    index += ow * a[A.indices_pixel_stride]
                for c in range(0, channels, LANES):
                    best_of_window((
                        x + c * SIZE, x_row, x_pixel, r1 - r0, s1 - s0, y + c * SIZE, index + c,
                        r0 * window_w + s0, window_w, channels - c,
                    ))  # fmt: skip


def maxpool_grad(p, a, n):
    """dx [n, height, width, channels] = sum of the dy [n, out_height, out_width, channels] whose window it won.

    indices (uint8, as dy): those of maxpool.
    """
    dy, index, dx = at(p[P.dy]), u8_at(p[P.indices]), at(p[P.dx])
    height, width, channels, out_h, out_w = a[A.height], a[A.width], a[A.channels], a[A.out_height], a[A.out_width]
    for i in range(n):
        for h in range(height):
            for w in range(width):
                to = i * a[A.dx_sample_stride] + h * a[A.dx_row_stride] + w * a[A.dx_pixel_stride]
                for c in range(channels):
                    dx[to + c] = T(0)
        for oh in range(out_h):
            for ow in range(out_w):
                f = i * a[A.dy_sample_stride] + oh * a[A.dy_row_stride] + ow * a[A.dy_pixel_stride]
                mark = i * a[A.indices_sample_stride] + oh * a[A.indices_row_stride] + ow * a[A.indices_pixel_stride]
                top, left = oh * a[A.stride_height] - a[A.padding_height], ow * a[A.stride_width] - a[A.padding_width]
                for r in range(max(0, -top), min(a[A.kernel_height], height - top)):
                    for s in range(max(0, -left), min(a[A.kernel_width], width - left)):
                        to = i * a[A.dx_sample_stride] + (top + r) * a[A.dx_row_stride]
                        to += (left + s) * a[A.dx_pixel_stride]
                        place = r * a[A.kernel_width] + s
                        for c in range(channels):
                            dx[to + c] += dy[f + c] if index[mark + c] == place else T(0)


def avgpool(p, a, n):
    """y [n, out_height, out_width, channels] = mean of each window of x [n, height, width, channels].

    Pixels of the padding do not count.
    """
    x, y = at(p[P.x]), at(p[P.y])
    height, width, channels, out_h, out_w = a[A.height], a[A.width], a[A.channels], a[A.out_height], a[A.out_width]
    x_row, x_pixel = a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    for i in range(n):
        for oh in range(out_h):
            for ow in range(out_w):
                to = i * a[A.y_sample_stride] + oh * a[A.y_row_stride] + ow * a[A.y_pixel_stride]
                top, left = oh * a[A.stride_height] - a[A.padding_height], ow * a[A.stride_width] - a[A.padding_width]
                r0, r1 = max(0, -top), min(a[A.kernel_height], height - top)
                s0, s1 = max(0, -left), min(a[A.kernel_width], width - left)
                if (r1 - r0) * (s1 - s0) > FEW:
                    corner = i * a[A.x_sample_stride] + (top + r0) * a[A.x_row_stride]
                    corner = p[P.x] + (corner + (left + s0) * a[A.x_pixel_stride]) * SIZE
                    share = 1.0 / float((r1 - r0) * (s1 - s0))
                    for c in range(0, channels, LANES):
                        at_c = c * SIZE
                        sum_of_window(
                            (corner + at_c, x_row, x_pixel, r1 - r0, s1 - s0, p[P.y] + to * SIZE + at_c, channels - c),
                            share,
                        )
                    continue
                for c in range(channels):
                    y[to + c] = T(0)
                for r in range(r0, r1):
                    for s in range(s0, s1):
                        f = i * a[A.x_sample_stride] + (top + r) * a[A.x_row_stride] + (left + s) * a[A.x_pixel_stride]
                        for c in range(channels):
                            y[to + c] += x[f + c]
                share = T(1) / T((r1 - r0) * (s1 - s0))
                for c in range(channels):
                    y[to + c] *= share


def spatial_sum(p, a, n):
    """y [n, channels] = sum over the pixels of x [n, height, width, channels]."""
    for i in range(n):
        for c in range(0, a[A.channels], LANES):
            x, y = p[P.x] + (i * a[A.x_sample_stride] + c) * SIZE, p[P.y] + (i * a[A.y_sample_stride] + c) * SIZE
            x_row, x_pixel = a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
            sum_of_window((x, x_row, x_pixel, a[A.height], a[A.width], y, a[A.channels] - c), 1.0)


def avgpool_grad(p, a, n):
    """dx [n, height, width, channels] = sum over the windows that hold a pixel of dy / pixels of the window."""
    dy, dx = at(p[P.dy]), at(p[P.dx])
    height, width, channels, out_h, out_w = a[A.height], a[A.width], a[A.channels], a[A.out_height], a[A.out_width]
    for i in range(n):
        for h in range(height):
            for w in range(width):
                to = i * a[A.dx_sample_stride] + h * a[A.dx_row_stride] + w * a[A.dx_pixel_stride]
                for c in range(channels):
                    dx[to + c] = T(0)
        for oh in range(out_h):
            for ow in range(out_w):
                f = i * a[A.dy_sample_stride] + oh * a[A.dy_row_stride] + ow * a[A.dy_pixel_stride]
                top, left = oh * a[A.stride_height] - a[A.padding_height], ow * a[A.stride_width] - a[A.padding_width]
                r0, r1 = max(0, -top), min(a[A.kernel_height], height - top)
                s0, s1 = max(0, -left), min(a[A.kernel_width], width - left)
                share = T(1) / T((r1 - r0) * (s1 - s0))
                for r in range(r0, r1):
                    for s in range(s0, s1):
                        to = i * a[A.dx_sample_stride] + (top + r) * a[A.dx_row_stride]
                        to += (left + s) * a[A.dx_pixel_stride]
                        for c in range(channels):
                            dx[to + c] += dy[f + c] * share


def _register() -> None:
    """Register the kernels, those of 2x2 windows also for at most ``POOL_NARROW`` channels.

    There vectors have 8 lanes: nearly every load of 16 lanes would straddle two cache lines. Variants with the word
    ``values`` record no indices.
    """
    machine = host()
    register(maxpool_grad, avgpool_grad)
    sums = tuple(make_sum_of_window(machine, bits) for bits in (32, 64))
    both = tuple(lanes_of(machine, bits) for bits in (32, 64))
    register(avgpool, spatial_sum, sum_of_window=sums, LANES=both)
    for bits, types in TYPES.items():
        wide = lanes_of(machine, bits)
        for suffix, indexed in (("", True), (".values", False)):
            best = make_best_of_window(machine, bits, wide, indexed)
            common = {**types, "INDEX": indexed}
            kernel(f"maxpool{suffix}.f{bits}", LANES=wide, best_of_window=best, **common)(maxpool)
            for narrow, lanes in (("", wide), (".narrow", min(POOL_NARROW, wide))):
                four = make_best_of_four(machine, bits, lanes, indexed)
                kernel(f"maxpool.2x2{narrow}{suffix}.f{bits}", LANES=lanes, best_of_four=four, **common)(maxpool__2x2)
        for narrow, lanes in (("", wide), (".narrow", min(POOL_NARROW, wide))):
            spread = make_spread_to_four(machine, bits, lanes)
            name = f"maxpool_grad.2x2{narrow}.f{bits}"
            kernel(name, **types, LANES=lanes, spread_to_four=spread)(maxpool_grad__2x2)


_register()
