"""Batch normalisation: statistics, the affine map, and their gradients.

Statistics are exact where sums of squares are not: each group's mean and squared deviations are found in two sweeps
over data still in the cache, and merged by the formula of Chan, Golub & LeVeque 1983. A partial buffer holds mean,
squared deviations and the count of one shard: [size], [size], [1].
"""

from __future__ import annotations

import math

from ._jit import as_float
from .pointwise import register

at = T = apply = None

LANES = 16  # channels at a time, whose sums stay in registers


def batch_stats(p, a, n):
    """p = x, partial; a = height, width, channels, x strides, size."""
    x, part = at(p[0]), at(p[1])
    height, width, channels, size = a[0], a[1], a[2], a[6]
    count = T(n * height * width)
    before = part[2 * size]
    after = before + count
    for c in range(channels):
        total = T(0)
        for i in range(n):
            for h in range(height):
                f = i * a[3] + h * a[4] + c
                row = T(0)
                for w in range(width):
                    row += x[f + w * a[5]]
                total += row
        mean = total / count
        squares = T(0)
        for i in range(n):
            for h in range(height):
                f = i * a[3] + h * a[4] + c
                row = T(0)
                for w in range(width):
                    d = x[f + w * a[5]] - mean
                    row += d * d
                squares += row
        delta = mean - part[c]
        part[c] += delta * count / after
        part[size + c] += squares + delta * delta * before * count / after
    part[2 * size] = after


def merge_stats(p, a, n):
    """p = partials, mean, var; a = channels, size, elements of a partial, shards. Merged in the shards' order."""
    part, mean, var = at(p[0]), at(p[1]), at(p[2])
    size, stride = a[1], a[2]
    for c in range(a[0]):
        m, squares, count = 0.0, 0.0, 0.0
        for s in range(a[3]):
            more = float(part[s * stride + 2 * size])
            if more > 0:
                delta = float(part[s * stride + c]) - m
                squares += float(part[s * stride + size + c]) + delta * delta * count * more / (count + more)
                m += delta * more / (count + more)
                count += more
        mean[c] = T(m)
        var[c] = T(squares / count)


def running_update(p, a, n):
    """p = batch, running; a = channels, pixels of an image (0 for means), momentum; n samples."""
    batch, running = at(p[0]), at(p[1])
    momentum, pixels = as_float(a[2]), a[1]
    factor = 1.0
    if pixels > 0 and n * pixels > 1:
        factor = n * pixels / (n * pixels - 1.0)
    for c in range(a[0]):
        running[c] = T((1.0 - momentum) * running[c] + momentum * factor * batch[c])


def normalize_affine(p, a, n):
    """p = mean, var, weight, bias, affine; affine = scale [size], shift [size]; a = channels, size, eps."""
    mean, var, weight, bias, out = at(p[0]), at(p[1]), at(p[2]), at(p[3]), at(p[4])
    for c in range(a[0]):
        scale = weight[c] / T(math.sqrt(var[c] + as_float(a[2])))
        out[c] = scale
        out[a[1] + c] = bias[c] - mean[c] * scale


def affine(p, a, n):
    """p = x, affine, y; y = f(x * scale + shift): height, width, channels, x and y strides, size, code, parameter."""
    x, k, y = at(p[0]), at(p[1]), at(p[2])
    size, code, param = a[9], a[10], T(as_float(a[11]))
    for i in range(n):
        for h in range(a[0]):
            for w in range(a[1]):
                f, to = i * a[3] + h * a[4] + w * a[5], i * a[6] + h * a[7] + w * a[8]
                for c in range(a[2]):
                    y[to + c] = apply(code, x[f + c] * k[c] + k[size + c], param)


def normalize_sums(p, a, n):
    """p = dy, x, mean, partial; partial += sum of dy [size], of dy * (x - mean) [size]: strides of dy and x, size."""
    dy, x, mean, part = at(p[0]), at(p[1]), at(p[2]), at(p[3])
    size = a[9]
    for c in range(a[2]):
        first, second = T(0), T(0)
        for i in range(n):
            for h in range(a[0]):
                d, f = i * a[3] + h * a[4] + c, i * a[6] + h * a[7] + c
                row1, row2 = T(0), T(0)
                for w in range(a[1]):
                    g = dy[d + w * a[5]]
                    row1 += g
                    row2 += g * (x[f + w * a[8]] - mean[c])
                first += row1
                second += row2
        part[c] += first
        part[size + c] += second


def merge_sums(p, a, n):
    """p = partials, var, dbias, dweight; a = channels, size, elements of a partial, shards, eps."""
    part, var, dbias, dweight = at(p[0]), at(p[1]), at(p[2]), at(p[3])
    for c in range(a[0]):
        first, second = 0.0, 0.0
        for s in range(a[3]):
            first += float(part[s * a[2] + c])
            second += float(part[s * a[2] + a[1] + c])
        dbias[c] = T(first)
        dweight[c] = T(second / math.sqrt(var[c] + as_float(a[4])))


def normalize_factors(p, a, n):
    """p = mean, var, weight, dbias, dweight, factors; dx = A dy + B x + C: a = channels, size, pixels, eps."""
    mean, var, weight, dbias, dweight, out = at(p[0]), at(p[1]), at(p[2]), at(p[3]), at(p[4]), at(p[5])
    size, count = a[1], float(n * a[2])
    for c in range(a[0]):
        r = 1.0 / math.sqrt(var[c] + as_float(a[3]))
        scale = weight[c] * r
        slope = -scale * r * dweight[c] / count
        out[c] = T(scale)
        out[size + c] = T(slope)
        out[2 * size + c] = T(-scale * dbias[c] / count - slope * mean[c])


def affine2(p, a, n):
    """p = dy, x, factors, dx; dx = A dy + B x + C: height, width, channels, strides of dy, x, dx, size."""
    dy, x, k, dx = at(p[0]), at(p[1]), at(p[2]), at(p[3])
    size = a[12]
    for i in range(n):
        for h in range(a[0]):
            for w in range(a[1]):
                d = i * a[3] + h * a[4] + w * a[5]
                f = i * a[6] + h * a[7] + w * a[8]
                to = i * a[9] + h * a[10] + w * a[11]
                for c in range(a[2]):
                    dx[to + c] = k[c] * dy[d + c] + k[size + c] * x[f + c] + k[2 * size + c]


def fold_batchnorm(p, a, n):
    """p = w, b, weight, bias, mean, var, w', b': a = groups, panels, rows, width, panel, group, channels, eps."""
    w, b, weight, bias, mean, var = at(p[0]), at(p[1]), at(p[2]), at(p[3]), at(p[4]), at(p[5])
    w2, b2 = at(p[6]), at(p[7])
    groups, rows, width, panel, group, channels = a[0], a[2], a[3], a[4], a[5], a[6]
    for g in range(groups):
        for k in range(channels):
            c = g * channels + k
            scale = weight[c] / T(math.sqrt(var[c] + as_float(a[7])))
            start = g * group + k // width * panel + k % width
            for i in range(rows):
                w2[start + i * width] = w[start + i * width] * scale
            b2[c] = (b[c] - mean[c]) * scale + bias[c]


def fold_batchnorm__nobias(p, a, n):
    """The same for filters without a bias: p = w, weight, bias, mean, var, w', b'."""
    w, weight, bias, mean, var = at(p[0]), at(p[1]), at(p[2]), at(p[3]), at(p[4])
    w2, b2 = at(p[5]), at(p[6])
    groups, rows, width, panel, group, channels = a[0], a[2], a[3], a[4], a[5], a[6]
    for g in range(groups):
        for k in range(channels):
            c = g * channels + k
            scale = weight[c] / T(math.sqrt(var[c] + as_float(a[7])))
            start = g * group + k // width * panel + k % width
            for i in range(rows):
                w2[start + i * width] = w[start + i * width] * scale
            b2[c] = bias[c] - mean[c] * scale


register(
    batch_stats, merge_stats, running_update, normalize_affine, affine, normalize_sums, merge_sums, normalize_factors,
    affine2, fold_batchnorm, fold_batchnorm__nobias,
)  # fmt: skip
