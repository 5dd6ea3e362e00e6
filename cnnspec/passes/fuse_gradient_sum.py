"""Sums of gradients: added where one of them is made, instead of in a sweep of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node
from ..ops.merge import Add
from ..ops.norm import NormalizeGrad


class FuseGradientSum:
    """add of a normalize_grad and one other gradient -> normalize_grad with ``plus``: the same sum, one sweep fewer.

    Valid where the sum is the only reader. The other gradient may then be a slice of a wider one (plan/slices.py).
    """

    name: ClassVar[str] = "fuse-gradient-sum"
    after: ClassVar[tuple[str, ...]] = ("dead-code",)

    def run(self, graph: Graph) -> Graph:
        uses, results, producer = graph.uses(), graph.results(), graph.producer()
        gone: set[int] = set()
        fused: dict[int, Node] = {}
        for node in graph.nodes:
            if node.op != Add() or len(node.inputs) != 2 or node.inputs[0].name == node.inputs[1].name:
                continue
            for one, other in (node.inputs, node.inputs[::-1]):
                maker = producer.get(one.name)
                if maker is None or not isinstance(maker.op, NormalizeGrad) or maker.op.plus:
                    continue
                if len(uses[one.name]) == 1 and one.name not in results:
                    gone.add(id(maker))
                    op = replace(maker.op, plus=True)
                    fused[id(node)] = replace(maker, op=op, inputs=(*maker.inputs, other), outputs=node.outputs)
                    break
        return graph.with_nodes(fused.get(id(n), n) for n in graph.nodes if id(n) not in gone)
