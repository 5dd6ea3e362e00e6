"""Samples of every layer, as data: good ones with known sizes, bad ones with the words of their refusal, drawn ones.

A layer that is registered without an entry here fails tests/ops/test_every_op.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from cnnspec.ir.fields import Shape
from cnnspec.ir.graph import Op
from cnnspec.ops import LAYERS
from cnnspec.ops.activation import (
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
    Tanh,
)
from cnnspec.ops.conv import Conv, Depthwise
from cnnspec.ops.dropout import Dropout
from cnnspec.ops.linear import Dense
from cnnspec.ops.merge import Add, Concat, Multiply
from cnnspec.ops.norm import BatchNorm
from cnnspec.ops.pool import AvgPool, MaxPool
from cnnspec.ops.reshape import Flatten, Identity

CHANNELS = (1, 3, 5, 6, 10, 16, 24, 33, 64)


@dataclass(frozen=True)
class Good:
    """A layer on inputs of these shapes, and what is known of it from the literature or by hand."""

    op: Op
    inputs: tuple[Shape, ...]
    output: Shape
    params: int = 0  # all arrays, running statistics included
    macs: int = 0


@dataclass(frozen=True)
class Bad:
    """A layer that its inputs do not allow, words of the message, and the field it points at."""

    op: Op
    inputs: tuple[Shape, ...]
    words: str
    at: str = ""


@dataclass(frozen=True)
class Samples:
    good: tuple[Good, ...]
    bad: tuple[Bad, ...]
    drawn: st.SearchStrategy[tuple[Op, tuple[Shape, ...]]]
    numbers: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] = field(
        default=lambda rng, shape: rng.standard_normal(shape)
    )


# ---- numbers that keep away from kinks, where a finite difference has no meaning ---------------------
def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    x = rng.standard_normal(shape)
    return x + 0.1 * np.sign(x)


def away_from_zero_and_six(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    pieces = np.array([[-3.0, -0.1], [0.1, 5.9], [6.1, 9.0]])[rng.integers(0, 3, shape)]
    return pieces[..., 0] + (pieces[..., 1] - pieces[..., 0]) * rng.random(shape)


def away_from_three(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (away_from_zero_and_six(rng, shape) - 3.0) * np.where(rng.random(shape) < 0.5, 1.0, -1.0)


def wide(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 3.0 * rng.standard_normal(shape)


def far_apart(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """No two numbers are near each other, so the largest of a window stays the largest."""
    count = int(np.prod(shape))
    return (0.02 * (rng.permutation(count) - count / 2)).reshape(shape)


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Every channel varies by more than a step of the differences, even where it has two numbers only."""
    sides = np.where(np.arange(int(np.prod(shape[:-1]))) % 2, 2.0, -2.0)
    return rng.uniform(-1, 1, shape) + sides.reshape(*shape[:-1], 1)


# ---- drawn samples ---------------------------------------------------------------------------------
channels = st.sampled_from(CHANNELS)
images = st.tuples(st.integers(1, 7), st.integers(1, 9), channels)
vectors = st.tuples(st.integers(1, 70))


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw: st.DrawFn, cls: type[Op]) -> tuple[Op, tuple[Shape, ...]]:
    kernel, stride, dilation = draw(pairs(1, 4)), draw(pairs(1, 3)), draw(pairs(1, 3))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    paddings: list[Any] = [(0, 0), draw(pairs(0, 4))]
    if all(r % 2 for r in reach):
        paddings.append("same")
    padding = draw(st.sampled_from(paddings))
    pads = [r // 2 for r in reach] if padding == "same" else padding
    h, w = (draw(st.integers(max(1, r - 2 * p), max(1, r - 2 * p) + 6)) for r, p in zip(reach, pads, strict=True))
    bias = draw(st.booleans())
    c_in, c_out, groups = draw(channels), draw(channels), 1
    if cls is Depthwise:
        return Depthwise(kernel, stride, padding, dilation, bias), ((h, w, c_in),)
    if draw(st.booleans()):
        groups = draw(st.sampled_from((2, 3, 4, 8)))
        c_in, c_out = (groups * draw(st.integers(1, 20 // groups)) for _ in range(2))
    return Conv(c_out, kernel, stride, padding, dilation, groups, bias), ((h, w, c_in),)


@st.composite
def pools(draw: st.DrawFn, cls: type[Op]) -> tuple[Op, tuple[Shape, ...]]:
    if cls is AvgPool and draw(st.integers(0, 3)) == 0:
        return AvgPool(None), (draw(images),)
    if cls is MaxPool and draw(st.integers(0, 3)) == 0:  # has kernels of its own
        h, w = draw(pairs(1, 4))
        return MaxPool((2, 2)), ((2 * h, 2 * w, draw(channels)),)
    kernel = draw(pairs(1, 4))
    stride = draw(st.one_of(st.none(), pairs(1, 5)))
    paddings: list[Any] = [(0, 0), tuple(draw(st.integers(0, k // 2)) for k in kernel)]
    if all(k % 2 for k in kernel):
        paddings.append("same")
    padding = draw(st.sampled_from(paddings))
    pads = [k // 2 for k in kernel] if padding == "same" else padding
    h, w = (draw(st.integers(max(1, k - 2 * p), max(1, k - 2 * p) + 7)) for k, p in zip(kernel, pads, strict=True))
    return cls(kernel, stride, padding), ((h, w, draw(channels)),)


@st.composite
def merges(draw: st.DrawFn, cls: type[Op]) -> tuple[Op, tuple[Shape, ...]]:
    shape = draw(st.one_of(images, vectors))
    if cls is Multiply:
        scales = (1, 1, shape[-1])
        other = scales if len(shape) == 3 and draw(st.booleans()) else shape
        return Multiply(), (shape, other) if draw(st.booleans()) else (other, shape)
    rest = [shape] * draw(st.integers(1, 3))
    if cls is Concat:
        rest = [(*x[:-1], draw(channels)) for x in rest]
    return cls(), (shape, *rest)


@st.composite
def elementwise(draw: st.DrawFn, op: st.SearchStrategy[Op]) -> tuple[Op, tuple[Shape, ...]]:
    return draw(op), (draw(st.one_of(images, vectors)),)


def plain(cls: type[Op], *values: Any) -> st.SearchStrategy[tuple[Op, tuple[Shape, ...]]]:
    return elementwise(st.sampled_from([cls(v) for v in values]) if values else st.just(cls()))


@st.composite
def denses(draw: st.DrawFn) -> tuple[Op, tuple[Shape, ...]]:
    units = draw(st.sampled_from((*CHANNELS, 7, 70, 100)))
    return Dense(units, draw(st.booleans())), (draw(vectors),)


SAMPLES: dict[str, Samples] = {
    "conv": Samples(
        good=(
            Good(Conv(64, (7, 7), (2, 2), bias=False), ((224, 224, 3),), (112, 112, 64), 9_408, 118_013_952),
            Good(Conv(6, (5, 5)), ((28, 28, 1),), (28, 28, 6), 156, 117_600),
            Good(Conv(16, (5, 5), padding=(0, 0)), ((14, 14, 6),), (10, 10, 16), 2_416, 240_000),
            Good(Conv(8, (3, 3), groups=4), ((5, 4, 12),), (5, 4, 8), 224, 4_320),
            Good(Conv(2, (3, 3), dilation=(2, 2)), ((5, 5, 1),), (5, 5, 2), 20, 450),
            Good(Conv(3, (2, 4), (1, 2), (1, 0)), ((2, 4, 2),), (3, 1, 3), 51, 144),
        ),
        bad=(
            Bad(Conv(8, (3, 3)), ((10,),), "needs an image"),
            Bad(Conv(8, (3, 3), groups=3), ((5, 5, 9),), "groups=3 does not divide the 8 output channels", "groups"),
            Bad(Conv(9, (3, 3), groups=3), ((5, 5, 8),), "groups=3 does not divide the 8 input channels", "groups"),
            Bad(Conv(8, (2, 3)), ((5, 5, 1),), "pad=same needs an odd kernel, but its height is 2", "kernel_size"),
            Bad(Conv(8, (3, 4)), ((5, 5, 1),), "pad=same needs an odd kernel, but its width is 4", "kernel_size"),
            Bad(Conv(8, (5, 5), padding=(0, 0)), ((4, 9, 1),), "larger than its input: height 5 on 4", "kernel_size"),
            Bad(
                Conv(8, (3, 3), padding=(0, 1), dilation=(1, 4)), ((3, 6, 1),), "width 3 (dilated to 9)", "kernel_size"
            ),
        ),
        drawn=convolutions(Conv),
    ),
    "depthwise": Samples(
        good=(
            Good(Depthwise((3, 3), bias=False), ((112, 112, 32),), (112, 112, 32), 288, 3_612_672),
            Good(Depthwise((3, 3), (2, 2)), ((7, 9, 5),), (4, 5, 5), 50, 900),
            Good(Depthwise((2, 2), padding=(0, 0)), ((2, 2, 1),), (1, 1, 1), 5, 4),
        ),
        bad=(
            Bad(Depthwise((3, 3)), ((10,),), "needs an image"),
            Bad(Depthwise((4, 3)), ((9, 9, 2),), "pad=same needs an odd kernel", "kernel_size"),
            Bad(Depthwise((3, 3), padding=(0, 0)), ((9, 2, 2),), "width 3 on 2", "kernel_size"),
        ),
        drawn=convolutions(Depthwise),
    ),
    "dense": Samples(
        good=(
            Good(Dense(120), ((400,),), (120,), 48_120, 48_000),
            Good(Dense(1000), ((512,),), (1000,), 513_000, 512_000),
            Good(Dense(1, bias=False), ((1,),), (1,), 1, 1),
        ),
        bad=(Bad(Dense(10), ((5, 4, 16),), "needs a flat vector, but gets an image of 5x4x16"),),
        drawn=denses(),
    ),
    "maxpool": Samples(
        good=(
            Good(MaxPool((2, 2)), ((28, 28, 6),), (14, 14, 6)),
            Good(MaxPool((3, 3), (2, 2), "same"), ((112, 112, 64),), (56, 56, 64)),
            Good(MaxPool((2, 3)), ((5, 7, 3),), (2, 2, 3)),
            Good(MaxPool((16, 16)), ((16, 16, 1),), (1, 1, 1)),
        ),
        bad=(
            Bad(MaxPool((2, 2)), ((10,),), "needs an image"),
            Bad(MaxPool((2, 2), padding=(2, 0)), ((8, 8, 1),), "more than half the window", "padding"),
            Bad(MaxPool((17, 16)), ((20, 20, 1),), "holds 272 pixels", "kernel_size"),
            Bad(MaxPool((3, 3)), ((2, 9, 1),), "height 3 on 2", "kernel_size"),
        ),
        drawn=pools(MaxPool),
        numbers=far_apart,
    ),
    "avgpool": Samples(
        good=(
            Good(AvgPool(None), ((7, 5, 512),), (1, 1, 512)),
            Good(AvgPool((2, 2)), ((28, 28, 6),), (14, 14, 6)),
            Good(AvgPool((3, 3), (2, 2), (1, 1)), ((6, 9, 4),), (3, 5, 4)),
        ),
        bad=(
            Bad(AvgPool(None), ((10,),), "needs an image"),
            Bad(AvgPool((3, 3), padding=(0, 2)), ((8, 8, 1),), "more than half the window", "padding"),
            Bad(AvgPool((9, 9)), ((8, 9, 1),), "height 9 on 8", "kernel_size"),
        ),
        drawn=pools(AvgPool),
    ),
    "bn": Samples(
        good=(
            Good(BatchNorm(), ((8, 8, 64),), (8, 8, 64), 256),
            Good(BatchNorm(eps=1e-3, momentum=0.01), ((10,),), (10,), 40),
        ),
        bad=(),
        drawn=elementwise(st.builds(BatchNorm, st.sampled_from((1e-5, 1e-3, 0.1)), st.sampled_from((0.1, 0.0, 1.0)))),
        numbers=spread,
    ),
    "relu": Samples((Good(Relu(), ((4, 5, 3),), (4, 5, 3)),), (), plain(Relu), away_from_zero),
    "relu6": Samples((Good(Relu6(), ((9,),), (9,)),), (), plain(Relu6), away_from_zero_and_six),
    "leaky_relu": Samples(
        (Good(LeakyRelu(0.2), ((4, 5, 3),), (4, 5, 3)),),
        (),
        plain(LeakyRelu, 0.01, 0.2, 0.0, 1.0),
        away_from_zero,
    ),
    "tanh": Samples((Good(Tanh(), ((4, 5, 3),), (4, 5, 3)),), (), plain(Tanh)),
    "sigmoid": Samples((Good(Sigmoid(), ((4, 5, 3),), (4, 5, 3)),), (), plain(Sigmoid)),
    "elu": Samples(
        (Good(Elu(), ((4, 5, 3),), (4, 5, 3)), Good(Elu(0.3), ((9,),), (9,))),
        (),
        plain(Elu, 1.0, 0.3, 0.0, 2.0),
        away_from_zero,
    ),
    "gelu": Samples(
        (Good(Gelu(), ((4, 5, 3),), (4, 5, 3)), Good(Gelu("tanh"), ((9,),), (9,))),
        (),
        plain(Gelu, "none", "tanh"),
        wide,
    ),
    "silu": Samples((Good(Silu(), ((4, 5, 3),), (4, 5, 3)),), (), plain(Silu), wide),
    "hardsigmoid": Samples((Good(HardSigmoid(), ((9,),), (9,)),), (), plain(HardSigmoid), away_from_three),
    "hardswish": Samples((Good(HardSwish(), ((9,),), (9,)),), (), plain(HardSwish), away_from_three),
    "softmax": Samples(
        good=(Good(Softmax(), ((10,),), (10,)),),
        bad=(Bad(Softmax(), ((1, 1, 10),), "needs a flat vector"),),
        drawn=vectors.map(lambda x: (Softmax(), (x,))),
    ),
    "dropout": Samples((Good(Dropout(0.3), ((4, 5, 3),), (4, 5, 3)),), (), plain(Dropout, 0.0, 0.3, 0.9)),
    "flatten": Samples((Good(Flatten(), ((5, 4, 16),), (320,)),), (), plain(Flatten)),
    "identity": Samples((Good(Identity(), ((5, 4, 16),), (5, 4, 16)),), (), plain(Identity)),
    "add": Samples(
        good=(Good(Add(), ((4, 5, 3), (4, 5, 3), (4, 5, 3)), (4, 5, 3)),),
        bad=(
            Bad(Add(), ((4, 5, 3), (4, 5, 3), (4, 5, 2)), "branch 1 makes 4x5x3 and branch 3 4x5x2"),
            Bad(Add(), ((4, 5, 3), (60,)), "branch 1 makes 4x5x3 and branch 2 60"),
        ),
        drawn=merges(Add),
    ),
    "multiply": Samples(
        good=(
            Good(Multiply(), ((4, 5, 3), (1, 1, 3)), (4, 5, 3)),
            Good(Multiply(), ((1, 1, 3), (4, 5, 3)), (4, 5, 3)),
            Good(Multiply(), ((7,), (7,)), (7,)),
        ),
        bad=(
            Bad(Multiply(), ((4, 5, 3), (4, 5, 3), (4, 5, 3)), "takes two branches, but gets 3"),
            Bad(Multiply(), ((4, 5, 3), (1, 1, 4)), "4x5x3 and 1x1x4"),
            Bad(Multiply(), ((4, 5, 3), (1, 5, 3)), "4x5x3 and 1x5x3"),
            Bad(Multiply(), ((4, 5, 3), (3,)), "4x5x3 and 3"),
        ),
        drawn=merges(Multiply),
    ),
    "concat": Samples(
        good=(
            Good(Concat(), ((4, 5, 3), (4, 5, 8), (4, 5, 1)), (4, 5, 12)),
            Good(Concat(), ((7,), (2,)), (9,)),
        ),
        bad=(
            Bad(Concat(), ((4, 5, 3), (4, 4, 3)), "branch 1 makes 4x5x3 and branch 2 4x4x3"),
            Bad(Concat(), ((4, 5, 3), (3,)), "branch 1 makes 4x5x3 and branch 2 3"),
        ),
        drawn=merges(Concat),
    ),
}

# What training mode does otherwise than inference; everything else is one function of its input.
IN_TRAINING_ONLY_TOGETHER = {"bn"}  # its output depends on all samples of the batch
RANDOM_IN_TRAINING = {"dropout"}

assert set(SAMPLES) - set(LAYERS) == set(), "samples of layers that do not exist"
