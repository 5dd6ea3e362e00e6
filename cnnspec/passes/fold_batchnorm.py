"""Batch-norm folding for inference: the normalisation becomes part of the filters and bias of the layer before it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node
from ..ir.rewrite import Rewriter
from ..ops.conv import Conv, Depthwise
from ..ops.linear import Dense
from ..ops.norm import BatchNorm, FoldBatchNorm


class FoldNormalisation:
    """bn(conv(x, w, b)) -> conv(x, w', b') with w', b' = fold_batchnorm(w, b, ...); likewise depthwise and dense.

    Both ops are affine in each output channel: (w x + b - mean) g + beta = (w g) x + (b - mean) g + beta, with
    g = weight / sqrt(var + eps) [C_out]. The filters are w [kH, kW, C_in/groups, C_out], [kH, kW, C] or [F_in, F_out].

    Valid with running statistics, so in inference, where bn is the only reader of the layer, the layer's output is no
    result, and no activation is fused into the layer. Equal up to rounding. Gain: no sweep over the image
    [N, H, W, C_out]. fold_batchnorm reads parameters alone, so it runs once and not for each batch.
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
    """Return the fold_batchnorm node, and the node of the layer that reads its filters and bias."""
    assert isinstance(linear.op, Conv | Depthwise | Dense) and isinstance(bn.op, BatchNorm)
    x, weight, *bias = linear.inputs
    op = FoldBatchNorm(bn.op.eps, bool(bias), getattr(linear.op, "groups", 1))
    fold = rewriter.make(op, weight, *bias, *bn.inputs[1:], layer=bn.layer)
    return fold, Node(replace(linear.op, bias=True), (x, *fold.outputs), bn.outputs, linear.layer)
