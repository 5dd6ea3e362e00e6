"""Optimizers: steps in float64 follow the published formulas, and a short batch is averaged over its own samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from running import Run

from cnnspec.compiler import Compiler
from cnnspec.model.model import Model
from cnnspec.runtime.network import Network, training_graph

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
    network = Network(model, batch=6, seed=1, threads=1, dtype="f64")
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
    network = Network(model, batch=4, threads=1)
    before = network.parameters()
    network.train_step(np.ones((4, 6, 5, 2), np.float32), np.array([0, 1, 2, 0]), lr=0.0)
    for name, p in network.parameters().items():
        assert model.params[name].trainable <= np.array_equal(p, before[name]), name
