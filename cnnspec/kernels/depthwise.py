"""Depthwise convolution, channel beside channel in vectors."""

from __future__ import annotations

from ._jit import as_float
from .pointwise import register

at = T = apply = None


def depthwise(p, a, n):
    """p = x, w, b, y; a = height, width, channels of y, x strides, y strides, kernel, stride, dilation, bias, code."""
    x, w, b, y = at(p[0]), at(p[1]), at(p[2]), at(p[3])
    channels, code, param = a[2], a[16], T(as_float(a[17]))
    for i in range(n):
        for h in range(a[0]):
            for v in range(a[1]):
                to = i * a[6] + h * a[7] + v * a[8]
                if a[15] != 0:
                    for c in range(channels):
                        y[to + c] = b[c]
                else:
                    for c in range(channels):
                        y[to + c] = T(0)
                for r in range(a[9]):
                    for s in range(a[10]):
                        f = i * a[3] + (h * a[11] + r * a[13]) * a[4] + (v * a[12] + s * a[14]) * a[5]
                        tap = (r * a[10] + s) * channels
                        for c in range(channels):
                            y[to + c] += x[f + c] * w[tap + c]
                if code != 0:
                    for c in range(channels):
                        y[to + c] = apply(code, y[to + c], param)


def depthwise_input_grad(p, a, n):
    """p = dy, w, dx; a = sizes of dx, height and width of dy, dy, dx strides, kernel, stride, pad, dilation."""
    dy, w, dx = at(p[0]), at(p[1]), at(p[2])
    channels = a[2]
    for i in range(n):
        for h in range(a[0]):
            for v in range(a[1]):
                to = i * a[8] + h * a[9] + v * a[10]
                for c in range(channels):
                    dx[to + c] = T(0)
                for r in range(a[11]):
                    up = h + a[15] - r * a[17]
                    if up < 0 or up % a[13] != 0 or up // a[13] >= a[3]:
                        continue
                    for s in range(a[12]):
                        left = v + a[16] - s * a[18]
                        if left < 0 or left % a[14] != 0 or left // a[14] >= a[4]:
                            continue
                        f = i * a[5] + up // a[13] * a[6] + left // a[14] * a[7]
                        tap = (r * a[12] + s) * channels
                        for c in range(channels):
                            dx[to + c] += dy[f + c] * w[tap + c]


def depthwise_weight_grad(p, a, n):
    """p = x, dy, dw; a = height, width, channels of dy, x strides, dy strides, kernel, stride, dilation."""
    x, dy, dw = at(p[0]), at(p[1]), at(p[2])
    channels = a[2]
    for i in range(n):
        for h in range(a[0]):
            for v in range(a[1]):
                d = i * a[6] + h * a[7] + v * a[8]
                for r in range(a[9]):
                    for s in range(a[10]):
                        f = i * a[3] + (h * a[11] + r * a[13]) * a[4] + (v * a[12] + s * a[14]) * a[5]
                        tap = (r * a[10] + s) * channels
                        for c in range(channels):
                            dw[tap + c] += x[f + c] * dy[d + c]


register(depthwise, depthwise_input_grad, depthwise_weight_grad)
