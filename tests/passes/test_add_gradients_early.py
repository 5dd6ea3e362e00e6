"""Gradients of a dense block, added early: where, that the same is learned, and that dy need not be written."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cnnspec.autodiff import differentiate
from cnnspec.compiler import Compiler
from cnnspec.lower.compile import compile_plan
from cnnspec.options import Options
from cnnspec.passes import pipelines
from cnnspec.passes.add_gradients_early import AddGradientsEarly
from cnnspec.passes.base import run_pipeline
from cnnspec.passes.build import build_graph
from cnnspec.plan.plan import LOCAL
from cnnspec.runtime.network import Network

GROW = "concat {{\n| identity\n| bn -> relu -> conv {} 3x3 bias=no\n}}\n"
OTHER_WAY = "concat {{\n| bn -> relu6 -> conv {} 3x3\n| identity\n}}\n"  # what came before lies behind
POOLED = "concat {\n| identity\n| bn -> relu -> avgpool 3 stride=1 pad=1\n}\n"  # no weights behind the relu
DENSE = "concat {\n| identity\n| bn -> relu -> dense 7\n}\n"
END = "bn -> relu -> avgpool global -> flatten -> dense 3\n"
NETS = {  # and how many gradients are added early
    "block": ("input 8x8x2\nconv 4 3x3\n" + 4 * GROW.format(3) + END, 4),
    "wide": ("input 16x16x3\nconv 16 3x3\n" + 3 * GROW.format(12) + END, 3),
    "two blocks": (
        "input 8x8x2\nconv 5 3x3\n" + 2 * GROW.format(9) + "conv 8 1x1\nmaxpool 2\n" + 3 * GROW.format(4) + END,
        5,
    ),
    "other way": ("input 7x9x2\nconv 5 3x3\n" + 3 * OTHER_WAY.format(3) + END, 3),
    "both ways": ("input 8x8x3\nconv 4 3x3\n" + 2 * (GROW.format(20) + OTHER_WAY.format(3)) + END, 4),
    "pooled": ("input 8x8x2\nconv 3 3x3\n" + 3 * POOLED + END, 3),
    "vectors": ("input 5x4x1\nflatten -> dense 6\n" + 3 * DENSE + "bn -> relu -> dense 3\n", 3),
}
LEFT_ALONE = {
    "one sum": "input 8x8x2\nconv 4 3x3\n" + GROW.format(3) + END,
    "no bounds": "input 8x8x2\nconv 4 3x3\n" + 3 * GROW.format(3).replace("relu", "tanh") + END,
    "residual": "input 8x8x2\nconv 4 3x3\n" + 3 * "residual { bn -> relu -> conv 4 3x3 }\n" + END,
    "no dense block": "input 8x8x2\nconv 4 3x3 -> bn -> relu\n" + END,
}


def train(text: str, dtype: str) -> tuple[list[float], dict[str, np.ndarray]]:
    model = Compiler.from_text(text).model
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((20, *model.input_shape)), np.arange(20, dtype=np.int32) % 3
    net = Network(Compiler.of(model, Options(batch=20, dtype=dtype)), seed=3, threads=2)
    return [net.train_step(x, target, lr=0.1).loss for _ in range(3)], net.parameters()


@pytest.mark.parametrize("name", NETS)
def test_every_sum_of_a_chain_is_added_early(name: str) -> None:
    text, count = NETS[name]
    found = Counter(node.op.name for node in pipelines.training_graph(Compiler.from_text(text).model).nodes)
    assert (found["normalize_grad_partial"], found["normalize_grad_coefficients"]) == (count, count)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", NETS)
def test_training_is_the_same(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terms are added in another order, so the last bits may differ."""
    losses, weights = train(NETS[name][0], dtype)
    without = tuple(one for one in pipelines.TRAINING if not isinstance(one, AddGradientsEarly))
    assert len(without) < len(pipelines.TRAINING)
    monkeypatch.setattr(pipelines, "TRAINING", without)
    expected, others = train(NETS[name][0], dtype)
    ulps = 16 * np.finfo(np.float32 if dtype == "f32" else np.float64).eps
    np.testing.assert_allclose(losses, expected, rtol=ulps)
    for weight, value in others.items():
        np.testing.assert_allclose(weights[weight], value, rtol=0, atol=4 * ulps * max(1.0, np.abs(value).max()))


def test_dy_lives_in_the_cache_and_weights_follow_the_sums() -> None:
    plan = compile_plan(pipelines.training_graph(Compiler.from_text(NETS["wide"][0]).model), batch=20)
    for segment in plan.segments:
        kernels = [c.kernel.split(".")[0] for c in segment.calls]
        for call in segment.calls:
            if call.kernel.startswith("bn_backward_reduce.masked.addend"):
                assert call.operands[0].buffer.kind == LOCAL
                assert kernels.index("bn_backward_reduce") < kernels.index(
                    "affine", kernels.index("bn_backward_reduce")
                )
                total = [o for o in call.operands if o.buffer == call.operands[-1].buffer]
                assert len(total) == 2, "the sum is made in place"


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_other_nets_are_left_alone(name: str) -> None:
    forward = build_graph(Compiler.from_text(LEFT_ALONE[name]).model, training=True)
    before = tuple(pipelines.TRAINING[: [one.name for one in pipelines.TRAINING].index("add-gradients-early")])
    graph = run_pipeline(differentiate(run_pipeline(forward, pipelines.FORWARD)), before)
    assert AddGradientsEarly().run(graph) is graph
