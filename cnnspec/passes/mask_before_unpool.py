"""The gradient of an activation below a max pooling: applied to the pooled numbers, a quarter as many."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
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
        uses, results, producer = graph.uses(), graph.results(), graph.producer()
        nodes: list[Node] = []
        replaced: dict[str, tuple[Node, Node]] = {}  # unpooled gradient -> the two nodes in their new order
        for node in graph.nodes:
            if not isinstance(node.op, ActivationGrad):
                continue
            unpooled, x = node.inputs
            unpool = producer.get(unpooled.name)
            if unpool is None or not isinstance(unpool.op, MaxPoolGrad):
                continue
            dy, index = unpool.inputs
            pool = producer.get(index.name)
            if pool is None or not isinstance(pool.op, MaxPool) or pool.inputs[0].name != x.name:
                continue
            if len(uses[unpooled.name]) > 1 or unpooled.name in results or dy.sample_size >= x.sample_size:
                continue
            masked = Value(unpooled.name, dy.shape, dy.dtype)
            mask = Node(node.op, (dy, pool.output), (masked,), node.layer)
            replaced[unpooled.name] = mask, replace(unpool, inputs=(masked, index), outputs=node.outputs)
        for node in graph.nodes:
            first = node.inputs[0].name if node.inputs else ""
            if node.output.name in replaced:
                nodes += replaced[node.output.name]
            elif not (isinstance(node.op, ActivationGrad) and first in replaced):
                nodes.append(node)
        return graph.with_nodes(nodes)
