"""A net small enough to be written out, and models made without the parser."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec.compiler import Compiler
from cnnspec.model.model import Layer, Model
from cnnspec.model.settings import SGD, DataSettings, Digits, TrainSettings
from cnnspec.ops.linear import Dense
from cnnspec.ops.reshape import Flatten
from cnnspec.options import Options
from cnnspec.runtime.checkpoint import Progress, save_checkpoint
from cnnspec.runtime.initialize import initial
from cnnspec.runtime.network import Draw
from cnnspec.source import Source, Span

TEXT = "input 8x8x1\nflatten\ndense classes\n\ndata {\n  source digits\n}\n"


def digits_model(
    train: TrainSettings | None = None,
    data: DataSettings | None = None,
    *,
    units: int = 10,
    name: str = "digits.cnn",
    text: str = TEXT,
) -> Model:
    """Softmax regression on the digits: flatten, dense."""
    source = Source(name, text)
    flat = Layer("flatten1", Flatten(), ("input",), ((8, 8, 1),), (64,), Span(source, 12, 19))
    dense = Layer("dense1", Dense(units), ("flatten1",), ((64,),), (units,), Span(source, 20, 33))
    settings = train or TrainSettings(epochs=3, batch=50, optimizer=SGD(lr=0.3, momentum=0.9))
    return Model(source, (8, 8, 1), (flat, dense), "dense1", units, data or DataSettings(Digits()), settings)


def with_train(model: Model, **changes: Any) -> Model:
    return replace(model, train=replace(model.train, **changes))


@dataclass(frozen=True)
class StepResult:
    loss: float
    correct: int
    outputs: np.ndarray | None = None


class FakeNetwork:
    """Softmax regression in NumPy with the interface of runtime/network.py.

    Each step draws noise from its epoch and its samples' numbers alone, as dropout does.
    """

    nan_at: tuple[int, int] | None = None  # (epoch, call in this epoch) whose loss is NaN
    after_step: Any = None  # called with the network after each step

    def __init__(self, compiler: Compiler, *, seed: int | None = None, threads: int | None = None) -> None:
        self.model, self.batch = compiler.model, compiler.batch
        seed = self.model.train.seed if seed is None else seed
        self.weights = {name: initial(p, name, seed) for name, p in self.model.params.items()}
        self.velocity = {name: np.zeros_like(w) for name, w in self.weights.items()}
        self.calls: list[tuple[int, float, np.ndarray]] = []
        self.compiled = False

    def compile(self, progress: Any = None, training: bool = True) -> None:
        self.compiled = True
        if progress is not None:
            progress(1, 1, 0.0)

    def begin_epoch(self, epoch: int) -> int:
        return 0

    def _logits(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1) @ self.weights["dense1.weight"] + self.weights["dense1.bias"]

    def _loss(self, x: np.ndarray, target: np.ndarray) -> tuple[StepResult, np.ndarray]:
        assert self.compiled and x.dtype == np.float32 and target.dtype == np.int32 and len(x) <= self.batch
        z = self._logits(x)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        rows = np.arange(len(x))
        loss = float(-np.log(p[rows, target] + 1e-30).mean())
        correct = int((z.argmax(axis=1) == target).sum())
        p[rows, target] -= 1
        return StepResult(loss, correct), p / np.float32(len(x))

    def train_step(self, x: np.ndarray, target: np.ndarray, *, lr: float, draw: Draw) -> StepResult:
        epoch, sample_ids = draw
        assert sample_ids.dtype == np.int64 and len(sample_ids) == len(x)
        self.calls.append((epoch, lr, sample_ids.copy()))
        if self.nan_at == (epoch, sum(1 for c in self.calls if c[0] == epoch)):
            return StepResult(float("nan"), 0)
        noise = (((sample_ids * 2654435761 + epoch * 40503) % 997) / 997 * 0.02 + 0.99).astype(np.float32)
        x = x * noise[:, None, None, None]
        result, dz = self._loss(x, target)
        gradients = {"dense1.weight": x.reshape(len(x), -1).T @ dz, "dense1.bias": dz.sum(axis=0)}
        for name, g in gradients.items():
            self.velocity[name] = np.float32(0.9) * self.velocity[name] + g
            self.weights[name] = self.weights[name] - np.float32(lr) * self.velocity[name]
        if self.after_step is not None:
            type(self).after_step(self)
        return result

    def eval_step(self, x: np.ndarray, target: np.ndarray, *, outputs: bool = False) -> StepResult:
        result = self._loss(x, target)[0]
        return replace(result, outputs=self._logits(x)) if outputs else result

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self._logits(x)

    def diagnose(self, x: np.ndarray, target: np.ndarray, *, draw: Draw) -> str | None:
        return "dense1"

    def dead_layer(self, x: np.ndarray, target: np.ndarray) -> str | None:
        return None

    def parameters(self) -> dict[str, np.ndarray]:
        return dict(self.weights)

    def load_parameters(self, values: dict[str, np.ndarray]) -> None:
        self.weights = {name: np.array(v) for name, v in values.items()}

    def optimizer_state(self) -> dict[str, np.ndarray]:
        return dict(self.velocity)

    def load_optimizer_state(self, values: dict[str, np.ndarray]) -> None:
        self.velocity = {name: np.array(v) for name, v in values.items()}


def parameters(model: Model, seed: int = 1) -> dict[str, np.ndarray]:
    return FakeNetwork(Compiler.of(model, Options(batch=1)), seed=seed).parameters()


def saved(tmp_path: Path, model: Model, name: str = "last.safetensors") -> Path:
    """Write a checkpoint in the midst of a training, and return its path."""
    path = tmp_path / name
    network = FakeNetwork(Compiler.of(model, Options(batch=1)), seed=1)
    progress = Progress(seed=1, epoch=3, step=7, loss_sum=0.1 + 0.2, history=[{"train.loss": 1 / 3}])
    save_checkpoint(path, model, network.parameters(), network.optimizer_state(), progress)
    return path
