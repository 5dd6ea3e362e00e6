"""Optimizers: one sweep over a block of a parameter, which adds up the shards' gradients on the way.

g, the gradient of a block w [elements], is the sum of ``copies`` arrays, one of each shard, copy_stride elements apart.
A loss in ``totals`` that is not finite leaves everything as it is, so that the step can be examined.

A factor near 1 is not taken as a float32: of 0.999999 that would be off by one percent of what is missing to 1, and so
would all that decays by it. It is taken as the sum of two, and what is missing is computed in float64.
"""

from __future__ import annotations

import math

from numba import njit

from ..abi import STEP
from ._jit import as_float, stack
from .pointwise import register

CHUNK = 256  # numbers whose gradients are added up before they are used: loops of one thing each, which make vectors

P = A = at = T = stacked = None


@njit(inline="always")
def add_copies(g, first, some, copies, far, sums):
    """sums = some numbers of the gradient from ``first`` on, over the shards' copies in order."""
    for i in range(some):
        sums[i] = g[first + i]
    for s in range(1, copies):
        for i in range(some):
            sums[i] += g[s * far + first + i]


@njit(inline="always")
def decayed(x, factor, rest, more):
    """factor x + rest x + more: rest is what rounding took from the factor."""
    return factor * x + (rest * x + more)


def sgd(p, a, n):
    """v = momentum * v + g + decay * w; w -= lr * v, or with nesterov lr * (g + decay * w + momentum * v)."""
    g, w, v, totals, step = at(p[P.gradients]), at(p[P.w]), at(p[P.velocity]), at(p[P.totals]), at(p[P.step])
    count, far, copies, nesterov = a[A.elements], a[A.copy_stride], a[A.copies], a[A.nesterov] != 0
    momentum, decay, lr = T(as_float(a[A.momentum])), T(as_float(a[A.decay])), step[STEP.lr]
    rest = T(as_float(a[A.momentum]) - float(momentum))
    if not math.isfinite(totals[0]):
        return
    sums = at(stacked())
    for first in range(0, count, CHUNK):
        some = min(CHUNK, count - first)
        add_copies(g, first, some, copies, far, sums)
        if nesterov:
            for i in range(some):
                total = sums[i] + decay * w[first + i]
                velocity = decayed(v[first + i], momentum, rest, total)
                v[first + i] = velocity
                w[first + i] -= lr * (total + momentum * velocity)
        else:
            for i in range(some):
                velocity = decayed(v[first + i], momentum, rest, sums[i] + decay * w[first + i])
                v[first + i] = velocity
                w[first + i] -= lr * velocity


def adam(p, a, n):
    """mean and square follow g and g^2; w -= lr * (mean / c1) / (sqrt(square / c2) + eps) (Kingma & Ba 2015).

    c1 = 1 - beta1^t and c2 = 1 - beta2^t are the optimizer's own numbers of ``step``. decay is added to the gradient,
    or taken from w where ``decoupled`` is not 0 (Loshchilov & Hutter 2019).
    """
    g, w, m, v, totals = at(p[P.gradients]), at(p[P.w]), at(p[P.mean]), at(p[P.square]), at(p[P.totals])
    step = at(p[P.step])
    count, far, copies, decoupled = a[A.elements], a[A.copy_stride], a[A.copies], a[A.decoupled] != 0
    beta1, beta2, eps = T(as_float(a[A.beta1])), T(as_float(a[A.beta2])), T(as_float(a[A.eps]))
    decay = T(as_float(a[A.decay]))
    rest1, rest2 = T(as_float(a[A.beta1]) - float(beta1)), T(as_float(a[A.beta2]) - float(beta2))
    share1, share2 = T(1.0 - as_float(a[A.beta1])), T(1.0 - as_float(a[A.beta2]))
    lr, correction1, correction2 = step[STEP.lr], step[STEP.own], step[STEP.own + 1]
    if not math.isfinite(totals[0]):
        return
    sums = at(stacked())
    outside, inside = (decay, T(0)) if decoupled else (T(0), decay)
    for first in range(0, count, CHUNK):
        some = min(CHUNK, count - first)
        add_copies(g, first, some, copies, far, sums)
        for i in range(some):
            old = w[first + i]
            total = sums[i] + inside * old
            mean = decayed(m[first + i], beta1, rest1, share1 * total)
            square = decayed(v[first + i], beta2, rest2, share2 * (total * total))
            m[first + i] = mean
            v[first + i] = square
            old -= lr * outside * old
            w[first + i] = old - lr * (mean / correction1) / (T(math.sqrt(square / correction2)) + eps)


register(sgd, adam, stacked=(stack(CHUNK), stack(CHUNK)))
