"""The laws of the training loop on the real executor: threads, a kill, and numbers as targets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.runtime.checkpoint import load_checkpoint
from cnnspec.runtime.data import dataset_of_arrays
from cnnspec.runtime.diverged import TrainingDiverged
from cnnspec.runtime.evaluate import evaluate
from cnnspec.runtime.run_folder import open_run_folder
from cnnspec.runtime.train import train

SPEC = """input 8x8x1
conv 8 3x3 bias=no -> bn -> relu
maxpool 2
flatten
dropout 0.3
dense classes

data {
  source digits
  split  val=10%
}

train {
  loss      cross_entropy smooth=0.1
  optimizer sgd lr=0.1 momentum=0.9 nesterov=yes decay=1e-4
  schedule  warmup 1 -> cosine
  epochs    3
  batch     48
  keep best on=val.accuracy
}
"""

DIES = """
import os, signal, sys
from pathlib import Path
from cnnspec.compiler import Compiler
from cnnspec.runtime.network import Network
from cnnspec.runtime.train import train

class Dies(Network):
    def train_step(self, *args, **more):
        result = super().train_step(*args, **more)
        if self.steps == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

model = Compiler.from_path(sys.argv[1]).model
train(model, out=sys.argv[2], make_network=Dies, checkpoint_seconds=0.0, threads=1)
"""


@pytest.fixture(scope="module")
def model():
    return Compiler.from_text(SPEC, name="digits.cnn").model


@pytest.fixture(scope="module")
def alone(model, tmp_path_factory):
    """A run left alone, on one thread."""
    return train(model, out=tmp_path_factory.mktemp("alone"), threads=1)


def everything(result):
    """All that a run leaves behind: last and best weights, optimizer state, history without the clock."""
    folder = open_run_folder(result.folder)
    last = load_checkpoint(folder.last, result.network.model)
    arrays = {**last.parameters, **{f"optimizer/{k}": v for k, v in last.optimizer.items()}}
    arrays.update({f"best/{k}": v for k, v in load_checkpoint(folder.best, result.network.model).parameters.items()})
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "waiting")} for row in folder.history()]
    return arrays, (rows, result.best, result.test)


def assert_same(a, b):
    (arrays, rest), (others, other_rest) = everything(a), everything(b)
    assert arrays.keys() == others.keys()
    for name, value in arrays.items():
        assert value.tobytes() == others[name].tobytes(), f"{name} differs"
    assert rest == other_rest


def test_it_learns(alone):
    assert alone.status == "finished" and alone.test["test.accuracy"] > 0.9
    assert sum(np.abs(v).sum() for k, v in everything(alone)[0].items() if "optimizer" in k) > 0


def test_two_threads_give_the_same_bits(model, alone, tmp_path):
    assert_same(train(model, out=tmp_path, threads=2), alone)


@pytest.mark.parametrize("steps", [5, 27, 50])
def test_stopped_and_resumed_gives_the_same_bits(model, alone, tmp_path, steps):
    stopped = train(model, out=tmp_path, stop_after_steps=steps, threads=1)
    assert_same(train(model, resume=stopped.folder), alone)


def test_killed_and_resumed_gives_the_same_bits(model, alone, tmp_path):
    spec = tmp_path / "digits.cnn"
    spec.write_text(SPEC)
    done = subprocess.run([sys.executable, "-c", DIES, str(spec), str(tmp_path / "runs"), "40"], check=False)
    assert done.returncode == -signal.SIGKILL
    folder = next((tmp_path / "runs").iterdir())
    assert not [p for p in os.listdir(folder) if p.endswith(".part")]
    assert load_checkpoint(folder / "last.safetensors", model).progress.step == 39 - 27
    assert_same(train(model, resume=folder), alone)


def test_an_absurd_rate_names_a_layer_and_its_line(tmp_path):
    text = SPEC.replace("lr=0.1", "lr=1e30").replace("warmup 1 -> cosine", "constant").replace("-> bn ", "")
    with pytest.raises(TrainingDiverged) as caught:
        train(model := Compiler.from_text(text, name="wild.cnn").model, out=tmp_path)
    error = caught.value
    assert error.layer is not None and "wild.cnn:" in str(error)
    kept = load_checkpoint(error.checkpoint, model)
    assert all(np.isfinite(v).all() for v in kept.parameters.values())


def test_numbers_as_targets():
    rng = np.random.default_rng(0)
    x = rng.random((200, 4, 4, 1), dtype=np.float32)
    y = x.reshape(200, 16) @ rng.standard_normal((16, 2)).astype(np.float32)
    spec = "input 4x4x1\nflatten\ndense 2\n\ntrain {\n  loss mse\n  optimizer adam lr=0.05\n  epochs 40\n}\n"
    model = Compiler.from_text(spec).model
    data = dataset_of_arrays(x, y, input_shape=(4, 4, 1), val=0.2)
    result = train(model, data=data, out=None)
    first, last = result.history[0], result.history[-1]
    assert last["val.loss"] < 0.05 * first["val.loss"] and "train.accuracy" not in last
    assert evaluate(result.network, data.val, 64).loss == last["val.loss"]
