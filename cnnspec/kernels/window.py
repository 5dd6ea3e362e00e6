"""Depthwise convolution by filters of up to 3x3: taps are held in registers, and each input is loaded once a row.

The general kernel (kernels/depthwise.py) loads one number of x for each product. Here four neighbouring outputs go
through the columns that they see; a column gives to all outputs whose window it is in, and rows follow one another
while the taps are there:

    for each row r and column j of the window:  x = load(r, j);  sum[m] += x * tap[r, j - m*stride]  for all m that fit

The weight gradient is the same with the roles of outputs and taps exchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ..abi.constants import DEPTHWISE_STRIDES, DEPTHWISE_TAPS
from ._jit import I64, as_float, ask_to_write, kernel
from .activate import FUNCTIONS, TYPES
from .machine import Machine, host
from .sweep import lanes_of
from .vectors import Access, on_vectors

PIXELS = 4  # outputs at a time
BLOCK, AREA = 16, 64  # pixels of a row, and of some rows, that go through all channels: the cache holds what they see

# Bound for each variant by kernel().
P = A = T = SIZE = LANES = STRIDE = outputs = gradients = activate = None


def make_outputs(machine: Machine, bits: int, taps: tuple[int, int], stride: int) -> Any:
    """Return the intrinsic ``outputs(numbers, low, high)``: a stretch of some rows of y, a vector of channels.

    ``row``, ``column``: bytes from tap to tap of x, and so from pixel to pixel of a row; ``x_down``: from one row of
    outputs to what the next one sees; ``down``, ``following``: from output to output. What lies ``ahead`` of an output
    is asked for: it will be written soon.
    """
    lanes = lanes_of(machine, bits)
    rows, columns = taps

    @on_vectors(machine, bits, lanes, floats=2)
    def outputs(
        vec, x, x_down, row, column, w, w_row, w_column, bias, y, down, following, ahead, height, count, valid,
        low, high,
    ):  # fmt: skip
        builder = vec.builder
        lows, highs = vec.spread(low), vec.spread(high)

        def convolve(io: Access) -> None:
            shift = io.load(bias)
            filters = {
                (r, s): io.load(_at(builder, w, r, w_row, s, w_column)) for r in range(rows) for s in range(columns)
            }

            def some(h: Any, first: Any, pixels: int) -> None:
                corner = builder.add(x, builder.mul(h, x_down))
                corner = builder.add(corner, builder.mul(first, builder.mul(column, I64(stride))))
                sums = [shift] * pixels
                for r in range(rows):
                    for j in range((pixels - 1) * stride + columns):
                        value = io.load(_at(builder, corner, r, row, j, column))
                        for m in range(pixels):
                            if 0 <= j - m * stride < columns:
                                sums[m] = vec.fma(value, filters[r, j - m * stride], sums[m])
                target = builder.add(y, builder.add(builder.mul(h, down), builder.mul(first, following)))
                for m in range(pixels):
                    at = builder.add(target, builder.mul(following, I64(m)))
                    ask_to_write(builder, builder.add(at, ahead))
                    io.store(vec.clamp(sums[m], lows, highs), at)

            _each_output(builder, stride, height, count, some)

        vec.either(valid, 1, convolve)

    return outputs


def make_gradients(machine: Machine, bits: int, taps: tuple[int, int], stride: int) -> Any:
    """Return the intrinsic ``gradients(numbers)``: what a stretch of some rows adds to the filter's gradient."""
    lanes = lanes_of(machine, bits)
    rows, columns = taps

    @on_vectors(machine, bits, lanes)
    def gradients(vec, x, x_down, row, column, dw, w_row, w_column, dy, down, following, height, count, valid):
        builder = vec.builder
        sums = {(r, s): cgutils.alloca_once(builder, vec.type) for r in range(rows) for s in range(columns)}

        def multiply(io: Access) -> None:
            for at in sums.values():
                builder.store(ir.Constant(vec.type, [0.0] * lanes), at)

            def some(h: Any, first: Any, pixels: int) -> None:
                corner = builder.add(x, builder.mul(h, x_down))
                corner = builder.add(corner, builder.mul(first, builder.mul(column, I64(stride))))
                source = builder.add(dy, builder.add(builder.mul(h, down), builder.mul(first, following)))
                dys = [io.load(builder.add(source, builder.mul(following, I64(m)))) for m in range(pixels)]
                for r in range(rows):
                    for j in range((pixels - 1) * stride + columns):
                        value = io.load(_at(builder, corner, r, row, j, column))
                        for m in range(pixels):
                            if 0 <= j - m * stride < columns:
                                at = sums[r, j - m * stride]
                                builder.store(vec.fma(value, dys[m], builder.load(at)), at)

            _each_output(builder, stride, height, count, some)
            for (r, s), at in sums.items():
                target = _at(builder, dw, r, w_row, s, w_column)
                io.store(builder.fadd(io.load(target), builder.load(at)), target)

        vec.either(valid, 1, multiply)

    return gradients


def _at(builder: ir.IRBuilder, base: Any, r: int, row: Any, s: int, column: Any) -> Any:
    """The address r rows and s columns from another."""
    return builder.add(base, builder.add(builder.mul(row, I64(r)), builder.mul(column, I64(s))))


def _each_output(
    builder: ir.IRBuilder, stride: int, height: Any, count: Any, some: Callable[[Any, Any, int], None]
) -> None:
    """Emit some(row, first, pixels) for outputs of each row by fours, and for the rest.

    The addresses of a stride's inputs fill the registers: there a call has one row, and its rest goes one by one.
    """
    fours = builder.sdiv(count, I64(PIXELS))
    done = builder.mul(fours, I64(PIXELS))
    rest = builder.sub(count, done)

    def by_fours(row: Any) -> None:
        with cgutils.for_range(builder, fours) as i:
            some(row, builder.mul(i.index, I64(PIXELS)), PIXELS)

    if stride > 1:
        by_fours(I64(0))
        with cgutils.for_range(builder, rest) as i:
            some(I64(0), builder.add(done, i.index), 1)
        return
    with cgutils.for_range(builder, height) as row:
        by_fours(row.index)
        for pixels in range(1, PIXELS):
            with builder.if_then(builder.icmp_signed("==", rest, I64(pixels))):
                some(row.index, done, pixels)


def depthwise_window(p, a, n):
    """depthwise for filters of one size, without dilation of columns; outputs lie STRIDE columns of x apart."""
    height, width, channels = a[A.out_height], a[A.out_width], a[A.channels]
    x_step, y_row, y_step = a[A.x_pixel_stride] * SIZE, a[A.y_row_stride] * SIZE, a[A.y_pixel_stride] * SIZE
    row, column, w_row = a[A.tap_row_stride] * SIZE, a[A.tap_pixel_stride] * SIZE, a[A.w_row_stride] * SIZE
    w_column = a[A.w_pixel_stride] * SIZE
    code, param, low, high = a[A.activation], T(as_float(a[A.parameter])), T(as_float(a[A.low])), T(as_float(a[A.high]))
    across = min(width, BLOCK)
    down = min(height, AREA // across) if STRIDE == 1 else 1
    ahead = across * y_step if across < width else down * y_row
    for i in range(n):
        for h in range(0, height, down):
            x = p[P.x] + (i * a[A.x_sample_stride] + h * a[A.x_row_stride]) * SIZE
            y = p[P.y] + (i * a[A.y_sample_stride] + h * a[A.y_row_stride]) * SIZE
            some = min(down, height - h)
            for v in range(0, width, across):
                for c in range(0, channels, LANES):
                    at_c = c * SIZE
                    outputs((
                        x + v * x_step + at_c, a[A.x_row_stride] * SIZE, row, column, p[P.w] + at_c, w_row, w_column,
                        p[P.bias] + at_c,
                        y + v * y_step + at_c, y_row, y_step, ahead, some, min(across, width - v), channels - c,
                    ), low, high)  # fmt: skip
            if FUNCTIONS >> code & 1:
                for r in range(some):
                    activate(code, (y + r * y_row, width * channels, param))


def depthwise_weight_grad_window(p, a, n):
    """depthwise_weight_grad for filters of one size without dilation, and columns of stride STRIDE."""
    height, width, channels = a[A.out_height], a[A.out_width], a[A.channels]
    x_sample, x_row, x_pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    y_sample, y_row, y_pixel = a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE
    w_row, w_column = a[A.kernel_width] * channels * SIZE, channels * SIZE
    across = min(width, BLOCK)
    down = min(height, AREA // across) if STRIDE == 1 else 1
    for i in range(n):
        for h in range(0, height, down):
            x = p[P.x] + i * x_sample + h * a[A.stride_height] * x_row
            dy = p[P.dy] + i * y_sample + h * y_row
            for v in range(0, width, across):
                for c in range(0, channels, LANES):
                    at_c = c * SIZE
                    gradients((
                        x + v * a[A.stride_width] * x_pixel + at_c, a[A.stride_height] * x_row, x_row, x_pixel,
                        p[P.dw] + at_c, w_row, w_column,
                        dy + v * y_pixel + at_c, y_row, y_pixel, min(down, height - h), min(across, width - v),
                        channels - c,
                    ))  # fmt: skip


def _register() -> None:
    machine = host()
    for bits, types in TYPES.items():
        for taps in [(r, s) for r in DEPTHWISE_TAPS for s in DEPTHWISE_TAPS]:
            for stride in DEPTHWISE_STRIDES:
                common = {**types, "LANES": lanes_of(machine, bits), "STRIDE": stride}
                name = f"{taps[0]}x{taps[1]}.{stride}.f{bits}"
                made = make_outputs(machine, bits, taps, stride)
                kernel(f"depthwise_window.{name}", outputs=made, **common)(depthwise_window)
                made = make_gradients(machine, bits, taps, stride)
                kernel(f"depthwise_weight_grad_window.{name}", gradients=made, **common)(depthwise_weight_grad_window)


_register()
