"""Sums of residual blocks in inference: added on a convolution's way back from Winograd's tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ops.conv import Conv
from ..ops.merge import Add


class FuseResidualConv:
    """add of a convolution by Winograd and one other value -> the convolution with ``plus``, and the add's activation.

    The same sum, so no bit differs; what the convolution would have written is not written and read. Valid where the
    add is its only reader and it has no activation of its own. Gradients would need the convolution's output, which is
    why this is for inference. Of two convolutions the later one takes the sum: the other is there by then.
    """

    name: ClassVar[str] = "fuse-residual-conv"
    after: ClassVar[tuple[str, ...]] = ("fuse-activation", "choose-algorithm")

    def run(self, graph: Graph) -> Graph:
        uses, results, producer = graph.uses(), graph.results(), graph.producer()
        place = {node.output.name: i for i, node in enumerate(graph.nodes)}

        def fits(v: Value) -> bool:
            op = producer[v.name].op if v.name in producer else None
            winograd = isinstance(op, Conv) and op.algorithm.startswith("winograd")
            free = winograd and not op.activation and not op.plus  # type: ignore[union-attr]
            return free and len(uses[v.name]) == 1 and v.name not in results

        gone: set[int] = set()
        fused: dict[int, Node] = {}
        for node in graph.nodes:
            if not isinstance(node.op, Add) or len(node.inputs) != 2 or node.inputs[0].name == node.inputs[1].name:
                continue
            terms = sorted(filter(fits, node.inputs), key=lambda v: place[v.name])
            if terms:
                maker = producer[terms[-1].name]
                other = next(v for v in node.inputs if v.name != terms[-1].name)
                op = replace(maker.op, activation=node.op.activation, plus=True)  # type: ignore[type-var]
                gone.add(id(maker))
                fused[id(node)] = replace(maker, op=op, inputs=(*maker.inputs, other), outputs=node.outputs)
        return graph.with_nodes(fused.get(id(n), n) for n in graph.nodes if id(n) not in gone)
