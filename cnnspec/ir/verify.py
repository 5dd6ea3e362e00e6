"""The check of a graph. It runs before and after every pass, so that an error names the pass that made it."""

from __future__ import annotations

from ..errors import InternalError
from .graph import Graph, Node


def verify_graph(graph: Graph, when: str = "", before: Graph | None = None) -> None:
    """Raise InternalError if a graph is invalid.

    In a valid graph each value is made once, and before it is read. The outputs of a node have the shapes and dtypes of
    ``op.results``. Each result of the graph is made.

    Parameters
    ----------
    when : a text for the message, e.g. ``after dead-code``.
    before : a valid graph. The outputs of nodes that it has, too, are not inferred again.
    """
    if graph is before:
        return
    proven = {id(node) for node in before.nodes} if before else set()
    known = {v.name: v for v in graph.inputs}
    known.update({p.value.name: p.value for p in graph.params.values()})
    for node in graph.nodes:
        for v in node.inputs:
            if v.name not in known:
                _fail(graph, node, when, f"%{v.name} is read before it is made")
            if known[v.name].shape != v.shape:
                _fail(graph, node, when, f"%{v.name} is {known[v.name].shape}, read as {v.shape}")
        if id(node) not in proven:
            promised = node.op.results(*node.inputs)
            found = [(v.shape, v.dtype) for v in node.outputs]
            if promised != found:
                _fail(graph, node, when, f"the op promises {promised}, the node says {found}")
        for v in node.outputs:
            if v.name in known:
                _fail(graph, node, when, f"%{v.name} is made twice")
            known[v.name] = v
    for name, v in (*graph.outputs.items(), *graph.updates.items()):
        if v.name not in known:
            raise InternalError(f"invalid graph {when}: result {name} = %{v.name} is never made")


def _fail(graph: Graph, node: Node, when: str, problem: str) -> None:
    from .text import print_node

    at = next(i for i, n in enumerate(graph.nodes) if n is node)
    around = "\n".join(f"{'>' if n is node else ' '} {print_node(n)}" for n in graph.nodes[max(0, at - 3) : at + 3])
    raise InternalError(f"invalid graph {when}: {problem}\n{around}\nplease report this")
