"""Optimizers: one sweep over a block of a parameter, which adds up the shards' gradients on the way.

p = gradients, parameter, states..., totals, step; a = block, elements of one copy, copies, hyperparameters...
A loss that is not finite leaves everything as it is, so that the step can be examined.
"""

from __future__ import annotations

import math

from ._jit import as_float
from .pointwise import register

at = T = None


def sgd(p, a, n):
    """States: velocity. Hyperparameters: momentum, nesterov, decay. v = m v + g + decay w; w -= lr (g + m v or v)."""
    g, w, v, totals, step = at(p[0]), at(p[1]), at(p[2]), at(p[3]), at(p[4])
    momentum, decay, lr = T(as_float(a[3])), T(as_float(a[5])), step[1]
    if not math.isfinite(totals[0]):
        return
    for i in range(a[0]):
        total = g[i]
        for s in range(1, a[2]):
            total += g[s * a[1] + i]
        total += decay * w[i]
        velocity = momentum * v[i] + total
        v[i] = velocity
        w[i] -= lr * (total + momentum * velocity if a[4] != 0 else velocity)


def adam(p, a, n):
    """States: mean, square. Hyperparameters: beta1, beta2, eps, decay, decoupled. step: 1/N, lr, 1 - beta^t (twice)."""
    g, w, m, v, totals, step = at(p[0]), at(p[1]), at(p[2]), at(p[3]), at(p[4]), at(p[5])
    beta1, beta2, eps, decay = T(as_float(a[3])), T(as_float(a[4])), T(as_float(a[5])), T(as_float(a[6]))
    lr, correction1, correction2 = step[1], step[2], step[3]
    if not math.isfinite(totals[0]):
        return
    for i in range(a[0]):
        total = g[i]
        for s in range(1, a[2]):
            total += g[s * a[1] + i]
        old = w[i]
        if a[7] != 0:
            old -= lr * decay * old
        else:
            total += decay * old
        mean = beta1 * m[i] + (T(1) - beta1) * total
        square = beta2 * v[i] + (T(1) - beta2) * total * total
        m[i] = mean
        v[i] = square
        w[i] = old - lr * (mean / correction1) / (T(math.sqrt(square / correction2)) + eps)


register(sgd, adam)
