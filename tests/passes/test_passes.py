"""Each pass: what it rewrites, as text before and after; then both graphs run and agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from activations import LINES
from golden import CASES, cases
from hypothesis import given, settings
from hypothesis import strategies as st
from running import Run, distance

from cnnspec.autodiff import differentiate
from cnnspec.compiler import Compiler
from cnnspec.errors import InternalError
from cnnspec.ir.graph import Graph
from cnnspec.ir.text import parse_graph, print_graph
from cnnspec.ops import LAYERS
from cnnspec.options import Options
from cnnspec.passes.add_gradients_early import AddGradientsEarly
from cnnspec.passes.base import run_pipeline
from cnnspec.passes.build import build_graph
from cnnspec.passes.choose_algorithm import ChooseAlgorithm
from cnnspec.passes.dead_code import DeadCode
from cnnspec.passes.fold_batchnorm import FoldNormalisation
from cnnspec.passes.fuse_activation import FuseActivation
from cnnspec.passes.fuse_sum import FuseGradientMask, FuseGradientSum, FuseResidualConv, FuseResidualSum
from cnnspec.passes.mask_before_unpool import MaskBeforeUnpool
from cnnspec.passes.pipelines import FORWARD, INFERENCE, TRAINING, inference_graph, training_graph
from cnnspec.passes.pool_first import PoolFirst
from cnnspec.passes.recompute import Recompute
from cnnspec.passes.share_statistics import ShareStatistics

PASSES = {
    one.name: one
    for one in (
        AddGradientsEarly(), DeadCode(), FoldNormalisation(), FuseActivation(), FuseGradientMask(), FuseGradientSum(),
        FuseResidualConv(), FuseResidualSum(), MaskBeforeUnpool(), PoolFirst(), ShareStatistics(), Recompute(),
        ChooseAlgorithm(),
    )
}  # fmt: skip


def draw_arrays(graph: Graph, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return numbers for every input and parameter of a graph."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    for v in graph.inputs:
        if v.has_batch and v.dtype == "f32":
            arrays[v.name] = rng.standard_normal((n, *v.sample))
        elif v.name == "target":
            arrays[v.name] = rng.integers(0, graph.outputs["logits"].sample[0], (n, 1))
        elif v.name == "keys":
            arrays[v.name] = rng.integers(0, 2**62, (n, 1))
    for name, p in graph.params.items():
        arrays[name] = rng.standard_normal(p.value.sample) * 0.4
        if name.endswith(("running_var", "v")):
            arrays[name] = np.abs(arrays[name]) + 0.5
    return arrays


def assert_same(before: Graph, after: Graph, n: int = 3) -> None:
    """Run both graphs in float64 and float32; every result of ``before`` is one of ``after``."""
    arrays = draw_arrays(before, n)
    assert before.outputs.keys() == after.outputs.keys() and before.updates.keys() == after.updates.keys()
    for dtype, tolerance in (("f64", 1e-11), ("f32", 2e-4)):
        runs = [Run(graph, dtype=dtype).run(n, arrays) for graph in (before, after)]
        for name in before.outputs:
            if name.startswith("grad:"):
                one, other = (r.gradient(name.removeprefix("grad:"), n) for r in runs)
            else:
                one, other = (r.get(name, n) for r in runs)
            assert distance(other, one) < tolerance, (name, dtype)
        for name in before.updates:
            one, other = (r.parameter(name) for r in runs)
            assert distance(other, one) < tolerance, (name, dtype)


# ---- cases: the pass's name, the graph before; the graph after ----------------------------------------
@pytest.mark.parametrize("path", cases("passes"))
def test_case(path: Path, golden: Callable[[Path, Callable[[str], str]], None]) -> None:
    def run(given: str) -> str:
        name, _, text = given.partition("\n")
        before = parse_graph(text)
        after = run_pipeline(before, [PASSES[name.removeprefix("pass ").strip()]])
        assert_same(before, after)
        return print_graph(after)

    golden(path, run)


def test_every_pass_has_a_case() -> None:
    tested = {p.read_text(encoding="utf-8").split("\n")[0] for p in (CASES / "passes").glob("*.txt")}
    in_use = {one.name for one in (*INFERENCE, *FORWARD, *TRAINING)}
    assert in_use == set(PASSES)
    assert tested == {f"pass {name}" for name in PASSES}


def test_exact_computes_convolutions_as_they_are_written() -> None:
    model = Compiler.from_text("input 8x8x16\nconv 16 3x3 -> conv 16 1x1 -> avgpool 2 -> flatten -> dense 3\n").model
    for make in (inference_graph, training_graph):
        order = {exact: [n.op.name for n in make(model, Options(exact=exact)).nodes if n.layer in ("conv2", "avgpool")]
                 for exact in (False, True)}  # fmt: skip
        assert order[False][:2] == ["avgpool", "conv"]
        assert order[True][:2] == ["conv", "avgpool"]


# ---- laws over generated nets -----------------------------------------------------------------------
LINEARS = [
    "conv 6 3x3",
    "conv 5 1x1 bias=no",
    "conv 4 1x1 -> conv 8 3x3 groups=2 bias=no",
    "conv 33 3x3 stride=2",
    "conv 32 3x3 -> relu -> conv 32 3x3 bias=no",  # Winograd's
    "depthwise 3x3",
    "depthwise 3x3 bias=no",
    "identity",
    "maxpool 2 stride=1 pad=1",
    "avgpool 2 stride=1 pad=1",
    "conv 6 1x1 -> avgpool 2 pad=1",
]
linears = st.sampled_from(LINEARS)
norms = st.sampled_from(["bn", "bn eps=0.01", "identity", "bn momentum=0.5"])
OTHERS = [*LINES, "dropout 0.3", "identity"]
ENDS = ("dense 4", "dense 5 -> bn -> relu -> dense 4 bias=no", "dense 4 -> bn")
NOT_IN_LISTS = {"flatten", "add", "concat", "multiply", "softmax"}  # in nets() itself, or refused before this loss
activations = st.sampled_from(OTHERS)
chains = st.tuples(linears, norms, activations).map(" -> ".join)


@st.composite
def nets(draw: st.DrawFn) -> str:
    """Draw a net whose branches and results tempt the passes: values with two readers, heads of one layer."""
    lines = ["input 6x7x4"]
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(("chain", "residual", "concat", "dense block", "multiply")))
        if kind == "chain":
            lines.append(draw(chains))
        elif kind == "residual":
            lines.append(f"conv 6 3x3 -> bn\nresidual {{\n{draw(activations)} -> conv 6 3x3 -> bn\n}}\nrelu")
        elif kind == "concat":
            lines.append(f"bn\nconcat {{\n| relu -> conv 3 3x3\n| {draw(activations)}\n}}")
        elif kind == "dense block":
            lines.append(2 * f"concat {{\n| identity\n| bn -> {draw(activations)} -> conv 3 3x3\n}}\n" + "bn")
        else:
            lines.append("conv 8 3x3\nmultiply {\n| bn\n| avgpool global -> conv 8 1x1 -> sigmoid\n}")
    lines.append(draw(st.sampled_from(("flatten", "avgpool global -> flatten"))))
    lines.append(draw(st.sampled_from(ENDS)))
    return "\n".join(lines) + "\n"


laws = settings(max_examples=20, derandomize=True, database=None)


def test_every_layer_is_in_some_net() -> None:
    words = " ".join((*LINEARS, *OTHERS, *ENDS)).split()
    assert set(LAYERS) - set(words) == NOT_IN_LISTS, "add the layer to one of the lists"


@laws
@given(nets())
def test_inference_passes_keep_results(text: str) -> None:
    model = Compiler.from_text(text).model
    before = build_graph(model, training=False)
    assert_same(before, run_pipeline(before, INFERENCE))


@laws
@given(nets())
def test_training_passes_keep_results_and_gradients(text: str) -> None:
    model = Compiler.from_text(text).model
    forward = build_graph(model, training=True)
    before = differentiate(forward)
    after = run_pipeline(differentiate(run_pipeline(forward, FORWARD)), TRAINING)
    assert_same(before, after)


@laws
@given(nets())
def test_passes_are_done_after_one_run(text: str) -> None:
    graph = run_pipeline(build_graph(Compiler.from_text(text).model, training=False), INFERENCE)
    assert print_graph(run_pipeline(graph, INFERENCE)) == print_graph(graph)


def test_nothing_is_left_to_fold_in_a_plain_net() -> None:
    body = "conv 8 3x3 bias=no -> bn -> relu\ndepthwise 3x3 -> bn -> relu6\navgpool global -> flatten -> dense 4\n"
    graph = run_pipeline(build_graph(Compiler.from_text("input 8x8x3\n" + body).model, training=False), INFERENCE)
    assert [n.op.name for n in graph.nodes].count("bn") == 0
    assert not {n.op.name for n in graph.nodes} & {"relu", "relu6"}


# ---- the pipeline -----------------------------------------------------------------------------------
class Breaks:
    """A pass with a mistake: it drops the first node and keeps its readers."""

    name, after = "breaks", ()

    def run(self, graph: Graph) -> Graph:
        return graph.with_nodes(graph.nodes[1:])


SMALL = "input 4x4x1\nconv 2 3x3 -> relu\nflatten -> dense 3\n"


def test_pipeline_names_the_pass_that_broke_the_graph() -> None:
    graph = build_graph(Compiler.from_text(SMALL).model, training=False)
    with pytest.raises(InternalError, match="after breaks"):
        run_pipeline(graph, [Breaks()])


def test_pipeline_refuses_a_broken_graph_at_its_start() -> None:
    graph = build_graph(Compiler.from_text(SMALL).model, training=False)
    with pytest.raises(InternalError, match="before the passes"):
        run_pipeline(Breaks().run(graph), [DeadCode()])


def test_pipeline_keeps_the_order_that_passes_need() -> None:
    graph = build_graph(Compiler.from_text(SMALL).model, training=False)
    with pytest.raises(AssertionError, match="fuse-activation must come after fold-batchnorm"):
        run_pipeline(graph, [FuseActivation(), FoldNormalisation()])


def test_pipeline_shows_each_result() -> None:
    graph = build_graph(Compiler.from_text(SMALL).model, training=False)
    seen: list[str] = []
    last = run_pipeline(graph, INFERENCE, lambda name, result: seen.append(name))
    assert seen == [one.name for one in INFERENCE]
    assert dataclasses.is_dataclass(last)
