"""Activation fusion: the kernel of a layer applies the activation behind it, without a sweep of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..activations import is_of_input
from ..ir.graph import Graph
from ..ir.rewrite import Rewriter
from ..ops.activation import Activation


@dataclass(frozen=True)
class FuseActivation:
    """activation(op(...)) -> op(...) with the field ``activation`` set.

    The op is any op that has this field: conv, depthwise, dense, bn, normalize or add. Shapes are arbitrary.

    Valid where the activation is the only reader of the op's output, and this output is no result. In ``training`` also
    only where the gradient of the activation reads its output y, which the fused op still makes: no fused op keeps the
    input. Gain: one sweep over y, and the memory of the op's output before the activation. Numbers stay the same.
    """

    name: ClassVar[str] = "fuse-activation"
    after: ClassVar[tuple[str, ...]] = ("fold-batchnorm",)

    training: bool = False

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            if getattr(node.op, "activation", None) != "":
                continue
            reader = rewriter.sole_reader(node.output)
            if reader is None or not isinstance(reader.op, Activation):
                continue
            if not (self.training and is_of_input(reader.op.kind)):
                op = replace(node.op, activation=reader.op.kind)  # type: ignore[type-var]
                rewriter.replace(node, replace(node, op=op, outputs=reader.outputs))
                rewriter.erase(reader)
        return rewriter.result()
