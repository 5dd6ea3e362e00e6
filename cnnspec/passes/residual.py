"""Sums of two values, made by what makes one of them: the rewrite that passes for training and for inference share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..ir.graph import Graph, Node, Value
from ..ops.base import Op
from ..ops.merge import Add


def sum_where_made(graph: Graph, takes: Callable[[Op], bool], activations: tuple[str, ...] | None = None) -> Graph:
    """Replace an add and the op behind one of its terms by that op with ``plus``, which takes over the activation.

    Valid where the add is the term's only reader, and the op has no activation of its own. Of two such terms the later
    one takes the sum: the other is there by then.

    Parameters
    ----------
    takes : whether an op can add.
    activations : of the adds that may go; any when None.
    """
    uses, results, producer = graph.uses(), graph.results(), graph.producer()
    place = {node.output.name: i for i, node in enumerate(graph.nodes)}

    def fits(v: Value) -> bool:
        op = producer[v.name].op if v.name in producer else None
        free = op is not None and takes(op) and not getattr(op, "activation", "") and not getattr(op, "plus", False)
        return free and len(uses[v.name]) == 1 and v.name not in results

    gone: set[int] = set()
    fused: dict[int, Node] = {}
    for node in graph.nodes:
        if not isinstance(node.op, Add) or len(node.inputs) != 2:
            continue
        if activations is not None and node.op.activation not in activations:
            continue
        terms = sorted(filter(fits, node.inputs), key=lambda v: place[v.name])
        if terms:
            maker = producer[terms[-1].name]
            other = next(v for v in node.inputs if v.name != terms[-1].name)
            op = replace(maker.op, activation=node.op.activation, plus=True)  # type: ignore[type-var]
            gone.add(id(maker))
            fused[id(node)] = replace(maker, op=op, inputs=(*maker.inputs, other), outputs=node.outputs)
    return graph.with_nodes(fused.get(id(n), n) for n in graph.nodes if id(n) not in gone)
