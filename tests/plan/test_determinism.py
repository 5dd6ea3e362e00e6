"""The same weights to the last bit, whatever the number of threads: work is cut in one way, sums have one order."""

from __future__ import annotations

import numpy as np
import pytest
from activations import LINES

from cnnspec.compiler import Compiler
from cnnspec.options import Options
from cnnspec.plan.plan import SHARDS
from cnnspec.runtime.network import Draw, Network

BATCH, STEPS = 20, 50
SGD = "  optimizer sgd lr=0.05 momentum=0.9 nesterov=yes decay=1e-4\n"
ADAM = "  optimizer adamw lr=0.003\n"

NETS = {
    "conv_bn": ("input 9x8x3\nconv 12 3x3 -> bn -> relu\nconv 20 3x3 stride=2 -> bn\nflatten -> dense 5\n", SGD),
    "winograd": (
        "input 8x8x3\nconv 32 3x3 -> relu -> conv 32 3x3 -> bn -> relu -> conv 48 3x3 -> tanh\nmaxpool 2\n"
        "flatten -> dense 5\n",
        SGD,
    ),
    "activations": (
        "input 8x8x3\nconv 12 3x3 -> bn\n" + "".join(f"conv 12 3x3 -> {line}\n" for line in LINES)
        + "avgpool global -> flatten -> dense 5\n",
        SGD,
    ),
    "dense": ("input 6x6x2\nflatten -> dense 70 -> tanh -> dense 33 -> sigmoid -> dense 5\n", ADAM),
    "depthwise": (
        "input 9x9x6\ndepthwise 3x3 -> relu6\nconv 16 1x1 -> bn -> relu6\ndepthwise 3x3 stride=2\n"
        "avgpool global -> flatten -> dense 5\n",
        SGD,
    ),
    "dropout": ("input 8x8x1\nconv 8 3x3 -> relu -> dropout 0.3\nmaxpool 2\nflatten -> dropout 0.5 -> dense 5\n", ADAM),
    "residual": (
        "input 8x8x4\nconv 8 3x3 bias=no -> bn -> relu\nresidual {\nconv 16 3x3 stride=2 bias=no -> bn -> relu\n"
        "conv 16 3x3 bias=no -> bn\n} project {\nconv 16 1x1 stride=2 bias=no -> bn\n}\nrelu\n"
        "multiply {\n| identity\n| avgpool global -> conv 4 1x1 -> relu -> conv 16 1x1 -> sigmoid\n}\n"
        "concat {\n| identity\n| avgpool 3 stride=1 pad=1\n}\navgpool global -> flatten -> dense 5\n",
        SGD,
    ),
}  # fmt: skip


def train(name: str, threads: int, steps: int = STEPS) -> tuple[Network, list[float]]:
    """Train on full batches, with a short one now and then; return the net and every loss."""
    body, optimizer = NETS[name]
    model = Compiler.from_text(f"{body}train {{\n{optimizer}}}\n").model
    network = Network(Compiler.of(model, Options(batch=BATCH)), seed=3, threads=threads)
    rng = np.random.default_rng(7)
    losses = []
    for step in range(steps):
        n = (BATCH, BATCH, 7, 1)[step % 4] if step >= 4 else BATCH
        x = rng.standard_normal((n, *model.input_shape), dtype=np.float32)
        target = rng.integers(0, 5, n)
        ids = rng.integers(0, 1000, n)
        losses.append(network.train_step(x, target, lr=0.02, draw=Draw(step // 10, ids)).loss)
    return network, losses


@pytest.mark.parametrize("name", NETS)
def test_weights_are_the_same_for_one_and_two_threads(name: str) -> None:
    (one, losses1), (two, losses2) = (train(name, threads) for threads in (1, 2))
    assert one.training.threading.count == 1
    assert np.isfinite(losses1).all() and losses1 == losses2
    before = Network(Compiler.of(one.model, Options(batch=BATCH)), seed=3).parameters()
    for (parameter, a), b in zip(one.parameters().items(), two.parameters().values(), strict=True):
        assert a.tobytes() == b.tobytes(), parameter
        assert not np.array_equal(a, before[parameter]), f"{parameter} was never trained"
    for (state, a), b in zip(one.optimizer_state().items(), two.optimizer_state().values(), strict=True):
        assert a.tobytes() == b.tobytes(), state
    x = np.random.default_rng(8).standard_normal((33, *one.model.input_shape), dtype=np.float32)
    assert one.predict(x).tobytes() == two.predict(x).tobytes()


@pytest.mark.parametrize("name", NETS)
def test_predictions_are_the_same_for_more_threads_than_shards(name: str) -> None:
    """Where nothing is added up over samples, each thread has a shard: the cuts differ, and no bit may."""
    model = Compiler.from_text(f"{NETS[name][0]}train {{\n{NETS[name][1]}}}\n").model
    x = np.random.default_rng(8).standard_normal((45, *model.input_shape), dtype=np.float32)
    few, many = (Network(Compiler.of(model, Options(batch=45)), seed=3, threads=threads) for threads in (1, 11))
    assert few.predict(x).tobytes() == many.predict(x).tobytes()
    assert (few.inference.shards, many.inference.shards) == (SHARDS, 11)
    few.train_step(x, np.zeros(45, np.int64), lr=0.1)
    many.train_step(x, np.zeros(45, np.int64), lr=0.1)
    assert (few.training.shards, many.training.shards) == (SHARDS, SHARDS)


def test_a_step_does_not_depend_on_the_largest_batch() -> None:
    """Five samples are five samples, in a net made for five or for twenty."""
    body, optimizer = NETS["residual"]
    model = Compiler.from_text(f"{body}train {{\n{optimizer}}}\n").model
    rng = np.random.default_rng(7)
    x, target = rng.standard_normal((5, *model.input_shape), dtype=np.float32), rng.integers(0, 5, 5)
    after = []
    for batch in (5, 20):
        network = Network(Compiler.of(model, Options(batch=batch)), seed=3, threads=1)
        for _ in range(3):
            network.train_step(x, target, lr=0.05)
        after.append(network.parameters())
    for name in after[0]:
        assert np.abs(after[0][name] - after[1][name]).max() < 1e-5, name


def test_prediction_does_not_depend_on_the_batch() -> None:
    network, _ = train("residual", 1, steps=5)
    x = np.random.default_rng(9).standard_normal((2 * BATCH + 3, *network.model.input_shape), dtype=np.float32)
    whole = network.predict(x)
    alone = np.concatenate([network.predict(x[i : i + 1]) for i in range(len(x))])
    assert np.abs(whole - alone).max() < 1e-5
