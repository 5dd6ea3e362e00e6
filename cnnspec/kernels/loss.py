"""Softmax and losses, vector by vector. Sums are in float64, as those of many numbers would lose digits in float32."""

from __future__ import annotations

import math

from ..abi import STEP
from ._jit import as_float, i32_at
from .pointwise import register

P = A = at = T = exp = None
ONEHOT = False  # True in the kernels with this word in their name


def softmax(p, a, n):
    """y = exp(x) / sum(exp(x)), vectors [n, features]."""
    x, y = at(p[P.x]), at(p[P.y])
    for i in range(n):
        f, to = i * a[A.x_sample_stride], i * a[A.y_sample_stride]
        high = x[f]
        for k in range(1, a[A.features]):
            high = max(high, x[f + k])
        total = 0.0
        for k in range(a[A.features]):
            y[to + k] = exp(x[f + k] - high)
            total += float(y[to + k])
        share = T(1.0 / total)
        for k in range(a[A.features]):
            y[to + k] *= share


def softmax_grad(p, a, n):
    """dx = y * (dy - sum(dy * y)), vectors [n, features]."""
    dy, y, dx = at(p[P.dy]), at(p[P.y]), at(p[P.dx])
    for i in range(n):
        d, f, to = i * a[A.dy_sample_stride], i * a[A.y_sample_stride], i * a[A.dx_sample_stride]
        total = 0.0
        for k in range(a[A.features]):
            total += float(dy[d + k]) * float(y[f + k])
        for k in range(a[A.features]):
            dx[to + k] = T(float(y[f + k]) * (float(dy[d + k]) - total))


def cross_entropy(p, a, n):
    """loss [n] of logits [n, features] and class numbers ``label`` [n].

    correct [n] is 1 where the largest logit is the label's. loss = -(1 - smooth) log p[label] - smooth * mean(log p),
    with p = softmax(logits).
    """
    x, label, loss, correct = at(p[P.logits]), i32_at(p[P.label]), at(p[P.loss]), at(p[P.correct])
    features, smooth = a[A.features], as_float(a[A.smooth])
    for i in range(n):
        f, best = i * a[A.logits_sample_stride], 0
        for k in range(1, features):
            if x[f + k] > x[f + best]:
                best = k
        high = float(x[f + best])
        total, mean = 0.0, 0.0
        for k in range(features):
            total += math.exp(float(x[f + k]) - high)
            mean += float(x[f + k]) - high
        t = label[i * a[A.label_sample_stride]]
        log_total = math.log(total)
        at_label = log_total - (float(x[f + t]) - high)
        # A logit that is not finite makes the mean so, and zero times that is NaN: it shows also without smoothing.
        loss[i * a[A.loss_sample_stride]] = T((1.0 - smooth) * at_label + smooth * (log_total - mean / features))
        correct[i * a[A.correct_sample_stride]] = T(1) if best == t else T(0)


def cross_entropy_grad(p, a, n):
    """dx = (softmax(logits) - q) / batch, [n, features]; q = smooth / features, and 1 - smooth more at the label."""
    x, label, step, dx = at(p[P.logits]), i32_at(p[P.label]), at(p[P.step]), at(p[P.dx])
    features, smooth = a[A.features], as_float(a[A.smooth])
    share = float(step[STEP.inverse_batch])
    for i in range(n):
        f, to = i * a[A.logits_sample_stride], i * a[A.dx_sample_stride]
        high = float(x[f])
        for k in range(1, features):
            high = max(high, float(x[f + k]))
        total = 0.0
        for k in range(features):
            total += math.exp(float(x[f + k]) - high)
        t = label[i * a[A.label_sample_stride]]
        for k in range(features):
            q = smooth / features + (1.0 - smooth if k == t else 0.0)
            dx[to + k] = T((math.exp(float(x[f + k]) - high) / total - q) * share)


def mse(p, a, n):
    """loss [n] = mean over features of (y - target)^2; correct [n] is 1 where both are largest at one place.

    target: [n, features]; with ONEHOT class numbers [n], which stand for 1 at their place and 0 elsewhere.
    """
    y, target, loss = at(p[P.y]), i32_at(p[P.target]) if ONEHOT else at(p[P.target]), at(p[P.loss])
    correct = at(p[P.correct])
    for i in range(n):
        f, g, best, wanted = i * a[A.y_sample_stride], i * a[A.target_sample_stride], 0, 0
        if ONEHOT:
            wanted = target[g]
        total = 0.0
        for k in range(a[A.features]):
            value = float(y[f + k])
            d = value - ((1.0 if k == wanted else 0.0) if ONEHOT else float(target[g + k]))
            total += d * d
            best = k if y[f + k] > y[f + best] else best
            if not ONEHOT:
                wanted = k if target[g + k] > target[g + wanted] else wanted
        loss[i * a[A.loss_sample_stride]] = T(total / a[A.features])
        correct[i * a[A.correct_sample_stride]] = T(1) if best == wanted else T(0)


def mse_grad(p, a, n):
    """dx = 2 (y - target) / features / batch, [n, features]. target: as in mse."""
    y, target, step, dx = at(p[P.y]), i32_at(p[P.target]) if ONEHOT else at(p[P.target]), at(p[P.step]), at(p[P.dx])
    share = T(2) * step[STEP.inverse_batch] / T(a[A.features])
    for i in range(n):
        label = target[i * a[A.target_sample_stride]] if ONEHOT else 0
        for k in range(a[A.features]):
            value = y[i * a[A.y_sample_stride] + k]
            aim = (T(1) if k == label else T(0)) if ONEHOT else target[i * a[A.target_sample_stride] + k]
            dx[i * a[A.dx_sample_stride] + k] = (value - aim) * share


def finish_loss(p, a, n):
    """totals [2] = sum of loss [n] and sum of correct [n], in the samples' order."""
    loss, correct, totals = at(p[P.loss]), at(p[P.correct]), at(p[P.totals])
    total, hits = 0.0, 0.0
    for i in range(n):
        total += float(loss[i * a[A.loss_sample_stride]])
        hits += float(correct[i * a[A.correct_sample_stride]])
    totals[0] = T(total)
    totals[1] = T(hits)


register(softmax, softmax_grad, cross_entropy, cross_entropy_grad, mse, mse_grad, finish_loss)
register(mse, mse_grad, flags=("ONEHOT",))
