"""Recomputation: normalised images are computed again in the backward pass instead of kept in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ir.rewrite import Rewriter
from ..ops.norm import Normalize, Renormalize


class Recompute:
    """Gradients that read y = normalize(x, ...) -> gradients that read z = renormalize(x, ...), computed before them.

    x, y and z are [N, H, W, C]. The gradient of batch norm reads x, so x is kept for the backward pass anyway.

    Valid everywhere: the same kernel runs on the same numbers, so results are bit-identical. Gain: y is not kept for
    the backward pass, and y is half of the activations of a net of convolutions and batch norms. The price is one more
    sweep over x. It costs little, since the gradient of batch norm then finds x in the cache. See Chen et al. 2016,
    "Training deep nets with sublinear memory cost", section 4, and Rota Bulo et al. 2018, "In-place activated
    batchnorm".
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
            inputs = tuple(again.get(v.name, v) for v in node.inputs)
            if inputs != node.inputs:
                rewriter.replace(node, *made, replace(node, inputs=inputs))
        return rewriter.result()


def _again(rewriter: Rewriter, forward: Node, reader: Node) -> Node:
    """Return the renormalize node. It also takes a gradient that the reader needs, so it cannot run before this one."""
    gradient = next(v for v in reader.inputs if v.has_batch and v.name != forward.output.name)
    op = Renormalize(forward.op.eps, forward.op.activation)  # type: ignore[attr-defined]
    return rewriter.make(op, *forward.inputs, gradient, layer=forward.layer)
