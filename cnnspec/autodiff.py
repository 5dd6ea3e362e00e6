"""Reverse-mode differentiation on graphs: the nodes are visited from the loss back, and gradient nodes are appended.

Each op appends its own gradient nodes (``Op.vjp``). If several nodes read a value, its gradients are added.
Griewank & Walther 2008, "Evaluating Derivatives", chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .ir.graph import Builder, Graph, Value
from .ir.rewrite import next_number
from .ops.merge import Add


def differentiate(graph: Graph, *, loss: str = "loss", wanted: tuple[str, ...] | None = None) -> Graph:
    """Return the graph with an output ``grad:NAME`` for each trainable parameter.

    Parameters
    ----------
    graph : a forward graph with an output f32[N,1], the loss of each sample. Gradients are of the mean over the batch.
    loss : the name of this output.
    wanted : names of the values whose gradients are outputs: parameters, inputs or outputs of nodes. All trainable
        parameters when None. A value that the loss does not depend on has no gradient.
    """
    if wanted is None:
        wanted = tuple(name for name, p in graph.params.items() if p.param.trainable)
    needed = _reaching(graph, set(wanted))
    b = Builder({v.name: v for v in graph.inputs}, start=next_number(graph))
    gradients: dict[str, list[Value]] = {graph.outputs[loss].name: [b.step]}  # step holds 1/N, the gradient of the mean
    for node in reversed(graph.nodes):
        assert not any(v.name in gradients for v in node.outputs[1:]), "only first outputs have gradients"
        if node.output.name not in gradients or not any(v.name in needed for v in node.inputs):
            continue
        dy = _sum(b, gradients[node.output.name])
        gradients[node.output.name] = [dy]  # a wanted value is not summed a second time below
        b.layer = node.layer
        for value, gradient in zip(node.inputs, node.op.vjp(b, node, dy), strict=True):
            if gradient is not None and value.name in needed:
                gradients.setdefault(value.name, []).append(gradient)
    b.layer = ""
    outputs = {f"grad:{name}": _sum(b, gradients[name]) for name in wanted if name in gradients}
    return replace(graph, nodes=(*graph.nodes, *b.nodes), outputs={**graph.outputs, **outputs})


def _sum(b: Builder, values: Sequence[Value]) -> Value:
    """Return the sum of one or more values of equal shape."""
    return values[0] if len(values) == 1 else b.add(Add(), *values)


def _reaching(graph: Graph, wanted: set[str]) -> set[str]:
    """Return the names of values that depend on a wanted value. Only they need a gradient."""
    needed = set(wanted)
    for node in graph.nodes:
        if any(v.name in needed for v in node.inputs):
            needed.update(v.name for v in node.outputs)
    return needed
