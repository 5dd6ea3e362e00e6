"""Batch normalisation: statistics, the affine map, and their gradients.

Statistics are exact where sums of squares are not: each group's mean and squared deviations are found in two sweeps
over data still in the cache, and merged by the formula of Chan, Golub & LeVeque 1983. A partial buffer holds mean,
squared deviations and the count of one shard: [size], [size], [1].
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite.ir import Constant

from ._jit import as_float, f64_at, stack
from .activate import FUNCTIONS
from .machine import host
from .pointwise import register
from .sweep import line_of, make_sweep

# Bound for each element type by register().
P = A = at = T = SIZE = LINE = add_up = deviations = scale_shift = reduce = apply = activate = stacked = None
ADDEND = MASKED = NOBIAS = False  # True in the kernels with this word in their name
SOME = 8192  # pixels whose mean is taken before they are added to others in float64; few images have more
RUN = 32  # samples that are added up first, where a sample is one pixel


def batch_stats(p, a, n):
    """Merge mean and squared deviations of x [n, height, width, channels] into partial.

    partial: means [padded_channels], squared deviations [padded_channels], and the count of numbers of a channel. A
    first sweep finds the mean, a second the squared deviations.
    """
    part = at(p[P.partial])
    height, width, channels, size = a[A.height], a[A.width], a[A.channels], a[A.padded_channels]
    image, row, pixel = a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE
    count = T(n * height * width)
    before = part[2 * size]
    after = before + count
    images, rows = max(1, SOME // (height * width)), min(height, max(1, SOME // width))
    sums = stacked()
    means = sums + LINE * SIZE
    squares = means + LINE * SIZE
    exact = squares + LINE * SIZE
    total, mean, square, exact_total = at(sums), at(means), at(squares), f64_at(exact)
    for c in range(0, channels, LINE):
        valid = min(LINE, channels - c)
        for k in range(LINE):
            exact_total[k] = 0.0
            square[k] = T(0)
        for i in range(0, n, images):
            for h in range(0, height, rows):
                for k in range(LINE):
                    total[k] = T(0)
                x = p[P.x] + i * image + h * row + c * SIZE
                add_up(
                    (min(images, n - i), min(rows, height - h), width, valid, x, image, row, pixel, sums), T(0), T(0)
                )
                for k in range(LINE):
                    exact_total[k] += float(total[k])
        for k in range(LINE):
            mean[k] = T(exact_total[k] / float(count))
        deviations((n, height, width, valid, p[P.x] + c * SIZE, image, row, pixel, means, squares), T(0), T(0))
        for k in range(valid):
            delta = mean[k] - part[c + k]
            part[c + k] += delta * count / after
            part[size + c + k] += square[k] + delta * delta * before * count / after
    part[2 * size] = after


def merge_stats(p, a, n):
    """mean, var [channels] of the whole batch, from the partials of all shards, merged in the shards' order."""
    part, mean, var = at(p[P.partial]), at(p[P.mean]), at(p[P.var])
    size, stride = a[A.padded_channels], a[A.shard_stride]
    for c in range(a[A.channels]):
        m, squares, count = 0.0, 0.0, 0.0
        for s in range(a[A.shards]):
            more = float(part[s * stride + 2 * size])
            if more > 0:
                delta = float(part[s * stride + c]) - m
                squares += float(part[s * stride + size + c]) + delta * delta * count * more / (count + more)
                m += delta * more / (count + more)
                count += more
        mean[c] = T(m)
        var[c] = T(squares / count)


def running_update(p, a, n):
    """running = (1 - momentum) * running + momentum * batch, [channels].

    batch is a mean where ``pixels`` is 0. Else it is a variance of n * pixels numbers, and made unbiased. Where the
    loss in totals is not finite, running stays as it was, as weights do.
    """
    batch, running, totals = at(p[P.batch]), at(p[P.running]), at(p[P.totals])
    if not math.isfinite(totals[0]):
        return
    momentum, pixels = as_float(a[A.momentum]), a[A.pixels]
    factor = 1.0
    if pixels > 0 and n * pixels > 1:
        factor = n * pixels / (n * pixels - 1.0)
    for c in range(a[A.channels]):
        running[c] = T((1.0 - momentum) * running[c] + momentum * factor * batch[c])


def normalize_affine(p, a, n):
    """scale_shift [2][padded_channels] = weight / sqrt(var + eps) and bias - mean * scale; others are [channels]."""
    mean, var, weight, bias, out = at(p[P.mean]), at(p[P.var]), at(p[P.weight]), at(p[P.bias]), at(p[P.scale_shift])
    for c in range(a[A.channels]):
        scale = weight[c] / T(math.sqrt(var[c] + as_float(a[A.eps])))
        out[c] = scale
        out[a[A.padded_channels] + c] = bias[c] - mean[c] * scale


def affine(p, a, n):
    """y = act(x * scale + shift), images [n, height, width, channels].

    With ADDEND y = x * scale + shift + addend, kept between ``low`` and ``high``.
    """
    code, param = a[A.activation], T(as_float(a[A.parameter]))
    images = (
        n, a[A.height], a[A.width], a[A.channels],
        p[P.x], a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE,
    )  # fmt: skip
    addend = () if not ADDEND else (
        p[P.addend], a[A.addend_sample_stride] * SIZE, a[A.addend_row_stride] * SIZE, a[A.addend_pixel_stride] * SIZE,
    )  # fmt: skip
    scale_shift((
        *images, *addend, p[P.y], a[A.y_sample_stride] * SIZE, a[A.y_row_stride] * SIZE, a[A.y_pixel_stride] * SIZE,
        p[P.scale_shift], p[P.scale_shift] + a[A.padded_channels] * SIZE,
    ), T(as_float(a[A.low])), T(as_float(a[A.high])))  # fmt: skip
    if not ADDEND and FUNCTIONS >> code & 1:
        for i in range(n):
            for h in range(a[A.height]):
                row = p[P.y] + (i * a[A.y_sample_stride] + h * a[A.y_row_stride]) * SIZE
                activate(code, (row, a[A.width] * a[A.channels], param))


def bn_backward_reduce(p, a, n):
    """partial [2][padded_channels] += sums over samples and pixels of dy and of dy * (x - mean).

    dy, x: [n, height, width, channels]. With MASKED dy counts only where 0 < x * scale + shift < bound. With ADDEND
    besides, total = addend + scale * dy [n, height, width, channels] is written in the same sweep.
    """
    size = a[A.padded_channels] * SIZE
    images = (
        n, a[A.height], a[A.width], a[A.channels],
        p[P.dy], a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE,
        p[P.x], a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE,
    )  # fmt: skip
    addend = () if not ADDEND else (
        p[P.addend], a[A.addend_sample_stride] * SIZE, a[A.addend_row_stride] * SIZE, a[A.addend_pixel_stride] * SIZE,
    )  # fmt: skip
    total = () if not ADDEND else (
        p[P.total], a[A.total_sample_stride] * SIZE, a[A.total_row_stride] * SIZE, a[A.total_pixel_stride] * SIZE,
    )  # fmt: skip
    constants = (p[P.mean], p[P.scale_shift], p[P.scale_shift] + size) if MASKED else (p[P.mean],)
    numbers = (*images, *addend, *total, *constants, p[P.partial], p[P.partial] + size)
    reduce(numbers, T(0), T(as_float(a[A.bound])) if MASKED else T(0))


def channel_sum(p, a, n):
    """db [channels] += sum over samples and pixels of dy [n, height, width, channels]."""
    samples, height, width, image = n, a[A.height], a[A.width], a[A.dy_sample_stride] * SIZE
    row, pixel = a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE
    rest = 0
    if height * width == 1:  # samples are the pixels of some rows, and of a shorter one
        samples, height, width, rest = 1, n // RUN, RUN, n % RUN
        row, pixel = RUN * image, image
    if samples * height > 0:
        add_up((samples, height, width, a[A.channels], p[P.dy], image, row, pixel, p[P.db]), T(0), T(0))
    if rest > 0:
        add_up((1, 1, rest, a[A.channels], p[P.dy] + height * row, image, row, pixel, p[P.db]), T(0), T(0))


def bn_backward_merge(p, a, n):
    """dbias, dweight [channels] = the sums of bn_backward_reduce over all shards, in their order.

    Sums of dy * (x - mean) are divided by sqrt(var + eps), so that dweight is the sum of dy times the normalised x.
    """
    part, var, dbias, dweight = at(p[P.partial]), at(p[P.var]), at(p[P.dbias]), at(p[P.dweight])
    for c in range(a[A.channels]):
        first, second = 0.0, 0.0
        for s in range(a[A.shards]):
            first += float(part[s * a[A.shard_stride] + c])
            second += float(part[s * a[A.shard_stride] + a[A.padded_channels] + c])
        dbias[c] = T(first)
        dweight[c] = T(second / math.sqrt(var[c] + as_float(a[A.eps])))


def bn_backward_coefficients(p, a, n):
    """coefficients [3][padded_channels] = A, B, C with dx = A*dy + B*x + C (Ioffe & Szegedy 2015, section 3)."""
    mean, var, weight, dbias, dweight = at(p[P.mean]), at(p[P.var]), at(p[P.weight]), at(p[P.dbias]), at(p[P.dweight])
    out = at(p[P.coefficients])
    size, count = a[A.padded_channels], float(n * a[A.pixels])
    for c in range(a[A.channels]):
        r = 1.0 / math.sqrt(var[c] + as_float(a[A.eps]))
        scale = weight[c] * r
        slope = -scale * r * dweight[c] / count
        out[c] = T(scale)
        out[size + c] = T(slope)
        out[2 * size + c] = T(-scale * dbias[c] / count - slope * mean[c])


def add_coefficients(p, a, n):
    """B and C of coefficients [3][padded_channels] += B and C of ``more``, from its channel ``first`` on."""
    more, out = at(p[P.more]), at(p[P.coefficients])
    for c in range(a[A.channels]):
        out[a[A.padded_channels] + c] += more[a[A.more_padded_channels] + a[A.first] + c]
        out[2 * a[A.padded_channels] + c] += more[2 * a[A.more_padded_channels] + a[A.first] + c]


def bn_backward_apply(p, a, n):
    """dx = A*dy + B*x + C, images [n, height, width, channels]; coefficients [3][padded_channels] hold A, B and C.

    With MASKED dy counts only where 0 < x * scale + shift < bound. With ADDEND addend [n, height, width, channels] is
    added.
    """
    size = a[A.padded_channels] * SIZE
    images = (
        n, a[A.height], a[A.width], a[A.channels],
        p[P.dy], a[A.dy_sample_stride] * SIZE, a[A.dy_row_stride] * SIZE, a[A.dy_pixel_stride] * SIZE,
        p[P.x], a[A.x_sample_stride] * SIZE, a[A.x_row_stride] * SIZE, a[A.x_pixel_stride] * SIZE,
    )  # fmt: skip
    addend = () if not ADDEND else (
        p[P.addend], a[A.addend_sample_stride] * SIZE, a[A.addend_row_stride] * SIZE, a[A.addend_pixel_stride] * SIZE,
    )  # fmt: skip
    made = (p[P.dx], a[A.dx_sample_stride] * SIZE, a[A.dx_row_stride] * SIZE, a[A.dx_pixel_stride] * SIZE)
    mask = (p[P.scale_shift], p[P.scale_shift] + size) if MASKED else ()
    coefficients = p[P.coefficients]
    numbers = (*images, *addend, *made, *mask, coefficients, coefficients + size, coefficients + 2 * size)
    apply(numbers, T(0), T(as_float(a[A.bound])) if MASKED else T(0))


def fold_batchnorm(p, a, n):
    """folded_w = w * scale and folded_b = (b - mean) * scale + bias, with scale = weight / sqrt(var + eps).

    w: [groups][panels][rows][panel_width], ``channels`` filters a group; vectors have one number a filter. With NOBIAS
    b is 0.
    """
    w, weight, bias, mean, var = at(p[P.w]), at(p[P.weight]), at(p[P.bias]), at(p[P.mean]), at(p[P.var])
    w2, b2 = at(p[P.folded_w]), at(p[P.folded_b])
    b = mean if NOBIAS else at(p[P.b])
    groups, rows, width, panel, group = a[A.groups], a[A.rows], a[A.panel_width], a[A.panel_stride], a[A.group_stride]
    channels = a[A.channels]
    for g in range(groups):
        for k in range(channels):
            c = g * channels + k
            scale = weight[c] / T(math.sqrt(var[c] + as_float(a[A.eps])))
            start = g * group + k // width * panel + k % width
            for i in range(rows):
                w2[start + i * width] = w[start + i * width] * scale
            b2[c] = bias[c] - mean[c] * scale if NOBIAS else (b[c] - mean[c]) * scale + bias[c]


def _bodies(bits: int) -> dict[str, Any]:
    """The sweeps of one element type."""
    machine = host()

    def make(inputs: int, constants: int, outputs: int, sums: int, body: Any) -> Any:
        return make_sweep(machine, bits, inputs, constants, outputs, sums, body)

    def deviation(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
        d = v.builder.fsub(xs[0], ks[0])
        return [], [v.builder.fmul(d, d)]

    def scaled(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
        return [v.fma(xs[0], ks[0], ks[1])], []

    def sums(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
        """dy and dy * (x - mean)."""
        return [], [xs[0], v.builder.fmul(xs[0], v.builder.fsub(xs[1], ks[0]))]

    def sums_and_total(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
        """Besides the sums, addend + scale * dy."""
        return [v.fma(xs[0], ks[1], xs[2])], sums(v, xs, ks, bounds)[1]

    def gradient(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
        """A*dy + B*x + C: the coefficients are the last constants."""
        a, b, c = ks[-3:]
        return [v.fma(xs[0], a, v.fma(xs[1], b, c))], []

    def masked(body: Any, scale: int) -> Any:
        """The body, with dy only where the activation passes; y is computed as forward did, so that no bit differs."""

        def passing(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
            y, b = v.fma(xs[1], ks[scale], ks[scale + 1]), v.builder
            inside = b.and_(b.fcmp_ordered(">", y, bounds[0]), b.fcmp_ordered("<", y, bounds[1]))
            dy = b.select(inside, xs[0], Constant(v.type, [0.0] * v.lanes))
            return body(v, [dy, *xs[1:]], ks, bounds)

        return passing

    def added(body: Any) -> Any:
        """The body, plus the last input."""

        def plus(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
            made, terms = body(v, xs[:-1], ks, bounds)
            return [v.builder.fadd(made[0], xs[-1])], terms

        return plus

    def bounded(body: Any) -> Any:
        """The body, kept between bounds."""

        def clamp(v: Any, xs: Any, ks: Any, bounds: Any) -> Any:
            made, terms = body(v, xs, ks, bounds)
            return [v.clamp(made[0], *bounds)], terms

        return clamp

    return {
        "add_up": make(1, 0, 0, 1, lambda v, xs, ks, bounds: ([], [xs[0]])),
        "deviations": make(1, 1, 0, 1, deviation),
        "scale_shift": make(1, 2, 1, 0, bounded(scaled)),
        "scale_shift.ADDEND": make(2, 2, 1, 0, bounded(added(scaled))),
        "reduce": make(2, 1, 0, 2, sums),
        "reduce.MASKED": make(2, 3, 0, 2, masked(sums, 1)),
        "reduce.MASKED.ADDEND": make(3, 3, 1, 2, masked(sums_and_total, 1)),
        "apply": make(2, 3, 1, 0, gradient),
        "apply.MASKED": make(2, 5, 1, 0, masked(gradient, 0)),
        "apply.ADDEND": make(3, 3, 1, 0, added(gradient)),
        "apply.MASKED.ADDEND": make(3, 5, 1, 0, added(masked(gradient, 0))),
    }


def _register() -> None:
    single, double = _bodies(32), _bodies(64)
    sweeps = {name: (single[name], double[name]) for name in single}
    register(
        batch_stats, merge_stats, running_update, normalize_affine, channel_sum, bn_backward_merge,
        bn_backward_coefficients, add_coefficients, LINE=(line_of(32), line_of(64)),
        stacked=(stack(3 * 8 + 16), stack(3 * 8 + 8)), add_up=sweeps["add_up"], deviations=sweeps["deviations"],
    )  # fmt: skip
    register(fold_batchnorm)
    register(fold_batchnorm, flags=("NOBIAS",))
    for addend in ((), ("ADDEND",)):
        register(affine, flags=addend, scale_shift=sweeps[".".join(("scale_shift", *addend))])
        for mask in ((), ("MASKED",)):
            flags = (*mask, *addend)
            register(bn_backward_apply, flags=flags, apply=sweeps[".".join(("apply", *flags))])
    for flags in ((), ("MASKED",), ("MASKED", "ADDEND")):
        register(bn_backward_reduce, flags=flags, reduce=sweeps[".".join(("reduce", *flags))])


_register()
