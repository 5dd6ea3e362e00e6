"""How many samples go together is a matter of speed: forward and backward may differ in it, and no number changes."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.plan import memory
from cnnspec.runtime.network import Network

SPEC = (
    "input 12x10x3\nconv 8 3x3 -> relu -> conv 8 3x3 -> relu -> maxpool 2\n"
    "conv 9 3x3 -> relu -> conv 9 3x3 -> relu -> maxpool {}\nflatten -> dense 3\n"
)


def trained(window: str, cache: int, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Return the weights after two steps, and the group of each pooling kernel's segment."""
    monkeypatch.setattr(memory, "CACHE_BYTES", cache)
    net = Network(Compiler.from_text(SPEC.format(window)).with_options(batch=32, dtype="f64"), seed=1, threads=1)
    x = np.random.default_rng(0).standard_normal((32, 12, 10, 3))
    for _ in range(2):
        net.train_step(x, np.arange(32, dtype=np.int32) % 3, lr=0.1)
    segments = net.training.plan.segments
    return net.parameters(), {c.kernel: s.group for s in segments for c in s.calls if c.kernel.startswith("maxpool")}


@pytest.mark.parametrize("window", ["2", "3 stride=1"])
def test_groups_that_differ_change_nothing(window: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, alone = trained(window, 1, monkeypatch)
    assert set(alone.values()) == {1}
    different = 0
    for cache in (30_000, 40_000, 60_000):
        weights, groups = trained(window, cache, monkeypatch)
        different += len(set(groups.values())) > 1
        for name, value in expected.items():
            np.testing.assert_allclose(weights[name], value, rtol=1e-10, atol=1e-12, err_msg=f"{name}, {groups}")
    assert different
