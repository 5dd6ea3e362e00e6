"""Batch-norm folding for inference: the normalisation moves into the filters before it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node
from ..ir.rewrite import Rewriter
from ..ops.conv import Conv, Depthwise
from ..ops.linear import Dense
from ..ops.norm import BatchNorm, FoldBatchNorm


class FoldNormalisation:
    """conv, depthwise or dense, then bn with running statistics -> one layer with folded filters and bias.

    Both are affine in each output channel: (w x + b - mean) * g + beta = (w g) x + (b - mean) g + beta. Valid where bn
    is the only reader. The folded filters depend on parameters alone and are computed once, not for each batch.
    """

    name: ClassVar[str] = "fold-batchnorm"
    after: ClassVar[tuple[str, ...]] = ()

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        for bn in graph.nodes:
            linear = rewriter.maker(bn.inputs[0]) if isinstance(bn.op, BatchNorm) else None
            if linear is None or not isinstance(linear.op, Conv | Depthwise | Dense) or linear.op.activation:
                continue
            if rewriter.sole_reader(linear.output) is bn:
                rewriter.erase(linear)
                rewriter.replace(bn, *_folded(rewriter, linear, bn))
        return rewriter.result()


def _folded(rewriter: Rewriter, linear: Node, bn: Node) -> tuple[Node, Node]:
    """Return the node that folds filters and bias, and the layer that uses them."""
    assert isinstance(linear.op, Conv | Depthwise | Dense) and isinstance(bn.op, BatchNorm)
    x, weight, *bias = linear.inputs
    op = FoldBatchNorm(bn.op.eps, bool(bias), getattr(linear.op, "groups", 1))
    fold = rewriter.make(op, weight, *bias, *bn.inputs[1:], layer=bn.layer)
    return fold, Node(replace(linear.op, bias=True), (x, *fold.outputs), bn.outputs, linear.layer)
