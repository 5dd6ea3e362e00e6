"""Recomputation: what is cheaper to compute again than to keep until the backward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Builder, Graph, Node, Value
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
        loss = graph.outputs["loss"].name if "loss" in graph.outputs else ""
        end = 1 + next(
            (i for i, n in enumerate(graph.nodes) if any(v.name == loss for v in n.outputs)), len(graph.nodes)
        )
        kept = {n.output.name: n for n in graph.nodes[:end] if type(n.op) is Normalize}
        b = Builder(start=1 + max(int(v.name) for n in graph.nodes for v in n.outputs if v.name.isdigit()))
        again: dict[str, Value] = {}
        nodes: list[Node] = list(graph.nodes[:end])
        for node in graph.nodes[end:]:
            for value in node.inputs:
                if value.name in kept and value.name not in again:
                    again[value.name] = self._again(b, kept[value.name], node)
                    nodes.append(b.nodes[-1])
            nodes.append(replace(node, inputs=tuple(again.get(v.name, v) for v in node.inputs)))
        return graph.with_nodes(nodes)

    @staticmethod
    def _again(b: Builder, forward: Node, reader: Node) -> Value:
        """Append the second computation, after a gradient that the reader needs."""
        gradient = next(v for v in reader.inputs if v.has_batch and v.name != forward.output.name)
        b.layer = forward.layer
        op = Renormalize(forward.op.eps, forward.op.activation)  # type: ignore[attr-defined]
        return b.add(op, *forward.inputs, gradient)
