"""Convolutions of very few channels on tiles of neighbouring rows: values, weight gradients, and the rule."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from activations import CLAMPS, activate
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import REFERENCES
from running import BATCH, Run, distance, layer_graph, with_gradients

from cnnspec.lower.compile import compile_plan
from cnnspec.ops.conv import Conv

laws = settings(max_examples=30, derandomize=True, database=None)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, tuple[int, int, int]]:
    """Draw a convolution that meets the rule forward; its weight gradient meets its own where the filter is small."""
    kernel, stride = draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), draw(st.sampled_from((1, 2)))
    c_in = draw(st.sampled_from((1, 2, 3) if stride == 2 else (1, 2, 3, 4, 6)))
    pads = tuple(draw(st.integers(0, k)) for k in kernel)
    out_h, out_w = draw(st.integers(1, 4)), draw(st.integers(8, 40))
    sizes = [
        max(1, (o - 1) * stride + k - 2 * p + draw(st.integers(0, stride - 1)))
        for o, k, p in zip((out_h, out_w), kernel, pads, strict=True)
    ]
    activation = draw(st.sampled_from(CLAMPS))
    op = Conv(draw(st.integers(1, 8)), kernel, (stride, stride), pads, bias=draw(st.booleans()), activation=activation)
    return op, (sizes[0], sizes[1], c_in)


def kernels(op: Conv, shape: tuple[int, int, int]) -> set[str]:
    graph = with_gradients(layer_graph(op, [shape]))
    return {name.split(".")[0] for name in compile_plan(graph, batch=2).kernels}


@laws
@given(drawn=convolutions(), n=st.integers(1, BATCH), seed=st.integers(0, 2**32 - 1))
def test_narrow_is_convolution(drawn: tuple[Conv, tuple[int, int, int]], n: int, seed: int) -> None:
    """Forward is the reference. It is linear in the weight, so the reference of any direction tells the gradient."""
    op, shape = drawn
    assert "conv2d_narrow" in kernels(op, shape)
    rng = np.random.default_rng(seed)
    y_shape = op.infer(shape)
    target = rng.standard_normal((n, int(np.prod(y_shape))))
    arrays = {
        "x0": rng.standard_normal((n, *shape)),
        "target": target,
        **{p.name: rng.standard_normal(p.shape) for p in op.params(shape)},
    }
    z = REFERENCES["conv"](op, [arrays["x0"]], arrays)
    y = activate(op.activation, z)
    dz = 2 * (y - target.reshape(y.shape)) / target.size * (y == z)
    direction = rng.standard_normal(arrays["weight"].shape)
    wanted = (dz * REFERENCES["conv"](op, [arrays["x0"]], {"weight": direction})).sum()
    graph = with_gradients(layer_graph(op, [shape]))
    for dtype, tolerance in (("f64", 1e-12), ("f32", 1e-5)):
        run = Run(graph, dtype=dtype).run(n, arrays)
        assert distance(run.get("y", n), y) < tolerance, dtype
        gradient = run.gradient("weight", n)
        size = np.abs(gradient * direction).sum() + 1e-6
        if dtype == "f64":  # in float32, rounding beside a kink decides a slope
            assert abs((gradient * direction).sum() - wanted) / size < tolerance


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_seen(bad: float) -> None:
    op, rng = Conv(6, (5, 5), activation="relu"), np.random.default_rng(0)
    x = rng.standard_normal((3, 28, 28, 1))
    x[1, 13, 15, 0] = bad
    arrays = {"x0": x, "weight": np.abs(rng.standard_normal((5, 5, 1, 6))), "bias": np.zeros(6)}
    y = Run(layer_graph(op, [(28, 28, 1)], training=False), dtype="f32").run(3, arrays).get("y", 3)
    seen = np.zeros((3, 28, 28), bool)
    seen[1, 11:16, 13:18] = True
    assert np.array_equal(~np.isfinite(y).all(axis=3), seen)


FORWARD, GRADIENT = {"conv2d_narrow"}, {"conv2d_weight_grad_window"}


@pytest.mark.parametrize(
    ("changes", "shape", "chosen"),
    [
        ({}, (28, 28, 1), FORWARD | GRADIENT),
        ({}, (28, 7, 1), GRADIENT),  # fewer pixels than a run
        ({}, (28, 28, 3), FORWARD),  # 75 weights are more than the rows of a tile
        ({}, (28, 28, 5), set()),
        ({"kernel_size": (3, 3), "out_channels": 16}, (28, 28, 3), GRADIENT),
        ({"activation": "tanh"}, (28, 28, 1), GRADIENT),
        ({"dilation": (2, 2)}, (28, 28, 1), set()),
        ({"groups": 2}, (28, 28, 2), set()),
    ],
)
def test_the_rule(changes: dict[str, object], shape: tuple[int, int, int], chosen: set[str]) -> None:
    op = dataclasses.replace(Conv(6, (5, 5)), **changes)  # type: ignore[arg-type]
    assert kernels(op, shape) & (FORWARD | GRADIENT) == chosen
