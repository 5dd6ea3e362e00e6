"""The small nets of the zoo learn a batch: twenty steps, and the loss has fallen."""

from __future__ import annotations

import numpy as np
import pytest
from golden import ZOO

from cnnspec.compiler import Compiler
from cnnspec.runtime.network import Network

SMALL = ("all_conv", "convmixer", "resnet20", "tiny_densenet", "tiny_mobilenet")
STEPS, BATCH = 20, 8


@pytest.mark.parametrize("name", SMALL)
def test_a_small_net_learns_a_batch(name: str) -> None:
    compiler = Compiler.from_path(ZOO / f"{name}.cnn")
    network = Network(compiler.with_options(batch=BATCH))
    rng = np.random.default_rng(0)
    target = (np.arange(BATCH) % 4).astype(np.int32)
    patterns = rng.standard_normal((4, *compiler.model.input_shape))
    x = (patterns[target] + 0.3 * rng.standard_normal((BATCH, *compiler.model.input_shape))).astype(np.float32)
    rate = compiler.model.train.optimizer.lr / 4  # the spec's, for a batch so small
    losses = [network.train_step(x, target, lr=rate).loss for _ in range(STEPS)]
    assert abs(losses[0] - np.log(10)) < 1.5  # at first it guesses
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
