"""Kernels that touch each number once or a few times: activations, sums, copies, dropout. Strides are in elements."""

from __future__ import annotations

from ._jit import as_float, i64_at, kernel
from .activate import FUNCTIONS, HIGH, LOW, TYPES, clip

# Bound for each element type by register(): how to read an address, the type, its bytes, and loops of activations.
P = A = at = T = SIZE = activate = forward = backward = None


def fill(p, a, n):
    """y [elements] = value."""
    y, value = at(p[P.y]), T(as_float(a[A.value]))
    for i in range(a[A.elements]):
        y[i] = value


def fill_pixels(p, a, n):
    """y = 0 in the pixels of a grid [n, height, width, channels]."""
    y = at(p[P.y])
    for i in range(n):
        for h in range(a[A.height]):
            for w in range(a[A.width]):
                start = i * a[A.y_sample_stride] + h * a[A.y_row_stride] + w * a[A.y_pixel_stride]
                for c in range(a[A.channels]):
                    y[start + c] = T(0)


def clear_halo(p, a, n):
    """Write zeros around images; y begins at the first element of a halo.

    Zero are halo_rows rows above and below ``height`` rows, and halo_elements elements at both ends of each row.
    """
    y = at(p[P.y])
    image, row, height, above = a[A.y_sample_stride], a[A.y_row_stride], a[A.height], a[A.halo_rows]
    left = a[A.halo_elements]
    for i in range(n):
        start = i * image
        for k in range(above * row):
            y[start + k] = T(0)
        for h in range(height):
            first = start + (above + h) * row
            last = first + row - left
            for k in range(left):
                y[first + k] = T(0)
            for k in range(left):
                y[last + k] = T(0)
        start += (above + height) * row
        for k in range(above * row):
            y[start + k] = T(0)


def activation(p, a, n):
    """y = f(x), [n, rows, row_elements]."""
    code, param = a[A.activation], T(as_float(a[A.parameter]))
    for i in range(n):
        for h in range(a[A.rows]):
            x = p[P.x] + (i * a[A.x_sample_stride] + h * a[A.x_row_stride]) * SIZE
            y = p[P.y] + (i * a[A.y_sample_stride] + h * a[A.y_row_stride]) * SIZE
            forward(code, (x, y, a[A.row_elements], param))


def activation_grad(p, a, n):
    """dx = dy * slope(v), [n, rows, row_elements]; v is the output or the input of f."""
    code, param = a[A.activation], T(as_float(a[A.parameter]))
    for i in range(n):
        for h in range(a[A.rows]):
            dy = p[P.dy] + (i * a[A.dy_sample_stride] + h * a[A.dy_row_stride]) * SIZE
            v = p[P.v] + (i * a[A.v_sample_stride] + h * a[A.v_row_stride]) * SIZE
            dx = p[P.dx] + (i * a[A.dx_sample_stride] + h * a[A.dx_row_stride]) * SIZE
            backward(code, (dy, v, dx, a[A.row_elements], param))


def relu_grad__addend(p, a, n):
    """dx = (dy + addend) * relu'(y), [n, rows, row_elements]."""
    dy, y, other, dx = at(p[P.dy]), at(p[P.y]), at(p[P.addend]), at(p[P.dx])
    for i in range(n):
        for h in range(a[A.rows]):
            d, f = i * a[A.dy_sample_stride] + h * a[A.dy_row_stride], i * a[A.y_sample_stride] + h * a[A.y_row_stride]
            g = i * a[A.addend_sample_stride] + h * a[A.addend_row_stride]
            to = i * a[A.dx_sample_stride] + h * a[A.dx_row_stride]
            for k in range(a[A.row_elements]):
                dx[to + k] = (dy[d + k] + other[g + k]) * (T(1) if y[f + k] > T(0) else T(0))


def add(p, a, n):
    """y = f(x + z), [n, rows, row_elements]."""
    x, z, y = at(p[P.x]), at(p[P.z]), at(p[P.y])
    code, param = a[A.activation], T(as_float(a[A.parameter]))
    low, high = T(LOW[code]), T(HIGH[code])
    for i in range(n):
        for h in range(a[A.rows]):
            f, g = i * a[A.x_sample_stride] + h * a[A.x_row_stride], i * a[A.z_sample_stride] + h * a[A.z_row_stride]
            to = i * a[A.y_sample_stride] + h * a[A.y_row_stride]
            for k in range(a[A.row_elements]):
                y[to + k] = clip(x[f + k] + z[g + k], low, high)
            if FUNCTIONS >> code & 1:
                activate(code, (p[P.y] + to * SIZE, a[A.row_elements], param))


def multiply(p, a, n):
    """y = x * z, [n, rows, row_elements]."""
    x, z, y = at(p[P.x]), at(p[P.z]), at(p[P.y])
    for i in range(n):
        for h in range(a[A.rows]):
            f, g = i * a[A.x_sample_stride] + h * a[A.x_row_stride], i * a[A.z_sample_stride] + h * a[A.z_row_stride]
            to = i * a[A.y_sample_stride] + h * a[A.y_row_stride]
            for k in range(a[A.row_elements]):
                y[to + k] = x[f + k] * z[g + k]


def scale_channels(p, a, n):
    """y = x * z, x and y [n, height, width, channels], z [n, channels]."""
    x, z, y = at(p[P.x]), at(p[P.z]), at(p[P.y])
    for i in range(n):
        g = i * a[A.z_sample_stride]
        for h in range(a[A.height]):
            for w in range(a[A.width]):
                f = i * a[A.x_sample_stride] + h * a[A.x_row_stride] + w * a[A.x_pixel_stride]
                to = i * a[A.y_sample_stride] + h * a[A.y_row_stride] + w * a[A.y_pixel_stride]
                for c in range(a[A.channels]):
                    y[to + c] = x[f + c] * z[g + c]


def copy(p, a, n):
    """y = x, [n, height, width, channels]."""
    x, y = at(p[P.x]), at(p[P.y])
    for i in range(n):
        for h in range(a[A.height]):
            for w in range(a[A.width]):
                f = i * a[A.x_sample_stride] + h * a[A.x_row_stride] + w * a[A.x_pixel_stride]
                to = i * a[A.y_sample_stride] + h * a[A.y_row_stride] + w * a[A.y_pixel_stride]
                for c in range(a[A.channels]):
                    y[to + c] = x[f + c]


def join(p, a, n):
    """y [start : start + elements] = x [elements], once for all samples."""
    x, y = at(p[P.x]), at(p[P.y])
    for k in range(a[A.elements]):
        y[a[A.start] + k] = x[k]


def random_drop(p, a, n):
    """y = x / (1 - rate) or, with probability ``rate``, 0; [n, rows, row_elements].

    The random number of element j is a mix of the sample's key, the stream and j (the finaliser of SplitMix64, Steele
    et al. 2014), so the mask depends on nothing else.
    """
    x, keys, y = at(p[P.x]), i64_at(p[P.keys]), at(p[P.y])
    rate = as_float(a[A.rate])
    keep = T(1.0 / (1.0 - rate))
    limit = rate * 9007199254740992.0  # 2^53
    for i in range(n):
        key = keys[i * a[A.keys_sample_stride]] ^ (a[A.stream] * 0x632BE59BD9B4E019)
        j = 0
        for h in range(a[A.rows]):
            f, to = i * a[A.x_sample_stride] + h * a[A.x_row_stride], i * a[A.y_sample_stride] + h * a[A.y_row_stride]
            for k in range(a[A.row_elements]):
                z = key + (j + k + 1) * -7046029254386353131
                z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
                z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
                z = z ^ ((z >> 31) & 0x1FFFFFFFF)
                u = (z >> 11) & 0x1FFFFFFFFFFFFF
                y[to + k] = x[f + k] * keep if u >= limit else T(0)
            j += a[A.row_elements]


def register(*templates, flags=(), **more):
    """Register templates for both element types; ``more`` adds bindings as pairs (float32, float64).

    ``flags`` are globals that are True in this variant, and part of its name: bn_backward_apply.masked.addend.f32.
    """
    for side, (bits, common) in enumerate(TYPES.items()):
        extra = {name: pair[side] for name, pair in more.items()} | dict.fromkeys(flags, True)
        for template in templates:
            name = ".".join((template.__name__.replace("__", "."), *map(str.lower, flags)))
            kernel(f"{name}.f{bits}", **{**common, **extra})(template)


register(
    fill, fill_pixels, clear_halo, activation, activation_grad, relu_grad__addend, add, multiply, scale_channels, copy,
    join, random_drop,
)  # fmt: skip
