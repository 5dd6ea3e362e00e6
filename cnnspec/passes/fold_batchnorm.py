"""Batch-norm folding for inference: the normalisation moves into the filters before it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Builder, Graph, Node, Value
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
        uses, results, producer = graph.uses(), graph.results(), graph.producer()
        b = Builder(start=1 + max((int(v.name) for n in graph.nodes for v in n.outputs if v.name.isdigit()), default=0))
        replaced: set[str] = set()
        for node in graph.nodes:
            if not isinstance(node.op, BatchNorm):
                continue
            linear = producer.get(node.inputs[0].name)
            if linear is None or not isinstance(linear.op, Conv | Depthwise | Dense) or linear.op.activation:
                continue
            if len(uses[linear.output.name]) == 1 and linear.output.name not in results:
                replaced.add(linear.output.name)
        for node in graph.nodes:
            if node.output.name in replaced:
                continue
            first = node.inputs[0].name if node.inputs else ""
            if isinstance(node.op, BatchNorm) and first in replaced:
                self._fold(b, producer[first], node)
            else:
                b.nodes.append(node)
        return graph.with_nodes(b.nodes)

    @staticmethod
    def _fold(b: Builder, linear: Node, bn: Node) -> None:
        assert isinstance(linear.op, Conv | Depthwise | Dense) and isinstance(bn.op, BatchNorm)
        x, weight, *bias = linear.inputs
        b.layer = bn.layer
        fold = FoldBatchNorm(bn.op.eps, bool(bias), getattr(linear.op, "groups", 1))
        folded: tuple[Value, ...] = b.add_all(fold, weight, *bias, *bn.inputs[1:])
        op = replace(linear.op, bias=True)
        b.nodes.append(Node(op, (x, *folded), bn.outputs, linear.layer))
