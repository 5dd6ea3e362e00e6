"""What each layer computes, in plain NumPy float64: the formulas of its docstring, and nothing of our lowering.

A reference takes the op, its inputs [n, ...] and its parameters by name, and returns the output [n, ...].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Arrays = Sequence[np.ndarray]
Reference = Callable[[Any, Arrays, Mapping[str, np.ndarray]], np.ndarray]
REFERENCES: dict[str, Reference] = {}


def reference(name: str) -> Callable[[Reference], Reference]:
    def register(function: Reference) -> Reference:
        REFERENCES[name] = function
        return function

    return register


def windows(x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> np.ndarray:
    """Return every window of a padded image: [n, H_out, W_out, C, kH, kW]."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    reach = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
    all_windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(1, 2))
    return all_windows[:, ::sh, ::sw, :, ::dh, ::dw]


def pads_of(padding: str | tuple[int, int], kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    if isinstance(padding, tuple):
        return padding
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    return reach[0] // 2, reach[1] // 2


def padded(x: np.ndarray, pads: tuple[int, int], value: float = 0.0) -> np.ndarray:
    h, w = pads
    return np.pad(x, ((0, 0), (h, h), (w, w), (0, 0)), constant_values=value)


@reference("conv")
def conv(op: Any, xs: Arrays, params: Mapping[str, np.ndarray], pad_value: float = 0.0) -> np.ndarray:
    pads = pads_of(op.padding, op.kernel_size, op.dilation)
    seen = windows(padded(xs[0], pads, pad_value), op.kernel_size, op.stride, op.dilation)
    weight = params["weight"]
    of_input, of_output = seen.shape[3] // op.groups, weight.shape[3] // op.groups
    parts = []
    for g in range(op.groups):
        x = seen[:, :, :, g * of_input : (g + 1) * of_input]
        w = weight[..., g * of_output : (g + 1) * of_output]
        parts.append(np.einsum("nhwcrs,rsck->nhwk", x, w, optimize=True))
    return np.concatenate(parts, axis=3) + params.get("bias", 0.0)


@reference("depthwise")
def depthwise(op: Any, xs: Arrays, params: Mapping[str, np.ndarray], pad_value: float = 0.0) -> np.ndarray:
    pads = pads_of(op.padding, op.kernel_size, op.dilation)
    seen = windows(padded(xs[0], pads, pad_value), op.kernel_size, op.stride, op.dilation)
    return np.einsum("nhwcrs,rsc->nhwc", seen, params["weight"]) + params.get("bias", 0.0)


@reference("dense")
def dense(op: Any, xs: Arrays, params: Mapping[str, np.ndarray], pad_value: float = 0.0) -> np.ndarray:
    return np.einsum("ni,io->no", xs[0], params["weight"]) + params.get("bias", 0.0)


def pool(op: Any, x: np.ndarray, reduce: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Pool NaN-padded windows with a function that ignores NaN."""
    kernel = op.kernel_size or x.shape[1:3]
    stride = (1, 1) if op.kernel_size is None else op.stride or kernel
    pads = (0, 0) if op.kernel_size is None else pads_of(op.padding, kernel, (1, 1))
    return reduce(windows(padded(x, pads, np.nan), kernel, stride, (1, 1)))


@reference("maxpool")
def maxpool(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return pool(op, xs[0], lambda seen: np.nanmax(seen, axis=(4, 5)))


@reference("avgpool")
def avgpool(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return pool(op, xs[0], lambda seen: np.nanmean(seen, axis=(4, 5)))


@reference("bn")
def bn(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    """Inference: the running statistics."""
    scaled = (xs[0] - params["running_mean"]) / np.sqrt(params["running_var"] + op.eps)
    return params["weight"] * scaled + params["bias"]


def bn_training(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training: output, and what the running mean and variance become."""
    x, m = xs[0], op.momentum
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    mean, var = x.mean(axes), x.var(axes)
    y = params["weight"] * (x - mean) / np.sqrt(var + op.eps) + params["bias"]
    unbiased = var * count / max(1, count - 1)
    return y, (1 - m) * params["running_mean"] + m * mean, (1 - m) * params["running_var"] + m * unbiased


@reference("relu")
def relu(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.where(xs[0] > 0, xs[0], 0.0)


@reference("relu6")
def relu6(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.clip(xs[0], 0.0, 6.0)


@reference("leaky_relu")
def leaky_relu(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.where(xs[0] > 0, xs[0], op.slope * xs[0])


@reference("tanh")
def tanh(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.tanh(xs[0])


def logistic(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


@reference("sigmoid")
def sigmoid(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return logistic(xs[0])


@reference("elu")
def elu(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.where(xs[0] > 0, xs[0], op.alpha * np.expm1(np.minimum(xs[0], 0.0)))


@reference("gelu")
def gelu(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    """Both forms with the tail of their distribution, so that nothing cancels far below 0."""
    if op.approximate == "tanh":
        return xs[0] * logistic(2 * np.sqrt(2 / np.pi) * (xs[0] + 0.044715 * xs[0] ** 3))
    return xs[0] * 0.5 * np.vectorize(math.erfc, otypes=[float])(-xs[0] / math.sqrt(2))


@reference("silu")
def silu(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return xs[0] * logistic(xs[0])


@reference("hardsigmoid")
def hardsigmoid(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.clip(xs[0] + 3, 0.0, 6.0) / 6


@reference("hardswish")
def hardswish(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return xs[0] * np.clip(xs[0] + 3, 0.0, 6.0) / 6


@reference("softmax")
def softmax(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    e = np.exp(xs[0] - xs[0].max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@reference("dropout")
def dropout(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    """Inference: nothing."""
    return xs[0]


@reference("identity")
def identity(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return xs[0]


@reference("flatten")
def flatten(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return xs[0].reshape(len(xs[0]), -1)


@reference("add")
def add(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.sum(xs, axis=0)


@reference("multiply")
def multiply(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return xs[0] * xs[1]


@reference("concat")
def concat(op: Any, xs: Arrays, params: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate(xs, axis=-1)


def cross_entropy(logits: np.ndarray, labels: np.ndarray, smooth: float) -> np.ndarray:
    """Return the loss of each sample, [n]."""
    log_p = logits - logits.max(axis=1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    classes = logits.shape[1]
    q = np.eye(classes)[labels] * (1 - smooth) + smooth / classes
    return -(q * log_p).sum(axis=1)


def mean_squared_error(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the loss of each sample, [n]."""
    return ((y - target) ** 2).mean(axis=1)
