"""A layer that an activation is fused into computes the layer, then the activation; every activation is tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from running import Run, distance, layer_graph, with_gradients
from samples import SAMPLES

from cnnspec.ir.fields import Param, Shape
from cnnspec.ir.graph import Builder, Op, Value
from cnnspec.ops import LAYERS
from cnnspec.ops.activation import Activation
from cnnspec.ops.conv import Conv, Depthwise
from cnnspec.ops.linear import Dense
from cnnspec.ops.merge import Add
from cnnspec.ops.norm import BatchNorm
from cnnspec.passes.fuse_activation import FuseActivation
from cnnspec.passes.pipelines import FORWARD, INFERENCE

N = 3
IMAGE = (6, 5, 10)
LAYERS_BEFORE: dict[str, tuple[Op, tuple[Shape, ...]]] = {
    "conv": (Conv(20, (3, 3)), (IMAGE,)),
    "conv 1x1": (Conv(7, (1, 1)), (IMAGE,)),
    "conv in groups": (Conv(20, (3, 3), groups=2), (IMAGE,)),
    "depthwise": (Depthwise((3, 3)), (IMAGE,)),
    "dense": (Dense(33), ((40,),)),
    "bn": (BatchNorm(), (IMAGE,)),
    "add": (Add(), (IMAGE, IMAGE, IMAGE)),
}
ACTIVATIONS = {
    f"{name}{i}": sample.op
    for name, samples in SAMPLES.items()
    if issubclass(LAYERS[name], Activation)
    for i, sample in enumerate(samples.good)
}


class Both(Op):
    """A layer, then an activation, as one."""

    name = "both"

    def __init__(self, first: Op, then: Op) -> None:
        self.first, self.then = first, then

    def infer(self, *xs: Any, **_: Any) -> Shape:
        return self.first.infer(*xs)

    def params(self, *xs: Any, **_: Any) -> tuple[Param, ...]:
        return self.first.params(*xs)

    def build(self, b: Builder, xs: Sequence[Value], params: Sequence[Value], training: bool) -> Value:
        return self.then.build(b, [self.first.build(b, xs, params, training)], [], training)


def test_every_activation_is_tried() -> None:
    assert {op.name for op in ACTIVATIONS.values()} == {n for n, cls in LAYERS.items() if issubclass(cls, Activation)}


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("before", LAYERS_BEFORE)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fused_is_one_then_the_other(activation: str, before: str, training: bool) -> None:
    """In inference every activation is fused; in training those whose gradient needs their output only."""
    op, shapes = LAYERS_BEFORE[before]
    both = Both(op, ACTIVATIONS[activation])
    rng = np.random.default_rng(1)
    arrays = {f"x{i}": rng.standard_normal((N, *shape)) for i, shape in enumerate(shapes)}
    arrays |= {p.name: np.abs(rng.standard_normal(p.shape)) + 0.1 for p in op.params(*shapes)}
    arrays["target"] = rng.standard_normal((N, int(np.prod(op.infer(*shapes)))))
    plain = layer_graph(both, shapes, training=training)
    fuse = next(p for p in (FORWARD if training else INFERENCE) if isinstance(p, FuseActivation))
    fused = fuse.run(plain)
    assert training or len(fused.nodes) == len(plain.nodes) - 1
    if training:
        plain, fused = with_gradients(plain), with_gradients(fused)
    for dtype, tolerance in (("f64", 1e-12), ("f32", 1e-5)):
        one, other = (Run(graph, dtype=dtype).run(N, arrays) for graph in (plain, fused))
        assert distance(other.get("y", N), one.get("y", N)) < tolerance, dtype
        for name in one.plan.gradients:
            assert distance(other.gradient(name, N), one.gradient(name, N)) < 20 * tolerance, f"{dtype}: {name}"
