"""Sums of gradients above a relu: added where the mask is applied, instead of in a sweep of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node
from ..ops.activation import ActivationGrad
from ..ops.merge import Add


class FuseGradientMask:
    """activation_grad of relu on an add of two gradients -> activation_grad with ``plus``: the same, in one sweep.

    A residual block ends so: the next block and the way around it both send a gradient to its relu. Valid where nothing
    else reads the sum. A sum that is a normalize_grad's already costs no sweep, and stays there.
    """

    name: ClassVar[str] = "fuse-gradient-mask"
    after: ClassVar[tuple[str, ...]] = ("mask-before-unpool", "fuse-gradient-sum")

    def run(self, graph: Graph) -> Graph:
        uses, results, producer = graph.uses(), graph.results(), graph.producer()
        gone: set[int] = set()
        fused: dict[int, Node] = {}
        for node in graph.nodes:
            if node.op != ActivationGrad("relu"):
                continue
            dy, y = node.inputs
            total = producer.get(dy.name)
            if total is None or total.op != Add() or len(total.inputs) != 2:
                continue
            if len(uses[dy.name]) == 1 and dy.name not in results:
                one, other = total.inputs
                gone.add(id(total))
                fused[id(node)] = replace(node, op=ActivationGrad("relu", plus=True), inputs=(one, y, other))
        return graph.with_nodes(fused.get(id(n), n) for n in graph.nodes if id(n) not in gone)
