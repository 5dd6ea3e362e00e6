"""Activation fusion: the function is applied while the sums are still in registers."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node
from ..ops.activation import Activation


class FuseActivation:
    """conv, depthwise, dense or normalize, then an activation -> the same op with ``activation`` set.

    Valid where the activation is the only reader of the op's output and that output is no result itself. The
    gradient needs only the activation's output, so nothing is lost for training.
    """

    name: ClassVar[str] = "fuse-activation"
    after: ClassVar[tuple[str, ...]] = ("fold-batchnorm",)

    def run(self, graph: Graph) -> Graph:
        uses, results = graph.uses(), graph.results()
        fused: dict[str, Node] = {}  # output of the linear op -> its activation
        for node in graph.nodes:
            if getattr(node.op, "activation", None) != "":
                continue
            readers = uses.get(node.output.name, [])
            if len(readers) == 1 and isinstance(readers[0].op, Activation) and node.output.name not in results:
                fused[node.output.name] = readers[0]
        gone = {id(activation) for activation in fused.values()}
        nodes = []
        for node in graph.nodes:
            if id(node) in gone:
                continue
            activation = fused.get(node.output.name)
            if activation is not None:
                op = replace(node.op, activation=activation.op.kind)  # type: ignore[type-var, attr-defined]
                node = replace(node, op=op, outputs=activation.outputs)
            nodes.append(node)
        return graph.with_nodes(nodes)
