"""Recomputation: what is cheaper to compute again than to keep until the backward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ir.rewrite import Rewriter
from ..ops.norm import Normalize, Renormalize


class Recompute:
    """normalize whose output a gradient reads -> renormalize just before that gradient, from the input kept anyway.

    The same kernel on the same numbers gives the same bits. The gradient of batch norm reads its input soon after, so
    nothing more is fetched from memory; the output is never written there, and half of the activations are not kept
    (Chen et al. 2016, "Training deep nets with sublinear memory cost", section 4; Rota Bulo et al. 2018, "In-place
    activated batchnorm").
    """

    name: ClassVar[str] = "recompute"
    after: ClassVar[tuple[str, ...]] = ("dead-code",)

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        end = 1 + (rewriter.place(graph.outputs["loss"]) if "loss" in graph.outputs else len(graph.nodes))
        kept = {n.output.name: n for n in graph.nodes[:end] if type(n.op) is Normalize}
        again: dict[str, Value] = {}
        for node in graph.nodes[end:]:
            made = []
            for value in node.inputs:
                if value.name in kept and value.name not in again:
                    made.append(_again(rewriter, kept[value.name], node))
                    again[value.name] = made[-1].output
            rewriter.replace(node, *made, replace(node, inputs=tuple(again.get(v.name, v) for v in node.inputs)))
        return rewriter.result()


def _again(rewriter: Rewriter, forward: Node, reader: Node) -> Node:
    """Return the second computation, which follows a gradient that the reader needs."""
    gradient = next(v for v in reader.inputs if v.has_batch and v.name != forward.output.name)
    op = Renormalize(forward.op.eps, forward.op.activation)  # type: ignore[attr-defined]
    return rewriter.make(op, *forward.inputs, gradient, layer=forward.layer)
