"""Samples of the caller, which plans read where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.plan.plan import GIVEN, LOCAL
from cnnspec.runtime.network import Network

SPEC = "cnnspec 1\ninput 9x7x3\nconv 5 3x3 -> relu\nflatten -> dense 4\n"


def network(spec: str = SPEC, batch: int = 6) -> Network:
    return Network(Compiler.from_text(spec).with_options(batch=batch), seed=1, threads=2)


@pytest.mark.parametrize("batch", [1, 6])
def test_any_array_is_read_right(batch: int) -> None:
    """Other types, other orders in memory, parts of arrays, fewer samples than fit: as its plain copy."""
    net = network(batch=batch)
    x = np.random.default_rng(0).standard_normal((12, 9, 7, 3)).astype(np.float32)
    expected = net.predict(x)
    assert np.array_equal(net.predict(x.astype(np.float64)), expected)
    assert np.array_equal(net.predict(np.asfortranarray(x)), expected)
    assert np.array_equal(net.predict(np.flip(x, 3).copy()[..., ::-1]), expected)
    assert np.array_equal(net.predict(x[5:7]), expected[5:7])
    assert np.array_equal(net.predict(np.repeat(x, 2, axis=0)[::2]), expected)


def test_the_callers_array_stays_as_it_is() -> None:
    net, rng = network(), np.random.default_rng(0)
    x = rng.standard_normal((6, 9, 7, 3)).astype(np.float32)
    x.flags.writeable = False
    before = x.copy()
    losses = [net.train_step(x, np.arange(6, dtype=np.int32) % 4, lr=0.1).loss for _ in range(2)]
    assert losses[1] < losses[0] and np.array_equal(x, before)


def test_inference_keeps_no_copy_of_a_batch() -> None:
    plan = network().inference.plan
    assert plan.buffers["x.given"].kind == GIVEN and plan.buffers["x"].kind == LOCAL


def test_keys_are_made_where_a_layer_draws() -> None:
    assert not network().training.draws
    dropping = network(SPEC.replace("flatten", "dropout 0.5 -> flatten"))
    assert dropping.training.draws and not dropping.inference.draws
