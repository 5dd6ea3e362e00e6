"""Rewriting graphs: the maker and the readers of a value, and nodes that are replaced, erased or inserted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from .graph import Builder, Graph, Node, Op, Value


def next_number(graph: Graph) -> int:
    """Return the smallest n such that no value of the graph is named n or a larger number."""
    return 1 + max((int(v.name) for node in graph.nodes for v in node.outputs if v.name.isdigit()), default=-1)


class Rewriter:
    """Collects the changes of one pass. Queries answer for the unchanged graph; :meth:`result` makes all changes.

    Parameters
    ----------
    graph : the graph to rewrite.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.results = graph.results()  # names of outputs and updates
        self._stead: dict[str, tuple[Node, ...]] = {}  # first output of a node -> the nodes that replace it
        self._renamed: dict[str, Value] = {}

    # Most passes find nothing to rewrite, and ask for none of these.
    @cached_property
    def _places(self) -> dict[str, int]:
        return {v.name: place for place, node in enumerate(self.graph.nodes) for v in node.outputs}

    @cached_property
    def _builder(self) -> Builder:
        return Builder(start=next_number(self.graph))

    # ---- queries ----------------------------------------------------------------------------------
    def maker(self, value: Value) -> Node | None:
        """Return the node that makes a value; None for inputs and parameters."""
        return self.graph.producer.get(value.name)

    def place(self, value: Value) -> int:
        """Return the index in ``graph.nodes`` of the node that makes a value; -1 for inputs and parameters."""
        return self._places.get(value.name, -1)

    def readers(self, value: Value) -> list[Node]:
        """Return the nodes that read a value, in order. A node that reads it twice is listed twice."""
        return self.graph.uses.get(value.name, [])

    def sole_reader(self, value: Value) -> Node | None:
        """Return the only node that reads a value. None if there are more reads, or if the value is a result."""
        readers = self.readers(value)
        return readers[0] if len(readers) == 1 and value.name not in self.results else None

    # ---- changes ----------------------------------------------------------------------------------
    def make(self, op: Op, *inputs: Value, layer: str) -> Node:
        """Return a node whose outputs have new names. ``replace`` or ``insert_after`` puts it into the graph."""
        self._builder.layer = layer
        self._builder.add_all(op, *inputs)
        return self._builder.nodes.pop()

    def replace(self, node: Node, *others: Node) -> None:
        """Replace a node by others. They must make each output of the node that is still read."""
        assert node.output.name not in self._stead, f"the node of {node.output} is replaced twice"
        self._stead[node.output.name] = others

    def erase(self, node: Node) -> None:
        """Remove a node. Its outputs must have no reader left, or a replacing node must make them."""
        self.replace(node)

    def insert_after(self, node: Node, *others: Node) -> None:
        """Insert nodes behind a node, and behind nodes that were inserted there before."""
        self._stead[node.output.name] = (*self._stead.get(node.output.name, (node,)), *others)

    def rename(self, old: Iterable[Value], new: Iterable[Value]) -> None:
        """Replace the old values by the new ones in all inputs of nodes and in the graph's results."""
        self._renamed |= {v.name: other for v, other in zip(old, new, strict=True)}

    def result(self) -> Graph:
        """Return the graph with all changes; the same object if there are none."""
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
