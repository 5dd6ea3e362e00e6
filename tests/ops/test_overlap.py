"""Overlapping windows give the input gradient of a convolution: every border, every width, and nothing hidden."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import BATCH, Run, layer_graph, with_gradients

from cnnspec.ir.graph import Graph
from cnnspec.ops.conv import Conv, ConvInputGrad
from cnnspec.passes.base import run_pipeline
from cnnspec.passes.choose_algorithm import ChooseAlgorithm

laws = settings(max_examples=30, derandomize=True, database=None)


def algorithm(graph: Graph) -> str:
    return next(n.op.algorithm for n in graph.nodes if isinstance(n.op, ConvInputGrad))


def overlapping(graph: Graph) -> Graph:
    """Return the graph with its input gradient by windows, whether or not that is the faster way."""
    nodes = [
        dataclasses.replace(n, op=dataclasses.replace(n.op, algorithm="overlap"))
        if n.op.name == "conv_input_grad"
        else n
        for n in graph.nodes
    ]
    return graph.with_nodes(nodes)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, tuple[int, int, int]]:
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    pads = tuple(draw(st.integers(0, k + 1)) for k in kernel)
    h, w = (draw(st.integers(max(1, k - 2 * p), k - 2 * p + 14 + 2 * p)) for k, p in zip(kernel, pads, strict=True))
    c_in, c_out = draw(st.integers(1, 12)), draw(st.sampled_from((1, 5, 16, 20, 33)))
    return Conv(c_out, kernel, padding=pads, bias=False), (h, w, c_in)


@laws
@given(drawn=convolutions(), n=st.integers(1, BATCH), seed=st.integers(0, 2**32 - 1))
def test_windows_are_the_input_gradient(drawn: tuple[Conv, tuple[int, int, int]], n: int, seed: int) -> None:
    """Against the direct kernels, which obey the laws of every op."""
    op, shape = drawn
    direct = with_gradients(layer_graph(op, [shape]))
    chosen = overlapping(direct)
    rng = np.random.default_rng(seed)
    arrays = {
        "x0": rng.standard_normal((n, *shape)),
        "target": rng.standard_normal((n, int(np.prod(op.infer(shape))))),
        "weight": rng.standard_normal((*op.kernel_size, shape[2], op.out_channels)),
    }
    exact = Run(direct).run(n, arrays).gradient("x0", n)
    for dtype, tolerance in (("f64", 1e-13), ("f32", 1e-5)):
        run = Run(chosen, dtype=dtype).run(n, arrays)
        assert np.abs(run.gradient("x0", n) - exact).max() / np.abs(exact).max() < tolerance, dtype
        if n > 1:
            alone = {k: v[1:2] for k, v in arrays.items() if k != "weight"}
            one = run.gradient("x0", n)[1] * n  # of the mean loss
            again = run.run(1, alone).gradient("x0", 1)[0]
            assert np.abs(again - one).max() <= 1e-5 * np.abs(one).max()


@pytest.mark.parametrize(("width", "shape"), [(w, (h, w, 6)) for w in range(9, 33) for h in (5, 11)])
def test_every_width_of_a_row(width: int, shape: tuple[int, int, int]) -> None:
    """Whole numbers: a window in the wrong place cannot hide in rounding."""
    op = Conv(16, (5, 5), padding=(0, 0), bias=False)
    direct = with_gradients(layer_graph(op, [shape]))
    chosen = run_pipeline(direct, [ChooseAlgorithm()])
    assert algorithm(chosen) == "overlap" and algorithm(direct) == "direct"
    rng = np.random.default_rng(width)
    arrays = {
        "x0": rng.integers(-4, 5, (2, *shape)).astype(float),
        "target": np.zeros((2, int(np.prod(op.infer(shape))))),
        "weight": rng.integers(-4, 5, (5, 5, 6, 16)).astype(float),
    }
    found, exact = (Run(g, dtype="f64").run(2, arrays).gradient("x0", 2) for g in (chosen, direct))
    assert np.abs(exact).max() > 1
    assert np.abs(found - exact).max() / np.abs(exact).max() < 1e-14


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_seen(bad: float) -> None:
    """And only where a filter looks: rows that are left out must not carry it."""
    op = Conv(16, (5, 5), padding=(0, 0), bias=False)
    graph = run_pipeline(with_gradients(layer_graph(op, [(14, 14, 6)])), [ChooseAlgorithm()])
    rng = np.random.default_rng(0)
    arrays = {"x0": rng.standard_normal((3, 14, 14, 6)), "weight": rng.standard_normal((5, 5, 6, 16))}
    for h, w in ((0, 0), (4, 3), (9, 9)):
        target = rng.standard_normal((3, 10, 10, 16))
        target[1, h, w, 5] = bad
        dx = Run(graph, dtype="f32").run(3, {**arrays, "target": target.reshape(3, -1)}).gradient("x0", 3)
        seen = np.zeros((3, 14, 14), bool)
        seen[1, h : h + 5, w : w + 5] = True
        assert np.array_equal(~np.isfinite(dx).all(axis=3), seen)


@pytest.mark.parametrize(
    ("changes", "shape", "chosen"),
    [
        ({}, (14, 14, 6), "overlap"),
        ({"padding": (2, 2)}, (14, 14, 4), "overlap"),
        ({"padding": (2, 2)}, (14, 14, 16), "direct"),
        ({"kernel_size": (3, 3), "padding": (1, 1), "out_channels": 24}, (14, 14, 3), "overlap"),
        ({"kernel_size": (1, 1)}, (14, 14, 6), "direct"),
        ({"stride": (1, 2)}, (14, 14, 6), "direct"),
        ({"dilation": (2, 1)}, (14, 14, 6), "direct"),
        ({"groups": 2}, (14, 14, 6), "direct"),
        ({"out_channels": 2}, (14, 14, 6), "direct"),  # adding windows would be the larger part
        ({}, (5, 5, 6), "overlap"),
        ({"kernel_size": (3, 3), "padding": (1, 1)}, (14, 14, 8), "direct"),
    ],
)
def test_the_rule(changes: dict[str, object], shape: tuple[int, int, int], chosen: str) -> None:
    op = dataclasses.replace(Conv(16, (5, 5), padding=(0, 0)), **changes)  # type: ignore[arg-type]
    graph = run_pipeline(with_gradients(layer_graph(op, [shape])), [ChooseAlgorithm()])
    assert algorithm(graph) == chosen
