"""Concatenation without copies: the same numbers as with copies, forward and backward, and no copy left."""

from __future__ import annotations

import numpy as np
import pytest
from activations import LINES
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.compiler import Compiler
from cnnspec.lower import values
from cnnspec.lower.slices import Slice, find_slices
from cnnspec.runtime.network import Network

DENSE_BLOCK = "concat {{\n  | identity\n  | bn -> relu -> conv {} 3x3 bias=no\n}}\n"
ACTIVATED = "concat {{\n  | conv 3 3x3\n  | conv 4 1x1 -> {0}\n  | {0}\n}}\n"  # most run over whole rows
BRANCHES = (
    "concat {\n  | identity\n  | identity\n}\n",  # one value twice
    "concat {\n  | conv 3 3x3\n  | conv 4 1x1 -> tanh\n  | identity\n}\n",  # tanh runs over whole rows
    "concat {\n  | maxpool 3 stride=1 pad=1\n  | avgpool 3 stride=1 pad=1\n  | bn\n}\n",
    "concat {\n  | concat {\n    | conv 2 1x1\n    | conv 3 3x3 -> relu6\n  }\n  | identity\n}\n",
    "add {\n  | identity\n  | bn -> relu -> conv (here.c) 3x3\n}\n",
    "bn -> relu -> conv 5 1x1\n",
    "avgpool 2\n",
)
drawn = st.one_of(
    st.integers(1, 20).map(DENSE_BLOCK.format), st.sampled_from(BRANCHES), st.sampled_from(LINES).map(ACTIVATED.format)
)
pieces = st.lists(drawn, min_size=1, max_size=4)


def trained(text: str, batch: int) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """Return outputs, weights after two steps, and the kernels of a training step's layers."""
    net = Network(Compiler.from_text(text).with_options(batch=batch, dtype="f64"), seed=3, threads=2)
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((batch, *net.model.input_shape)), np.arange(batch) % 3
    for _ in range(2):
        net.train_step(x, target.astype(np.int32), lr=0.1)
    kernels = [c.kernel for s in net.training.plan.segments for c in s.calls if c.layer != "input"]
    return net.predict(x), net.parameters(), kernels


@settings(max_examples=25, derandomize=True, database=None)
@given(body=pieces, batch=st.integers(1, 5))
def test_slices_change_nothing(body: list[str], batch: int) -> None:
    text = "cnnspec 1\ninput 8x8x2\nconv 4 3x3\n" + "".join(body) + "flatten\ndense 3\n"
    got, weights, _ = trained(text, batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "find_slices", lambda graph: {})
        expected, others, _ = trained(text, batch)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)
    for name, value in others.items():
        np.testing.assert_allclose(weights[name], value, rtol=1e-9, atol=1e-11, err_msg=name)


def test_a_dense_block_copies_nothing() -> None:
    text = "cnnspec 1\ninput 8x8x2\nconv 4 3x3\n" + 3 * DENSE_BLOCK.format(3) + "bn\nflatten\ndense 3\n"
    graph = Compiler.from_text(text).graph
    slices = find_slices(graph)
    assert len({s.whole for s in slices.values()}) == 1  # all lie in the last
    assert sorted(s.channel_offset for s in slices.values()) == [0, 0, 0, 4, 7, 10]
    _, _, kernels = trained(text, 4)
    assert "sgd.f64" in kernels and not {"copy.f64", "add.f64"} & set(kernels)


def test_a_result_is_no_slice() -> None:
    graph = Compiler.from_text("cnnspec 1\ninput 4x4x2\nconv 3 1x1\nconcat {\n  | identity\n  | conv 2 1x1\n}\n").graph
    assert not any(isinstance(s, Slice) for s in find_slices(graph).values())
