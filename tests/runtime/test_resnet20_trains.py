"""ResNet-20, the published net for 32x32 images, learns: residual sums, projections and batch norm together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnspec.compiler import Compiler
from cnnspec.runtime.network import Network

SPEC = Path(__file__).parents[2] / "specs" / "zoo" / "resnet20.cnn"


def test_resnet20_learns_a_batch() -> None:
    network = Network(Compiler.from_path(SPEC).with_options(batch=32))
    rng = np.random.default_rng(0)
    target = rng.integers(0, 10, 32).astype(np.int32)
    patterns = rng.standard_normal((10, 32, 32, 3))
    x = (patterns[target] + 0.5 * rng.standard_normal((32, 32, 32, 3))).astype(np.float32)
    losses = [network.train_step(x, target, lr=0.05).loss for _ in range(12)]
    assert abs(losses[0] - np.log(10)) < 1.0  # at first it guesses
    assert losses[-1] < 0.2
    for _ in range(40):  # the running statistics follow slowly
        network.train_step(x, target, lr=0.0)
    assert network.eval_step(x, target).correct >= 30
