"""Numbers that training leaves alone: to the bit, under every optimizer, beside numbers that learn."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.runtime.network import Network

OPTIMIZERS = (
    "sgd lr=0.1 momentum=0.9 decay=0.1",
    "sgd lr=0.1 momentum=0.9 nesterov=yes decay=0.1",
    "adam lr=0.01 decay=0.1",
    "adamw lr=0.01 decay=0.5",
)


def net(text: str, optimizer: str = OPTIMIZERS[0]) -> Network:
    spec = f"input 9x9x2\n{text} -> relu -> flatten -> dense 10\ntrain {{\n optimizer {optimizer}\n batch 8\n}}"
    return Network(Compiler.from_text(spec))


def train(network: Network, steps: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x, y = rng.standard_normal((8, 9, 9, 2)), rng.integers(0, 10, 8)
        network.train_step(x.astype(np.float32), y.astype(np.int32), lr=0.05)
    return network.parameters()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("groups", [1, 2])
def test_filters_made_by_hand_stay_and_those_beside_them_learn(optimizer: str, groups: int) -> None:
    text = f"conv filters=[sobel_x, 11, sobel_y, 4, prewitt_x] groups={groups}"
    held = [0, 12, 17]
    free = [k for k in range(18) if k not in held]
    frozen, learning = net(f"{text} freeze=yes", optimizer), net(text, optimizer)
    begin = frozen.parameters()
    one, other = train(frozen, 1), train(learning, 1)
    for name, value in one.items():  # in the first step all gradients are those of the net that learns everything
        channels = free if name.startswith("conv") else slice(None)
        assert (value[..., channels] == other[name][..., channels]).all()
    assert (other["conv.weight"][..., held] != begin["conv.weight"][..., held]).any(axis=(0, 1, 2)).all()
    end = train(frozen, 4)
    assert (end["conv.weight"][..., held] == begin["conv.weight"][..., held]).all()
    assert not end["conv.bias"][held].any()
    assert (end["conv.weight"][..., free] != begin["conv.weight"][..., free]).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_layer_of_frozen_filters_has_no_gradient_and_no_state(optimizer: str) -> None:
    network = net("conv filters=[sobel_x, sobel_y] freeze=yes", optimizer)
    begin, end = network.parameters(), train(network, 3)
    assert {name for name in begin if (begin[name] == end[name]).all()} == {"conv.weight", "conv.bias"}
    assert not any(name.startswith("conv") for name in network.optimizer_state())
    assert not any("conv.weight" in name for name in network.compiler.backward.outputs)


def test_the_plan_is_that_of_the_net_without_freeze() -> None:
    texts = [str(net(f"conv filters=[sobel_x, 3]{more}").compiler.plan) for more in ("", " freeze=yes")]
    assert texts[0] == texts[1]


def test_a_net_that_cannot_learn_is_told_before_training() -> None:
    compiler = Compiler.from_text("input 8x8x1\nconv filters=[sobel_x] freeze=yes -> flatten")
    with pytest.raises(SpecError, match="every parameter of the net is frozen"):
        compiler.plan  # noqa: B018
    assert Network(compiler).predict(np.ones((1, 8, 8, 1), np.float32)).shape == (1, 64)
    assert (compiler.summary.params, compiler.summary.trainable_params) == (10, 0)
