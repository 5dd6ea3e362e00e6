"""One image cut over threads: the same numbers as in a batch, the same bits on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from activations import LINES

from cnnspec.compiler import Compiler
from cnnspec.lower.cut import MOST, WORTH, Cut
from cnnspec.options import Options
from cnnspec.plan.plan import Buffer, Operand
from cnnspec.runtime.network import Network

HEAD = "cnnspec 1\ninput 32x32x3\nclasses 5\n"
NETS = {
    "winograd": "conv 32 3x3 -> relu -> conv 32 3x3 -> tanh\nmaxpool 2\nconv 64 3x3 -> relu\nflatten\n",
    "direct": "conv 16 5x5 -> relu -> conv 32 3x3 stride=2 -> leaky_relu 0.1\nconv 48 1x1\navgpool global\nflatten\n",
    "depthwise": "conv 64 3x3\nbn -> relu -> depthwise 5x5 -> relu6\ndepthwise 5x5 stride=2 -> tanh\nflatten\n",
    "pools": "conv 64 3x3 -> relu\nmaxpool 3x3 stride=2 pad=same\navgpool 2\nflatten\n",
    "dense": "maxpool 2\nflatten\ndense 512 -> relu -> dense 1024 bias=no -> relu -> dense 1000 -> tanh\n",
    "filters": "maxpool 4\nconv 64 3x3 -> conv 96 3x3 -> tanh\n"
    "conv 160 5x5 -> leaky_relu 0.1\nconv 480 1x1 bias=no\nflatten\n",
}


NETS |= {
    line: f"conv 16 3x3 -> {line} -> conv 32 5x5 stride=2 -> {line}\ndepthwise 3x3 -> {line}\nconv 32 3x3 -> {line}\n"
    f"flatten\ndense 300 -> {line}\n"
    for line in LINES
}


@pytest.mark.parametrize("name", NETS)
def test_one_image_is_as_in_a_batch(name: str) -> None:
    model = Compiler.from_text(HEAD + NETS[name] + "dense classes\n").model
    x = np.random.default_rng(2).standard_normal((5, 32, 32, 3), dtype=np.float32)
    together = Network(Compiler.of(model, Options(batch=5)), seed=1).predict(x)
    alone = {threads: Network(Compiler.of(model, Options(batch=1)), seed=1, threads=threads) for threads in (1, 2, 3)}
    assert any(s.domain > 1 and not s.prepare for s in alone[1].inference.plan.segments), "nothing was cut"
    got = {threads: net.predict(x) for threads, net in alone.items()}
    np.testing.assert_allclose(got[1], together, rtol=1e-4, atol=1e-5)
    assert np.array_equal(got[1], got[2]) and np.array_equal(got[1], got[3])


def test_filters_that_outweigh_the_image_are_shared_out() -> None:
    """Each block has its own filters, by Winograd and directly; a thousand classes leave a panel and a part."""
    model = Compiler.from_text(HEAD + NETS["filters"] + "dense 1000\ndense classes\n").model
    segments = Network(Compiler.of(model, Options(batch=1))).inference.plan.segments
    cut = {(s.domain, c.kernel.split(".")[0], c.args.out_channels) for s in segments
           for c in s.calls if c.kernel.startswith(("winograd_conv2d", "conv2d")) and s.domain > 1}  # fmt: skip
    assert {(3, "winograd_conv2d", 32), (5, "conv2d_deep", 32), (5, "conv2d", 96), (6, "conv2d_row", 160)} <= cut


def test_pooling_is_shared_out_by_channels() -> None:
    model = Compiler.from_text(HEAD + NETS["pools"] + "dense classes\n").model
    segments = Network(Compiler.of(model, Options(batch=1))).inference.plan.segments
    cut = {(c.kernel, s.domain, c.args.channels) for s in segments for c in s.calls if "pool" in c.kernel}
    assert cut == {("maxpool.values.f32", 4, 16), ("avgpool.f32", 2, 32)}


def test_blocks_are_equal_and_worth_a_barrier() -> None:
    block = int(100_000 * WORTH)  # operations at 100 GFLOP/s
    rows = Cut("height", 28, 4, {"x": 100, "y": 50})
    assert [rows.blocks(flops) for flops in (0, block, 2 * block, 7 * block, 100 * block)] == [1, 1, 1, 7, 7]
    assert Cut("height", 28, 4, {}, speed=300).blocks(7 * block) == 1  # a faster kernel needs more work
    assert Cut("height", 30, 4, {}).blocks(100 * block) == 1  # four rows must stay together
    assert Cut("height", 64, 1, {}).blocks(100 * block) == MOST


def test_blocks_share_an_operand_out_exactly() -> None:
    extents = {"x": 3000, "w": 90, "y": 1400}
    operands = {name: Operand(Buffer(name, "f32", 5000, "batched"), 7, n) for name, n in extents.items()}
    cut = Cut("height", 28, 4, {"x": 100, "y": 50})
    shared = {name: (o.block, o.extent) for name, o in cut.apply(operands, 7).items()}
    assert shared == {"x": (400, 600), "w": (0, 90), "y": (200, 200)}
    assert cut.shorten({"channels": 9, "height": 28, "width": 3}, 7) == {"channels": 9, "height": 4, "width": 3}
