"""Which kernel a layer gets: small depthwise filters, and gradients that are cut into blocks or made once a shard."""

from __future__ import annotations

import pytest
from running import layer_graph, with_gradients

from cnnspec.ops.base import Op
from cnnspec.ops.conv import Conv, Depthwise
from cnnspec.ops.linear import Dense
from cnnspec.plan.compile import compile_plan
from cnnspec.plan.plan import BATCH, Plan


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
