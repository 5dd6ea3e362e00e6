"""Means before 1x1 convolutions: a convolution of every pixel becomes one of every mean."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node
from ..ir.rewrite import Rewriter
from ..ops.conv import Conv
from ..ops.pool import AvgPool


class PoolFirst:
    """avgpool(conv 1x1(x)) -> conv 1x1(avgpool(x)), where that leaves fewer pixels to multiply.

    Both are linear, and each acts on an axis of its own: one mixes the channels of a pixel, the other takes means over
    pixels, whose weights add up to 1, so that the bias stays what it is. Only the order of sums differs. Valid where
    the pooling is the only reader and no function lies between. Gradients are taken of the result, so they gain as
    well; DenseNet's transitions (Huang et al. 2017, section 3) are of this form.
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
    """Whether a node is a 1x1 convolution that has fewer multiplications behind a pooling than before it."""
    assert isinstance(pool.op, AvgPool)
    if not isinstance(conv.op, Conv) or conv.op.activation:
        return False
    (h, w, out), (new_h, new_w, _), inner = conv.output.sample, pool.output.sample, conv.inputs[0].sample[2]
    (rows, columns), _, _ = pool.op.geometry(conv.output.sample)
    saved = (h * w - new_h * new_w) * out * inner // conv.op.groups  # multiplications
    added = rows * columns * new_h * new_w * (inner - out)  # of more channels, where windows overlap or grow
    plain = (conv.op.kernel_size, conv.op.stride, conv.op.pads) == ((1, 1), (1, 1), (0, 0))
    return plain and saved > max(0, added)
