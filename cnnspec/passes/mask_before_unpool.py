"""The gradient of an activation before a max pooling: applied to the pooled image, a quarter of the numbers for 2x2."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Value
from ..ir.rewrite import Rewriter
from ..ops.activation import ActivationGrad
from ..ops.pool import MaxPool, MaxPoolGrad


class MaskBeforeUnpool:
    """activation_grad(maxpool_grad(dy, index), x) -> maxpool_grad(activation_grad(dy, y), index), with y = maxpool(x).

    x [N, H, W, C] is the output of the activation, y and dy [N, H', W', C] belong to the pooled image. maxpool_grad
    moves each dy to the pixel of x that y was copied from. There x equals y, so the slope of the activation is the
    same. All other pixels receive zeros in both forms.

    Valid where activation_grad alone reads the output of maxpool_grad. Applied where y has fewer numbers than x.
    Results are bit-identical where windows do not overlap. Where they overlap, the slope multiplies each dy before the
    sum instead of the sum: equal up to rounding. Gain: activation_grad runs over y instead of x, and the backward pass
    no longer reads x.
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
                slope = replace(mask, inputs=(dy, pool.output), outputs=(masked,))
                rewriter.erase(mask)
                rewriter.replace(unpool, slope, replace(unpool, inputs=(masked, index), outputs=mask.outputs))
        return rewriter.result()
