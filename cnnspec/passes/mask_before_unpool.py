"""The gradient of an activation below a max pooling: applied to the pooled numbers, a quarter as many."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Value
from ..ir.rewrite import Rewriter
from ..ops.activation import ActivationGrad
from ..ops.pool import MaxPool, MaxPoolGrad


class MaskBeforeUnpool:
    """activation_grad(maxpool_grad(dy, index), x) -> maxpool_grad(activation_grad(dy, y), index), y the pooled x.

    Each dy goes to the one place of its window that y was copied from, so the slope there is the slope at y; other
    places get zeros either way. Where windows overlap, a slope is multiplied by before the sum instead of after: equal
    up to rounding. The activation itself is no longer needed backward. Valid where nothing else reads the unpooled
    gradient; done where pooling leaves fewer numbers.
    """

    name: ClassVar[str] = "mask-before-unpool"
    after: ClassVar[tuple[str, ...]] = ()

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        for mask in graph.nodes:
            if not isinstance(mask.op, ActivationGrad):
                continue
            unpooled, x = mask.inputs
            unpool = rewriter.maker(unpooled)
            if unpool is None or not isinstance(unpool.op, MaxPoolGrad) or rewriter.sole_reader(unpooled) is None:
                continue
            dy, index = unpool.inputs
            pool = rewriter.maker(index)
            if pool is None or not isinstance(pool.op, MaxPool) or pool.inputs[0] != x:
                continue
            if dy.sample_size < x.sample_size:
                masked = Value(unpooled.name, dy.shape, dy.dtype)
                first = replace(mask, inputs=(dy, pool.output), outputs=(masked,))
                rewriter.erase(mask)
                rewriter.replace(unpool, first, replace(unpool, inputs=(masked, index), outputs=mask.outputs))
        return rewriter.result()
