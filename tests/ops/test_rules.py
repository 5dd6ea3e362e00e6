"""Which kernel a layer gets: small depthwise filters, and gradients that are cut into blocks or made once a shard."""

from __future__ import annotations

import numpy as np
import pytest
from running import Run, layer_graph, with_gradients

from cnnspec.ir.graph import Op
from cnnspec.lower.compile import compile_plan
from cnnspec.ops.conv import Conv, Depthwise
from cnnspec.ops.linear import Dense
from cnnspec.ops.norm import BatchNorm
from cnnspec.ops.pool import MaxPool
from cnnspec.plan.plan import BATCH, WIDE, Plan


def plan(op: Op, shape: tuple[int, ...], batch: int = 2) -> Plan:
    return compile_plan(with_gradients(layer_graph(op, [shape])), batch=batch)


@pytest.mark.parametrize(
    ("op", "forward", "gradients"),
    [
        (Depthwise((3, 3)), {"3x3.1"}, {"3x3.1"}),
        (Depthwise((3, 3), stride=(2, 2)), {"3x3.2", "1x1.1", "1x2.1", "2x1.1", "2x2.1"}, {"3x3.2"}),
        (Depthwise((1, 2), padding=(0, 0)), {"1x2.1"}, {"1x2.1"}),
        (Depthwise((5, 5)), set(), set()),
        (Depthwise((3, 3), dilation=(2, 2)), set(), set()),
        (Depthwise((3, 3), stride=(3, 3)), {"1x1.1"}, set()),
    ],
)
def test_small_depthwise_filters_stay_in_registers(op: Depthwise, forward: set[str], gradients: set[str]) -> None:
    """Forward, and the phases of the input gradient, which are convolutions of stride 1."""
    kernels = [k.removesuffix(".f32") for k in plan(op, (9, 10, 20)).kernels]
    found = {k.partition(".")[2] for k in kernels if k.startswith("depthwise_window")}
    assert found == forward
    assert {k.partition(".")[2] for k in kernels if k.startswith("depthwise_weight_grad_window")} == gradients
    assert ("depthwise_weight_grad" in kernels) == (not gradients)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("channels", [1, 9, 20])
def test_wide_depthwise_is_a_convolution_in_as_many_groups(channels: int, stride: tuple[int, int], dtype: str) -> None:
    """Rows of several stretches, which take turns with the channels; the convolution has other kernels."""
    shape = (21, 37, channels)
    rng = np.random.default_rng(channels)
    ops = (
        Depthwise((3, 3), stride, activation="tanh"),
        Conv(channels, (3, 3), stride, groups=channels, activation="tanh"),
    )
    size = int(np.prod(ops[0].infer(shape)))
    given = {"x0": rng.standard_normal((9, *shape)), "target": rng.standard_normal((9, size)),
             "bias": rng.standard_normal(channels)}  # fmt: skip
    weight = rng.standard_normal((3, 3, channels)) / 3
    found = []
    for op, w in zip(ops, (weight, weight[:, :, None]), strict=True):
        run = Run(with_gradients(layer_graph(op, [shape])), batch=9, dtype=dtype).run(9, {**given, "weight": w})
        gradients = (run.gradient(name, 9).reshape(-1) for name in ("x0", "weight", "bias"))
        found.append([run.get("y", 9).reshape(-1), *gradients])
    for one, other in zip(*found, strict=True):
        assert np.abs(one - other).max() < (1e-12 if dtype == "f64" else 1e-5) * np.abs(other).max()


@pytest.mark.parametrize(
    ("op", "channels", "kernel"),
    [(MaxPool((2, 2)), 6, "maxpool.2x2.narrow"), (MaxPool((2, 2)), 20, "maxpool.2x2"), (MaxPool((3, 3)), 6, "maxpool")],
)
def test_which_place_won_is_recorded_for_a_gradient(op: Op, channels: int, kernel: str) -> None:
    shape = (12, 12, channels)
    assert f"{kernel}.f32" in plan(op, shape).kernels
    assert compile_plan(layer_graph(op, [shape]), batch=2).kernels[0] == f"{kernel}.values.f32"


@pytest.mark.parametrize(
    ("op", "shape", "batch", "by_shard"),
    [
        (Conv(160, (1, 1)), (32, 32, 160), 64, True),  # dy is far larger than the gradient: read it once
        (Conv(160, (1, 1)), (2, 2, 160), 8, False),
        (Conv(512, (3, 3), stride=(2, 2)), (14, 14, 256), 64, False),  # eight copies would take 38 MB
        (Dense(256), (4096,), 64, False),
        (Dense(10), (84,), 64, True),
    ],
)
def test_a_gradient_has_copies_or_blocks(op: Op, shape: tuple[int, ...], batch: int, by_shard: bool) -> None:
    calls = [c for s in plan(op, shape, batch).segments for c in s.calls if c.kernel.startswith("conv2d_weight_grad")]
    assert [c.domain <= BATCH for c in calls] == [by_shard]


@pytest.mark.parametrize(
    ("op", "shape", "n"),
    [
        (Conv(32, (3, 3), padding=(0, 0)), (8, 3, 3), 17),  # images one pixel wide: rows are what lies side by side
        (Conv(32, (3, 1), stride=(2, 1)), (40, 1, 4), 17),
        (Conv(16, (3, 3)), (9, 1, 40), 17),
        (Conv(32, (2, 2), stride=(2, 2), padding=(0, 0)), (2, 2, 140), 17),
        (Conv(1024, (1, 1)), (1, 1, 20), 16),  # few inputs and many filters: blocks of rows, or all taps in a tile
        (Conv(256, (3, 3), dilation=(2, 2)), (4, 4, 16), 3),
        (Dense(1100), (20,), 17),
        (Dense(200, activation="tanh"), (1100,), 17),  # large: panel by panel, and a part of one
        (Dense(64, bias=False), (2100,), 3),
    ],
)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_a_batch_is_its_samples_one_by_one(op: Op, shape: tuple[int, ...], n: int, dtype: str) -> None:
    """Several samples go together, in a shard or in all of them; gradients of parameters are means."""
    graph = with_gradients(layer_graph(op, [shape]))
    rng = np.random.default_rng(n)
    size = int(np.prod(op.infer(shape)))
    fixed = {p.name: rng.standard_normal(p.shape) / np.sqrt(p.fan_in) for p in op.params(shape)}
    x, target = rng.standard_normal((n, *shape)), rng.standard_normal((n, size))
    together, alone = Run(graph, batch=n, dtype=dtype), Run(graph, batch=1, dtype="f64")
    together.run(n, {"x0": x, "target": target, **fixed})
    found = {name: together.gradient(name, n) for name in ("x0", *fixed)} | {"y": together.get("y", n)}
    wanted = {name: np.zeros(value.shape) for name, value in found.items()}
    for i in range(n):
        alone.run(1, {"x0": x[i : i + 1], "target": target[i : i + 1], **fixed})
        wanted["y"][i] = alone.get("y", 1)[0]
        wanted["x0"][i] = alone.gradient("x0", 1)[0] / n
        for name in fixed:
            wanted[name] += alone.gradient(name, 1) / n
    for name, value in found.items():
        error = np.abs(value - wanted[name]).max() / np.abs(wanted[name]).max()
        assert error < {"f64": 1e-12, "f32": 1e-5}[dtype], name


def test_large_dense_weights_are_read_once() -> None:
    """Panel by panel, with all samples: 23 whole panels in as many blocks, and what is left of one for each shard."""
    calls = [c for s in plan(Dense(750), (1100,), batch=64).segments for c in s.calls if c.kernel.startswith("conv2d.")]
    assert [(c.domain, c.args.out_channels) for c in calls if not c.backward] == [(23, 32), (WIDE, 14)] * 2
    small = [c for s in plan(Dense(75), (1100,), batch=64).segments for c in s.calls if c.kernel.startswith("conv2d.")]
    assert {c.domain for c in small} == {WIDE}


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (Conv(32, (3, 3)), (6, 6, 16)),
        (Conv(8, (2, 2), padding=(0, 0)), (6, 6, 16)),
        (Dense(6), (20,)),
        (BatchNorm(), (6, 6, 16)),
    ],
)
def test_a_smaller_batch_finds_nothing_of_a_larger_one(op: Op, shape: tuple[int, ...]) -> None:
    """Shards without samples run too: what they added up before is zero again."""
    graph = with_gradients(layer_graph(op, [shape]))
    rng = np.random.default_rng(3)
    size = int(np.prod(op.infer(shape)))
    fixed = {p.name: rng.standard_normal(p.shape) for p in op.params(shape)}
    x, target = rng.standard_normal((16, *shape)), rng.standard_normal((16, size))
    used, new = Run(graph, batch=16), Run(graph, batch=16)
    used.run(16, {"x0": x, "target": target, **fixed})
    for run in (used, new):
        run.run(3, {"x0": x[:3], "target": target[:3], **fixed})
    for name in (p.name for p in op.params(shape) if p.trainable):
        np.testing.assert_array_equal(used.gradient(name, 3), new.gradient(name, 3))
