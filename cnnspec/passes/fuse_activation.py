"""Activation fusion: the function is applied while the sums are still in registers."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph
from ..ir.rewrite import Rewriter
from ..ops.activation import Activation


class FuseActivation:
    """conv, depthwise, dense or normalize, then an activation -> the same op with ``activation`` set.

    Valid where the activation is the only reader of the op's output and that output is no result itself. The
    gradient needs only the activation's output, so nothing is lost for training.
    """

    name: ClassVar[str] = "fuse-activation"
    after: ClassVar[tuple[str, ...]] = ("fold-batchnorm",)

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            if getattr(node.op, "activation", None) != "":
                continue
            reader = rewriter.sole_reader(node.output)
            if reader is not None and isinstance(reader.op, Activation):
                op = replace(node.op, activation=reader.op.kind)  # type: ignore[type-var]
                rewriter.replace(node, replace(node, op=op, outputs=reader.outputs))
                rewriter.erase(reader)
        return rewriter.result()
