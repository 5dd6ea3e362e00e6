"""Average pooling before 1x1 convolutions: the convolution multiplies means instead of all pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node
from ..ir.rewrite import Rewriter
from ..ops.conv import Conv
from ..ops.pool import AvgPool


class PoolFirst:
    """avgpool(conv(x)) -> conv(avgpool(x)) for 1x1 filters, x [N, H, W, C_in] and output [N, H', W', C_out].

    Both ops are linear. The convolution mixes the channels of one pixel; the pooling takes means over pixels of one
    channel. The weights of a mean add up to 1, so the bias stays the same.

    Valid for 1x1 filters of stride 1 without padding, where the pooling alone reads the convolution and no activation
    is fused into it. Equal up to rounding: the order of sums changes. Applied where it saves multiplications.

    Gain: the convolution has H' W' instead of H W pixels, a quarter for a 2x2 pooling. The pass runs before
    differentiation, so both gradients gain as well. The transitions of DenseNet have this form (Huang et al. 2017,
    section 3).
    """

    name: ClassVar[str] = "pool-first"
    after: ClassVar[tuple[str, ...]] = ("fold-batchnorm",)

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        for pool in graph.nodes:
            conv = rewriter.maker(pool.inputs[0]) if isinstance(pool.op, AvgPool) else None
            if conv is not None and rewriter.sole_reader(conv.output) is pool and _saves(conv, pool):
                mean = rewriter.make(pool.op, conv.inputs[0], layer=pool.layer)
                rewriter.erase(conv)
                rewriter.replace(
                    pool, mean, replace(conv, inputs=(mean.output, *conv.inputs[1:]), outputs=pool.outputs)
                )
        return rewriter.result()


def _saves(conv: Node, pool: Node) -> bool:
    """Whether a node is a 1x1 convolution that needs fewer multiplications after the pooling than before it."""
    assert isinstance(pool.op, AvgPool)
    if not isinstance(conv.op, Conv) or conv.op.activation:
        return False
    (h, w, out), (new_h, new_w, _), inner = conv.output.sample, pool.output.sample, conv.inputs[0].sample[2]
    (rows, columns), _, _ = pool.op.geometry(conv.output.sample)
    saved = (h * w - new_h * new_w) * out * inner // conv.op.groups  # multiplications
    added = rows * columns * new_h * new_w * (inner - out)  # the pooling then adds C_in instead of C_out channels
    plain = (conv.op.kernel_size, conv.op.stride, conv.op.pads) == ((1, 1), (1, 1), (0, 0))
    return plain and saved > max(0, added)
