"""Pooling and its gradients. Windows are cut at the border, so padding is never read.

Arguments: height, width, channels of the image, height and width of the result, window, stride, padding (rows and
columns each), then image, row and pixel stride of each operand, all in elements.
"""

from __future__ import annotations

from ._jit import u8_at
from .pointwise import register

at = T = None


def maxpool(p, a, n):
    """p = x, y, index (a byte: which place of the window, row by row). A NaN wins, as it must be seen."""
    x, y, index = at(p[0]), at(p[1]), u8_at(p[2])
    height, width, channels, out_h, out_w = a[0], a[1], a[2], a[3], a[4]
    for i in range(n):
        for oh in range(out_h):
            for ow in range(out_w):
                to = i * a[14] + oh * a[15] + ow * a[16]
                mark = i * a[17] + oh * a[18] + ow * a[19]
                top, left = oh * a[7] - a[9], ow * a[8] - a[10]
                first = True
                for r in range(max(0, -top), min(a[5], height - top)):
                    for s in range(max(0, -left), min(a[6], width - left)):
                        f = i * a[11] + (top + r) * a[12] + (left + s) * a[13]
                        place = r * a[6] + s
                        if first:
                            for c in range(channels):
                                y[to + c] = x[f + c]
                                index[mark + c] = place
                            first = False
                        else:
                            for c in range(channels):
                                v, best = x[f + c], y[to + c]
                                wins = (v > best) | (v != v)
                                y[to + c] = v if wins else best
                                index[mark + c] = place if wins else index[mark + c]


def maxpool_grad(p, a, n):
    """p = dy, index, dx."""
    dy, index, dx = at(p[0]), u8_at(p[1]), at(p[2])
    height, width, channels, out_h, out_w = a[0], a[1], a[2], a[3], a[4]
    for i in range(n):
        for h in range(height):
            for w in range(width):
                to = i * a[17] + h * a[18] + w * a[19]
                for c in range(channels):
                    dx[to + c] = T(0)
        for oh in range(out_h):
            for ow in range(out_w):
                f = i * a[11] + oh * a[12] + ow * a[13]
                mark = i * a[14] + oh * a[15] + ow * a[16]
                top, left = oh * a[7] - a[9], ow * a[8] - a[10]
                for r in range(max(0, -top), min(a[5], height - top)):
                    for s in range(max(0, -left), min(a[6], width - left)):
                        to = i * a[17] + (top + r) * a[18] + (left + s) * a[19]
                        place = r * a[6] + s
                        for c in range(channels):
                            dx[to + c] += dy[f + c] if index[mark + c] == place else T(0)


def avgpool(p, a, n):
    """p = x, y; each window is divided by the pixels it holds."""
    x, y = at(p[0]), at(p[1])
    height, width, channels, out_h, out_w = a[0], a[1], a[2], a[3], a[4]
    for i in range(n):
        for oh in range(out_h):
            for ow in range(out_w):
                to = i * a[14] + oh * a[15] + ow * a[16]
                top, left = oh * a[7] - a[9], ow * a[8] - a[10]
                r0, r1 = max(0, -top), min(a[5], height - top)
                s0, s1 = max(0, -left), min(a[6], width - left)
                for c in range(channels):
                    y[to + c] = T(0)
                for r in range(r0, r1):
                    for s in range(s0, s1):
                        f = i * a[11] + (top + r) * a[12] + (left + s) * a[13]
                        for c in range(channels):
                            y[to + c] += x[f + c]
                share = T(1) / T((r1 - r0) * (s1 - s0))
                for c in range(channels):
                    y[to + c] *= share


def avgpool_grad(p, a, n):
    """p = dy, dx."""
    dy, dx = at(p[0]), at(p[1])
    height, width, channels, out_h, out_w = a[0], a[1], a[2], a[3], a[4]
    for i in range(n):
        for h in range(height):
            for w in range(width):
                to = i * a[14] + h * a[15] + w * a[16]
                for c in range(channels):
                    dx[to + c] = T(0)
        for oh in range(out_h):
            for ow in range(out_w):
                f = i * a[11] + oh * a[12] + ow * a[13]
                top, left = oh * a[7] - a[9], ow * a[8] - a[10]
                r0, r1 = max(0, -top), min(a[5], height - top)
                s0, s1 = max(0, -left), min(a[6], width - left)
                share = T(1) / T((r1 - r0) * (s1 - s0))
                for r in range(r0, r1):
                    for s in range(s0, s1):
                        to = i * a[14] + (top + r) * a[15] + (left + s) * a[16]
                        for c in range(channels):
                            dx[to + c] += dy[f + c] * share


register(maxpool, maxpool_grad, avgpool, avgpool_grad)
