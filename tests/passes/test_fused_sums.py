"""The sums of residual nets, done in the sweeps of their neighbours: what is fused, and that no bit differs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.options import Options
from cnnspec.passes import pipelines
from cnnspec.passes.fuse_sum import FuseGradientMask, FuseResidualConv, FuseResidualSum
from cnnspec.passes.pipelines import TRAINING, training_graph
from cnnspec.runtime.network import Network

# Odd sizes, values with a halo and without, vectors; sums behind relu, relu6 and nothing, of a projection too.
SPEC = """input 9x7x3
block basic(c, stride=1) {{
  residual {{
    conv c 3x3 stride=stride bias=no -> bn -> relu
    conv c 3x3 bias=no -> bn
  }} project {{
    conv c 1x1 stride=stride bias=no -> bn
  }}
  relu
}}
conv {width} 3x3 bias=no -> bn -> relu
repeat 2 {{ basic {width} }}
basic {wider} stride=2
residual {{ conv {wider} 1x1 -> relu -> conv {wider} 1x1 bias=no -> bn }}
residual {{ conv {wider} 3x3 bias=no -> bn }}
relu6
avgpool global -> flatten
residual {{ dense {wider} -> bn }}
relu
dense 4
"""


def train(width: int, batch: int, dtype: str) -> tuple[list[bytes], set[str]]:
    """Return losses and weights of three steps, and the kernels that ran."""
    model = Compiler.from_text(SPEC.format(width=width, wider=width + 5)).model
    net = Network(Compiler.of(model, Options(batch=batch, dtype=dtype)), seed=2, threads=1)
    rng = np.random.default_rng(width)
    x, target = rng.standard_normal((batch, 9, 7, 3)), (np.arange(batch) % 4).astype(np.int32)
    losses = np.array([net.train_step(x, target, lr=0.05).loss for _ in range(3)])
    assert np.isfinite(losses).all()
    return [a.tobytes() for a in (losses, *net.parameters().values())], set(net.training.plan.kernels)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("width", "batch"), [(11, 1), (3, 5), (16, 4), (24, 6)])
def test_training_is_the_same_to_the_last_bit(
    width: int, batch: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused, kernels = train(width, batch, dtype)
    assert {f"affine.addend.{dtype}", f"relu_grad.addend.{dtype}"} <= kernels
    apart = tuple(one for one in TRAINING if not isinstance(one, FuseResidualSum | FuseGradientMask))
    monkeypatch.setattr(pipelines, "TRAINING", apart)
    expected, kernels = train(width, batch, dtype)
    assert not {f"affine.addend.{dtype}", f"relu_grad.addend.{dtype}"} & kernels
    assert fused == expected


def test_sums_of_a_residual_net_are_fused() -> None:
    """Forward all six; backward the three that a relu's mask alone reads.

    Three have other readers: batch norm's gradient with the stem's mask, that of a sum without activation, the pooling.
    """
    graph = training_graph(Compiler.from_text(SPEC.format(width=8, wider=13)).model)
    fused = Counter(node.op.name for node in graph.nodes if node.op.fields().get("addend"))
    assert fused == {"normalize": 6, "activation_grad": 3}
    assert [node.op.name for node in graph.nodes].count("add") == 3


def test_a_sum_that_overflows_is_not_blamed_on_its_batch_norm() -> None:
    model = Compiler.from_text("input 4x4x3\nresidual { conv 3 1x1 bias=no -> bn }\nflatten -> dense 2\n").model
    net = Network(Compiler.of(model, Options(batch=2)), threads=1)
    huge = np.float32(3e38)
    net.load_parameters(
        {**net.parameters(), "conv.weight": np.zeros((1, 1, 3, 3), np.float32), "bn.bias": np.full(3, huge)}
    )
    assert net.diagnose(np.full((2, 4, 4, 3), huge), np.zeros(2, np.int32)) == "add"


STAGED = "input {h}x{w}x3\nconv {c} 3x3\nresidual {{ conv {c} 3x3 -> relu -> conv {c} 3x3 }}\nrelu\n" + (
    "add {{\n| conv {c} 3x3 bias=no\n| conv {c} 3x3\n}}\ntanh -> flatten -> dense 4\n"
)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize(("h", "w", "c"), [(8, 8, 16), (9, 7, 28), (6, 6, 384), (32, 12, 64)])
def test_inference_is_the_same_to_the_last_bit(
    h: int, w: int, c: int, batch: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the way back from Winograd's tiles, in stages and not, cut for one image and not, whole tiles and parts."""
    model = Compiler.from_text(STAGED.format(h=h, w=w, c=c)).model
    x = np.random.default_rng(c).standard_normal((batch, h, w, 3))

    def logits() -> tuple[np.ndarray, set[str]]:
        net = Network(Compiler.of(model, Options(batch=batch, dtype=dtype)), seed=2, threads=2)
        return net.predict(x), {k.rsplit(".", 2)[0] for k in net.inference.plan.kernels}

    fused, kernels = logits()
    assert ("winograd_panel.addend" if c == 384 else "winograd_conv2d.addend") in kernels and "add" not in kernels
    apart = tuple(one for one in pipelines.INFERENCE if not isinstance(one, FuseResidualConv))
    monkeypatch.setattr(pipelines, "INFERENCE", apart)
    expected, kernels = logits()
    assert not {"winograd_panel.addend", "winograd_conv2d.addend"} & kernels
    assert np.array_equal(fused, expected)
