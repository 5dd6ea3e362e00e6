"""Depthwise convolution in vectors of channels: four neighbouring outputs share the loads of a filter.

The input gradient is the same kernel on dy, with the filter walked backwards (its strides are negative), one call for
each phase of the stride. The weight gradient is a sweep for each tap.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils

from ._jit import I64, as_float
from .activate import FUNCTIONS
from .machine import Machine, host
from .pointwise import register
from .sweep import lanes_of, line_of, make_sweep
from .vectors import Access, on_vectors

PIXELS = 4  # outputs at a time

# Bound for each element type by register().
P = A = T = SIZE = LANES = LINE = four = products = activate = None


def make_four(machine: Machine, bits: int) -> Any:
    """Return the intrinsic ``four(numbers, low, high)``: PIXELS outputs of one vector of channels.

    ``step`` and ``following``: bytes from one output's input, and from one output, to the next. ``row``, ``column``:
    from tap to tap. Outputs from ``count`` on repeat the last one.
    """
    lanes = lanes_of(machine, bits)

    @on_vectors(machine, bits, lanes, floats=2)
    def four(
        vec, x, step, row, column, w, w_row, w_column, rows, columns, bias, y, following, count, valid, low, high
    ):  # fmt: skip
        builder = vec.builder
        last = builder.sub(count, I64(1))
        places = []
        for m in range(PIXELS):
            inside = builder.icmp_signed("<", I64(m), count)
            places.append(builder.select(inside, I64(m), last))
        starts = [builder.add(x, builder.mul(place, step)) for place in places]
        sums = [cgutils.alloca_once(builder, vec.type) for _ in range(PIXELS)]
        lows, highs = vec.spread(low), vec.spread(high)

        def convolve(io: Access) -> None:
            shift = io.load(bias)
            for at in sums:
                builder.store(shift, at)
            with cgutils.for_range(builder, rows) as r:
                x_row, filter_row = builder.mul(r.index, row), builder.add(w, builder.mul(r.index, w_row))
                with cgutils.for_range(builder, columns) as s:
                    offset = builder.add(x_row, builder.mul(s.index, column))
                    tap = io.load(builder.add(filter_row, builder.mul(s.index, w_column)))
                    for start, at in zip(starts, sums, strict=True):
                        builder.store(vec.fma(io.load(builder.add(start, offset)), tap, builder.load(at)), at)
            for place, at in zip(places, sums, strict=True):
                target = builder.add(y, builder.mul(place, following))
                io.store(vec.clamp(builder.load(at), lows, highs), target)

        vec.either(valid, 1, convolve)

    return four


def depthwise(p, a, n):
    """y [n, out_height, out_width, channels] = act(x * w + bias), channel by channel.

    w: [kernel_height, kernel_width, channels]. x_row_stride and x_pixel_stride lead from the window of one output to
    the next, tap strides from tap to tap of a window. The strides of w are negative where the filter is walked
    backwards, for input gradients.
    """
    height, width, channels = a[A.out_height], a[A.out_width], a[A.channels]
    x_step, y_step = a[A.x_pixel_stride] * SIZE, a[A.y_pixel_stride] * SIZE
    row, column, w_row = a[A.tap_row_stride] * SIZE, a[A.tap_pixel_stride] * SIZE, a[A.w_row_stride] * SIZE
    w_column = a[A.w_pixel_stride] * SIZE
    code, param, low, high = a[A.activation], T(as_float(a[A.parameter])), T(as_float(a[A.low])), T(as_float(a[A.high]))
    for i in range(n):
        for h in range(height):
            x = p[P.x] + (i * a[A.x_sample_stride] + h * a[A.x_row_stride]) * SIZE
            y = p[P.y] + (i * a[A.y_sample_stride] + h * a[A.y_row_stride]) * SIZE
            for v in range(0, width, PIXELS):
                for c in range(0, channels, LANES):
                    at_c = c * SIZE
                    four((
                        x + v * x_step + at_c, x_step, row, column, p[P.w] + at_c, w_row, w_column,
                        a[A.kernel_height], a[A.kernel_width],
                        p[P.bias] + at_c, y + v * y_step + at_c, y_step, width - v, channels - c,
                    ), low, high)  # fmt: skip
            if FUNCTIONS >> code & 1:
                activate(code, (y, width * channels, param))


def depthwise_weight_grad(p, a, n):
    """dw [kernel_height, kernel_width, channels] += sum of x * dy over samples and output pixels, by channel."""
    channels = a[A.channels]
    x_row, x_pixel = a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    for r in range(a[A.kernel_height]):
        for s in range(a[A.kernel_width]):
            for c in range(0, channels, LINE):
                at_c = c * SIZE
                products((
                    n, a[A.out_height], a[A.out_width], min(LINE, channels - c),
                    p[P.x] + at_c + r * a[A.dilation_height] * x_row + s * a[A.dilation_width] * x_pixel,
                    a[A.x_sample_stride] * SIZE, a[A.stride_height] * x_row, a[A.stride_width] * x_pixel,
                    p[P.dy] + at_c,
                    a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE,
                    p[P.dw] + at_c + (r * a[A.kernel_width] + s) * channels * SIZE,
                ), T(0), T(0))  # fmt: skip


def _product(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
    return [], [v.builder.fmul(xs[0], xs[1])]


register(
    depthwise, depthwise_weight_grad,
    LANES=(lanes_of(host(), 32), lanes_of(host(), 64)), LINE=(line_of(32), line_of(64)),
    four=(make_four(host(), 32), make_four(host(), 64)),
    products=(make_sweep(host(), 32, 2, 0, 0, 1, _product), make_sweep(host(), 64, 2, 0, 0, 1, _product)),
)  # fmt: skip
