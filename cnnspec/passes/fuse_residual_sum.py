"""Sums of residual blocks: added where batch norm makes one of the terms, instead of in a sweep of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ops.activation import BOUNDS
from ..ops.merge import Add
from ..ops.norm import Normalize


class FuseResidualSum:
    """add of a normalize and one other value -> normalize with ``plus``, which takes over the add's activation.

    The same multiply-add, sum and bounds, so no bit differs; but the normalised image, which nothing else reads, never
    goes through memory. Gradients read the normalize's input and the sum, which both remain. Valid where the add is the
    only reader, the normalize has no activation of its own, and that of the add only keeps numbers between bounds. Of
    two normalised branches the later one takes the sum: the other is there by then.
    """

    name: ClassVar[str] = "fuse-residual-sum"
    after: ClassVar[tuple[str, ...]] = ("recompute",)  # whose second computation has no sum

    def run(self, graph: Graph) -> Graph:
        uses, results, producer = graph.uses(), graph.results(), graph.producer()
        place = {node.output.name: i for i, node in enumerate(graph.nodes)}

        def fits(v: Value) -> bool:
            op = producer[v.name].op if v.name in producer else None
            free = type(op) is Normalize and not op.activation and not op.plus
            return free and len(uses[v.name]) == 1 and v.name not in results

        gone: set[int] = set()
        fused: dict[int, Node] = {}
        for node in graph.nodes:
            if not isinstance(node.op, Add) or len(node.inputs) != 2 or node.op.activation not in ("", *BOUNDS):
                continue
            terms = sorted(filter(fits, node.inputs), key=lambda v: place[v.name])
            if terms:
                maker = producer[terms[-1].name]
                other = next(v for v in node.inputs if v.name != terms[-1].name)
                op = replace(maker.op, activation=node.op.activation, plus=True)  # type: ignore[type-var]
                gone.add(id(maker))
                fused[id(node)] = replace(maker, op=op, inputs=(*maker.inputs, other), outputs=node.outputs)
        return graph.with_nodes(fused.get(id(n), n) for n in graph.nodes if id(n) not in gone)
