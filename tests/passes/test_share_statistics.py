"""Statistics of a dense block: one batch_stats a part, next to what makes it, and the same training."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cnnspec.autodiff import differentiate
from cnnspec.compiler import Compiler
from cnnspec.lower.compile import compile_plan
from cnnspec.options import Options
from cnnspec.passes import pipelines
from cnnspec.passes.base import run_pipeline
from cnnspec.passes.build import build_graph
from cnnspec.passes.share_statistics import ShareStatistics
from cnnspec.runtime.network import Network

GROW = "concat {{\n| identity\n| bn -> relu -> conv {} 3x3 bias=no\n}}\n"
TRANSITION = "bn -> relu -> conv 6 1x1 bias=no\navgpool 2\n"
NESTED = "| concat {\n| bn\n| conv 2 1x1\n}\n"
END = "bn -> relu -> avgpool global -> flatten -> dense 3\n"
NETS = {
    "blocks": "input 8x8x2\nconv 4 3x3\n" + 3 * GROW.format(3) + TRANSITION + 2 * GROW.format(5) + END,
    "wide": "input 16x16x3\nconv 16 3x3\n" + 4 * GROW.format(12) + END,
    "picture": "input 8x8x2\n" + 2 * GROW.format(3) + "concat {\n| identity\n" + NESTED + "}\n" + END,
    "vectors": "input 5x4x1\nflatten\n" + 2 * "concat {\n| identity\n| bn -> relu -> dense 7\n}\n" + "bn -> dense 3\n",
    "part twice": "input 8x8x2\nconv 4 3x3\nconcat {\n| identity\n| identity\n}\n" + END,
    "two readers": "input 8x8x2\nconcat {\n| conv 3 3x3\n| conv 5 1x1\n}\nadd {\n| bn\n| bn -> relu\n}\n" + END,
}
PARTS = {  # what makes the images whose statistics are computed, in order; "" for the picture
    "blocks": ["conv", "conv", "conv", "conv", "conv", "conv", "conv"],
    "wide": ["conv", "conv", "conv", "conv", "conv"],
    "picture": ["", "conv", "conv", "normalize", "conv"],
    "vectors": ["flatten", "dense", "dense"],
    "part twice": ["conv"],
    "two readers": ["conv", "conv", "normalize"],
}
UNSHARED = {
    "one bn": "input 8x8x2\nconv 4 3x3\nconcat {\n| relu\n| conv 3 3x3\n}\n" + END,
    "no concat": "input 8x8x2\nconv 4 3x3\nadd {\n| bn\n| bn -> relu\n}\n" + END,
    "parts of its own each": "input 8x8x2\n" + 2 * "concat {\n| relu\n| conv 3 3x3\n}\nbn\n" + END,
    "no bn": "input 8x8x2\n" + 2 * "concat {\n| identity\n| conv 3 3x3\n}\n" + "flatten -> dense 3\n",
}
shared = pytest.mark.parametrize("name", NETS)


@shared
def test_each_part_has_its_statistics_once_and_next_to_it(name: str) -> None:
    graph = pipelines.training_graph(Compiler.from_text(NETS[name]).model)
    producer = graph.producer
    computed = [node for node in graph.nodes if node.op.name == "batch_stats"]
    makers = [producer.get(node.inputs[0].name) for node in computed]
    assert len({node.inputs[0].name for node in computed}) == len(computed)
    assert [maker.op.name if maker else "" for maker in makers] == PARTS[name]
    for node, maker in zip(computed, makers, strict=True):
        assert graph.nodes.index(node) == (graph.nodes.index(maker) + 1 if maker else 0)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@shared
def test_training_is_the_same(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sums; the samples that go together may be others, so the last bits may differ."""
    model = Compiler.from_text(NETS[name]).model
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((20, *model.input_shape)), np.arange(20, dtype=np.int32) % 3

    def train() -> tuple[list[float], dict[str, np.ndarray]]:
        net = Network(Compiler.of(model, Options(batch=20, dtype=dtype)), seed=3, threads=1)
        return [net.train_step(x, target, lr=0.1).loss for _ in range(3)], net.parameters()

    losses, weights = train()
    without = tuple(one for one in pipelines.TRAINING if not isinstance(one, ShareStatistics))
    assert len(without) < len(pipelines.TRAINING)
    monkeypatch.setattr(pipelines, "TRAINING", without)
    expected, others = train()
    ulps = 8 * np.finfo(np.float32 if dtype == "f32" else np.float64).eps
    np.testing.assert_allclose(losses, expected, rtol=ulps)
    for weight, value in others.items():
        np.testing.assert_allclose(weights[weight], value, rtol=0, atol=4 * ulps * max(1.0, np.abs(value).max()))


def test_a_part_is_read_in_place_after_the_call_that_writes_it() -> None:
    segments = compile_plan(pipelines.training_graph(Compiler.from_text(NETS["wide"]).model), batch=20).segments
    for segment in segments:
        calls = [c for c in segment.calls if not c.kernel.startswith("fill")]
        for before, call in pairwise(calls):
            if call.kernel.startswith("batch_stats"):
                channels, pixel = call.args.channels, call.args.x_pixel_stride
                assert (channels, pixel) in {(16, 64), (12, 64)}
                written = [o for o in before.operands if o.write]
                assert (written[0].buffer, written[0].offset) == (call.operands[0].buffer, call.operands[0].offset)
    read = [c.args.channels for s in segments for c in s.calls if c.kernel.startswith("batch_stats")]
    assert read == [16, 12, 12, 12, 12]


@pytest.mark.parametrize("name", UNSHARED)
def test_nets_without_shared_parts_are_left_alone(name: str) -> None:
    forward = build_graph(Compiler.from_text(UNSHARED[name]).model, training=True)
    graph = differentiate(run_pipeline(forward, pipelines.FORWARD))
    assert ShareStatistics().run(graph) is graph
