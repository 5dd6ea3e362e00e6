"""Means before 1x1 convolutions: a convolution of every pixel becomes one of every mean."""

from __future__ import annotations

from typing import ClassVar

from ..ir.graph import Builder, Graph, Node
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
        uses, results, producer = graph.uses(), graph.results(), graph.producer()
        b = Builder(start=1 + max((int(v.name) for n in graph.nodes for v in n.outputs if v.name.isdigit()), default=0))

        def fits(conv: Node, pool: Node) -> bool:
            if not isinstance(conv.op, Conv) or not isinstance(pool.op, AvgPool):
                return False
            alone = len(uses[conv.output.name]) == 1 and conv.output.name not in results
            plain = (conv.op.kernel_size, conv.op.stride, conv.op.pads) == ((1, 1), (1, 1), (0, 0))
            (h, w, out), (new_h, new_w, _), inner = conv.output.sample, pool.output.sample, conv.inputs[0].sample[2]
            (rows, columns), _, _ = pool.op.geometry(conv.output.sample)
            saved = (h * w - new_h * new_w) * out * inner // conv.op.groups  # multiplications
            added = rows * columns * new_h * new_w * (inner - out)  # of more channels, where windows overlap or grow
            return alone and plain and not conv.op.activation and saved > max(0, added)

        pairs: dict[int, Node] = {}
        for node in graph.nodes:
            maker = producer.get(node.inputs[0].name) if node.inputs else None
            if maker is not None and fits(maker, node):
                pairs[id(node)] = maker
        moved = {id(conv) for conv in pairs.values()}
        for node in graph.nodes:
            conv = pairs.get(id(node))
            if conv is not None:
                b.layer = node.layer
                mean = b.add(node.op, conv.inputs[0])
                b.nodes.append(Node(conv.op, (mean, *conv.inputs[1:]), node.outputs, conv.layer))
            elif id(node) not in moved:
                b.nodes.append(node)
        return graph.with_nodes(b.nodes)
