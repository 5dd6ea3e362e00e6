"""Numbers that training leaves alone: to the bit, under every optimizer, beside numbers that learn."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import DataError, SpecError
from cnnspec.runtime.checkpoint import load_checkpoint, load_weights
from cnnspec.runtime.network import Draw, Network
from cnnspec.runtime.train import train as train_model

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


# ---- freeze "stem", unfreeze "stem" at=3 ---------------------------------------------------------
STAGES = "stem: conv 8 3x3 -> bn -> relu\nstage: residual {\n conv 8 3x3 -> bn -> relu -> conv 8 3x3 -> bn\n}\nrelu"


def staged(rules: str, optimizer: str = OPTIMIZERS[0]) -> Network:
    return net(STAGES, f"{optimizer}\n {rules}")


def epochs(network: Network, last: int) -> list[dict[str, np.ndarray]]:
    """Train two steps an epoch; return the parameters at first and behind each epoch."""
    rng, found = np.random.default_rng(0), [network.parameters()]
    for epoch in range(1, last + 1):
        network.begin_epoch(epoch)
        for _ in range(2):
            x, y = rng.standard_normal((8, 9, 9, 2)).astype(np.float32), rng.integers(0, 10, 8).astype(np.int32)
            network.train_step(x, y, lr=0.01, draw=Draw(epoch, np.arange(8)))
        found.append(network.parameters())
    return found


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> set[str]:
    return {name for name in one if (one[name] == other[name]).all()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_frozen_stays_its_running_statistics_too(optimizer: str) -> None:
    network = staged('freeze "stem"', optimizer)
    begin, *_, end = epochs(network, 2)
    assert same(begin, end) == {name for name in begin if name.startswith("stem.")}
    assert not any(name.startswith("stem") for name in network.optimizer_state())
    plan = network.compiler.plan
    assert not [c for s in plan.segments for c in s.calls if c.layer.startswith("stem") and c.backward]


def test_a_frozen_batch_norm_computes_in_training_what_it_computes_in_inference() -> None:
    frozen, learning = staged('freeze "*.bn*"'), staged("")
    x, y = np.random.default_rng(1).standard_normal((8, 9, 9, 2)).astype(np.float32), np.arange(8, dtype=np.int32)
    expected = frozen.eval_step(x, y).loss
    assert frozen.train_step(x, y, lr=0.01).loss == pytest.approx(expected, rel=1e-5)
    assert learning.train_step(x, y, lr=0.01).loss != pytest.approx(expected, rel=1e-3)


def test_gradients_through_a_frozen_stage_are_those_of_differences() -> None:
    """The frozen batch norm stands between the loss and the layer that learns."""
    text = "a: conv 4 3x3\nb: bn -> tanh -> conv 3 3x3 stride=2 -> bn"
    spec = f'input 6x6x2\n{text}\nflatten -> dense 5\ntrain {{\n optimizer sgd lr=1\n batch 4\n freeze "b"\n}}'
    network = Network(Compiler.from_text(spec).with_options(dtype="f64", exact=True))
    rng = np.random.default_rng(2)
    begin = {n: rng.uniform(0.5, 1.5, v.shape) if "bn" in n else v for n, v in network.parameters().items()}
    x, y = rng.standard_normal((4, 6, 6, 2)), rng.integers(0, 5, 4).astype(np.int32)

    def loss(change: float) -> float:
        moved = {n: v + (change * direction if n == "a.weight" else 0) for n, v in begin.items()}
        network.load_parameters(moved)
        return network.eval_step(x, y).loss

    direction = rng.standard_normal(begin["a.weight"].shape)
    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    network.load_parameters(begin)
    network.train_step(x, y, lr=1.0)
    after = network.parameters()
    assert ((begin["a.weight"] - after["a.weight"]) * direction).sum() == pytest.approx(slope, rel=1e-5)
    assert same(begin, after) == {n for n in begin if n.startswith("b.")}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_unfreeze_begins_with_its_epoch_and_changes_nothing_before(optimizer: str) -> None:
    rules = 'freeze "stem"\n unfreeze "*.bn" at=2\n unfreeze "stem.conv" at=4'
    thawing, frozen = epochs(staged(rules, optimizer), 4), epochs(staged('freeze "stem"', optimizer), 1)
    assert all((thawing[1][name] == frozen[1][name]).all() for name in frozen[1])
    own = {name for name in thawing[0] if name.startswith("stem.")}
    kept = [same(before, after) for before, after in pairwise(thawing)]
    assert kept == [own, {"stem.conv.weight", "stem.conv.bias"}, {"stem.conv.weight", "stem.conv.bias"}, set()]


def test_what_learned_before_keeps_its_states_and_its_count_of_steps() -> None:
    network = staged('freeze "stem"\n unfreeze "stem" at=2', "adam lr=0.01")
    epochs(network, 1)
    before = network.optimizer_state()
    assert network.begin_epoch(2) == 8 * 18 + 8 + 16
    after = network.optimizer_state()
    assert same(before, {name: after[name] for name in before}) == before.keys()
    new = {name for name in after if name.startswith("stem.")}
    assert len(new) == 8 and not any(after[name].any() for name in new)
    assert after.keys() == before.keys() | new | {"steps@2"}
    assert (int(after["steps"]), int(after["steps@2"])) == (2, 2)


def test_adam_counts_its_steps_for_what_is_unfrozen_from_there() -> None:
    """The first step of Adam is one learning rate long; a count of earlier steps would make it three times longer."""
    network = staged('freeze "stem"\n unfreeze "stem" at=3', "adam lr=0.01")
    epochs(network, 2)
    before = network.parameters()
    network.begin_epoch(3)
    x, y = np.random.default_rng(3).standard_normal((8, 9, 9, 2)).astype(np.float32), np.arange(8, dtype=np.int32)
    network.train_step(x, y, lr=0.01, draw=Draw(3, np.arange(8)))
    step = abs(network.parameters()["stem.conv.weight"] - before["stem.conv.weight"])
    assert 0.009 < step.max() < 0.0101


DIGITS = """input 8x8x1
edges: conv filters=[sobel_x, sobel_y, 2] freeze=yes -> bn -> relu
conv 6 3x3 -> bn -> relu -> maxpool 2
flatten -> dense classes
data {
  source digits
}
train {
  optimizer OPTIMIZER
  epochs 4
  batch 500
  freeze "edges"
  freeze "conv.bias"
  unfreeze "edges" at=3
  unfreeze "conv*" at=4
}
"""


@pytest.mark.parametrize("optimizer", ["sgd lr=0.1 momentum=0.9 decay=0.01", "adamw lr=0.01"])
@pytest.mark.parametrize("steps", [1, 6, 7, 10, 11])  # of 3 an epoch: in an epoch, at its end, behind it
def test_a_run_that_is_resumed_ends_with_the_same_bits(tmp_path: Path, optimizer: str, steps: int) -> None:
    model = Compiler.from_text(DIGITS.replace("OPTIMIZER", optimizer)).model
    assert model.phases == (1, 3, 4)
    whole = train_model(model, out=None).network
    stopped = train_model(model, out=tmp_path, stop_after_steps=steps)
    assert stopped.status == "interrupted"
    resumed = train_model(model, resume=stopped.folder).network
    for part in ("parameters", "optimizer_state"):
        one, other = getattr(whole, part)(), getattr(resumed, part)()
        assert one.keys() == other.keys() == same(one, other)


def test_a_run_does_not_go_on_with_other_frozen_layers_and_its_weights_load_anywhere(tmp_path: Path) -> None:
    text = DIGITS.replace("OPTIMIZER", "sgd lr=0.1")
    plain = f"{text.partition('  freeze')[0]}}}"
    for begun, changed in (
        (plain, plain.replace("freeze=yes", "freeze=no")),
        (text, text.replace('freeze "conv.bias"', 'freeze "conv"')),
    ):
        model = Compiler.from_text(begun).model
        stopped = train_model(model, out=tmp_path, stop_after_steps=2)
        with pytest.raises(DataError, match="train section is not the one") as caught:
            train_model(Compiler.from_text(changed).model, resume=stopped.folder)
        assert str(caught.value.field).startswith("train: freeze")
    learned = Compiler.from_text(plain.replace("filters=[sobel_x, sobel_y, 2] freeze=yes", "4 3x3"))
    found = load_weights(stopped.folder / "last.safetensors", learned.model)
    kept = load_checkpoint(stopped.folder / "last.safetensors", model).parameters
    assert same(found, kept) == kept.keys()
    assert found["edges.conv.weight"][:, :, 0, 0].tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
