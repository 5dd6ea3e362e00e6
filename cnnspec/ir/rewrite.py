"""Rewriting graphs: who makes and who reads a value, nodes with fresh names, and nodes replaced, erased or added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .graph import Builder, Graph, Node, Op, Value


def next_number(graph: Graph) -> int:
    """Return the least number from which on no number names a value of the graph."""
    return 1 + max((int(v.name) for node in graph.nodes for v in node.outputs if v.name.isdigit()), default=-1)


class Rewriter:
    """Collects the changes of one pass. Questions are answered from the graph before them, :meth:`result` has them all.

    Parameters
    ----------
    graph : the graph to rewrite.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.results = graph.results()  # names of outputs and updates, which every pass keeps
        self._makers, self._readers = graph.producer(), graph.uses()
        self._places = {v.name: place for place, node in enumerate(graph.nodes) for v in node.outputs}
        self._builder = Builder(start=next_number(graph))
        self._stead: dict[str, tuple[Node, ...]] = {}  # first output of a node -> the nodes in its place
        self._renamed: dict[str, Value] = {}

    # ---- questions --------------------------------------------------------------------------------
    def maker(self, value: Value) -> Node | None:
        """Return the node that makes a value; None for inputs and parameters."""
        return self._makers.get(value.name)

    def place(self, value: Value) -> int:
        """Return the place of a value's maker among the nodes; -1 for inputs and parameters, which come before all."""
        return self._places.get(value.name, -1)

    def readers(self, value: Value) -> list[Node]:
        """Return the nodes that read a value, in order; a node that reads it twice is there twice."""
        return self._readers.get(value.name, [])

    def sole_reader(self, value: Value) -> Node | None:
        """Return the node that alone reads a value, and once. None for a result of the graph: its caller reads it."""
        readers = self.readers(value)
        return readers[0] if len(readers) == 1 and value.name not in self.results else None

    # ---- changes ----------------------------------------------------------------------------------
    def make(self, op: Op, *inputs: Value, layer: str) -> Node:
        """Return a node with freshly named outputs. It joins the graph by ``replace`` or ``insert_after``."""
        self._builder.layer = layer
        self._builder.add_all(op, *inputs)
        return self._builder.nodes.pop()

    def replace(self, node: Node, *others: Node) -> None:
        """Put other nodes in a node's place. One of them makes each value that is still read."""
        assert node.output.name not in self._stead, f"the node of {node.output} is replaced twice"
        self._stead[node.output.name] = others

    def erase(self, node: Node) -> None:
        """Remove a node whose outputs nothing reads any more."""
        self.replace(node)

    def insert_after(self, node: Node, *others: Node) -> None:
        """Add nodes behind a node, and behind those added there before."""
        self._stead[node.output.name] = (*self._stead.get(node.output.name, (node,)), *others)

    def rename(self, old: Iterable[Value], new: Iterable[Value]) -> None:
        """Let readers of old values, the graph's results included, read new ones."""
        self._renamed |= {v.name: other for v, other in zip(old, new, strict=True)}

    def result(self) -> Graph:
        """Return the graph with all changes; the very graph that was given where there are none."""
        if not self._stead and not self._renamed:
            return self.graph
        nodes = [other for node in self.graph.nodes for other in self._stead.get(node.output.name, (node,))]
        if not self._renamed:
            return self.graph.with_nodes(nodes)

        def now(v: Value) -> Value:
            return self._renamed.get(v.name, v)

        return replace(
            self.graph,
            nodes=tuple(replace(node, inputs=tuple(map(now, node.inputs))) for node in nodes),
            outputs={name: now(v) for name, v in self.graph.outputs.items()},
            updates={name: now(v) for name, v in self.graph.updates.items()},
        )
