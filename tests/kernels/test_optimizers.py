"""Optimizers: steps in float64 follow the published formulas, and a short batch is averaged over its own samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from running import Run

from cnnspec.compiler import Compiler
from cnnspec.model.model import Model
from cnnspec.model.settings import SETTINGS
from cnnspec.options import Options
from cnnspec.passes.pipelines import training_graph
from cnnspec.runtime.network import Network

Step = Callable[[np.ndarray, np.ndarray, dict[str, np.ndarray], int, float], np.ndarray]


def sgd(momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0) -> Step:
    """Sutskever et al. 2013, section 2, in the form with the learning rate outside the velocity."""

    def step(w: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray], t: int, lr: float) -> np.ndarray:
        g = g + decay * w
        state["v"] = momentum * state.get("v", 0 * w) + g
        return w - lr * (g + momentum * state["v"] if nesterov else state["v"])

    return step


def adam(
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, decay: float = 0.0, decoupled: bool = False
) -> Step:
    """Kingma & Ba 2015, algorithm 1; decoupled decay as in Loshchilov & Hutter 2019, algorithm 2."""

    def step(w: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray], t: int, lr: float) -> np.ndarray:
        if not decoupled:
            g = g + decay * w
        state["m"] = beta1 * state.get("m", 0 * w) + (1 - beta1) * g
        state["v"] = beta2 * state.get("v", 0 * w) + (1 - beta2) * g**2
        mean, square = state["m"] / (1 - beta1**t), state["v"] / (1 - beta2**t)
        new = w - lr * mean / (np.sqrt(square) + eps)
        return new - lr * decay * w if decoupled else new

    return step


OPTIMIZERS: dict[str, Step] = {
    "sgd": sgd(),
    "sgd momentum=0.9": sgd(0.9),
    "sgd momentum=0.8 nesterov=yes decay=0.01": sgd(0.8, True, 0.01),
    "adam": adam(),
    "adam beta1=0.8 beta2=0.9 eps=0.001 decay=0.1": adam(0.8, 0.9, 1e-3, 0.1),
    "adamw": adam(decay=0.01, decoupled=True),
    "adamw decay=0.3": adam(decay=0.3, decoupled=True),
}
NET = "input 6x5x2\nconv 10 3x3 -> bn -> tanh\ndepthwise 3x3 -> tanh\nflatten -> dense 40 -> tanh -> dense 3\n"


def test_every_optimizer_has_its_formula() -> None:
    assert {words.split()[0] for words in OPTIMIZERS} == set(SETTINGS["optimizer"]), "optimizers and formulas differ"


def gradients_at(
    model: Model, parameters: dict[str, np.ndarray], x: np.ndarray, target: np.ndarray
) -> dict[str, np.ndarray]:
    run = Run(training_graph(model))
    n = len(x)
    run.run(n, {**parameters, "x": x, "target": target[:, None], "keys": np.zeros((n, 1), np.int64)})
    return {name: run.gradient(name, n) for name in run.plan.gradients}


@pytest.mark.parametrize("settings", OPTIMIZERS)
def test_steps_follow_the_formula(settings: str) -> None:
    model = Compiler.from_text(f"{NET}train {{\n  optimizer {settings}\n}}\n").model
    network = Network(Compiler.of(model, Options(batch=6, dtype="f64")), seed=1, threads=1)
    rng = np.random.default_rng(2)
    states: dict[str, dict[str, np.ndarray]] = {name: {} for name in model.params}
    for t, (n, lr) in enumerate(((6, 0.1), (6, 0.05), (2, 0.05), (5, 0.02)), start=1):
        x, target = rng.standard_normal((n, 6, 5, 2)), rng.integers(0, 3, n)
        before = network.parameters()
        wanted = {
            name: OPTIMIZERS[settings](before[name], g, states[name], t, lr)
            for name, g in gradients_at(model, before, x, target).items()
        }
        network.train_step(x, target, lr=lr)
        after = network.parameters()
        assert set(wanted) == {name for name, p in model.params.items() if p.trainable}
        for name, w in wanted.items():
            assert np.abs(after[name] - w).max() < 1e-10, f"step {t}: {name}"
    assert network.steps == 4


def test_nothing_is_learned_at_rate_zero() -> None:
    model = Compiler.from_text(f"{NET}train {{\n  optimizer adamw decay=0.5\n}}\n").model
    network = Network(Compiler.of(model, Options(batch=4)), threads=1)
    before = network.parameters()
    network.train_step(np.ones((4, 6, 5, 2), np.float32), np.array([0, 1, 2, 0]), lr=0.0)
    for name, p in network.parameters().items():
        assert model.params[name].trainable <= np.array_equal(p, before[name]), name


# ---- float32 -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("settings", ["adam beta2=0.999999", "adamw beta2=0.999999", "adam beta1=0.999999"])
def test_shares_that_are_nearly_nothing_are_exact_in_float32(settings: str) -> None:
    """1 - 0.999999 of float32 numbers is off by 1.3 %, of float64 numbers it is not."""
    model = Compiler.from_text(f"{NET.replace('bn -> ', '')}train {{\n  optimizer {settings}\n}}\n").model
    network = Network(Compiler.of(model, Options(batch=6)), seed=1, threads=1)
    rng = np.random.default_rng(3)
    x, target = rng.standard_normal((6, 6, 5, 2)), rng.integers(0, 3, 6)
    wanted = gradients_at(model, network.parameters(), x, target)
    network.train_step(x.astype(np.float32), target, lr=0.1)
    state, optimizer = network.optimizer_state(), model.train.optimizer
    for name, g in wanted.items():
        for slot, share, moment in (("mean", 1 - optimizer.beta1, g), ("square", 1 - optimizer.beta2, g**2)):
            found = state[f"{name}@{slot}"].astype(np.float64)
            large = np.abs(moment) > 0.01 * np.abs(moment).max()
            assert np.abs(found / (share * moment) - 1)[large].max() < 1e-4, f"{name}@{slot}"


@pytest.mark.parametrize(
    ("settings", "factor"), [("sgd momentum=0.9999", 0.9999), ("adam beta1=0.999999 beta2=0.999999", 0.999999)]
)
def test_what_decays_slowly_keeps_its_rate_in_float32(settings: str, factor: float) -> None:
    """0.999999 as a float32 is 0.99999899: what is lost in many steps is off by 1.3 %.

    Each number is rounded at each step, so the mean of many is looked at.
    """
    steps = 500
    text = f"input 1x1x64\nflatten\ndense 64\ntrain {{\n  optimizer {settings}\n}}\n"
    network = Network(Compiler.from_text(text).with_options(batch=2), threads=1)
    state = network.optimizer_state()
    slots = [slot for slot in state if slot.startswith("dense.weight@")]
    assert slots
    start = np.geomspace(0.5, 2, 4096, dtype=np.float32).reshape(64, 64)
    network.load_optimizer_state(state | {slot: start for slot in slots})
    x, target = np.zeros((2, 1, 1, 64), np.float32), np.array([0, 1])  # pixels of zero: no gradient of the weights
    for _ in range(steps):
        network.train_step(x, target, lr=0.0)
    for slot in slots:
        found = network.optimizer_state()[slot] / (start.astype(np.float64) * factor**steps)
        assert abs(found.mean() - 1) < 2e-6, slot
