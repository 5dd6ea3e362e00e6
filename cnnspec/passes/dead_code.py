"""Dead code elimination: what no output needs is not computed."""

from __future__ import annotations

from typing import ClassVar

from ..ir.graph import Graph


class DeadCode:
    """Remove nodes none of whose outputs reach a result of the graph. Ops have no side effects, so nothing changes.

    Typical prey: the gradient of the first layer in the picture itself.
    """

    name: ClassVar[str] = "dead-code"
    after: ClassVar[tuple[str, ...]] = ()

    def run(self, graph: Graph) -> Graph:
        live = graph.results()
        kept = []
        for node in reversed(graph.nodes):
            if any(v.name in live for v in node.outputs):
                kept.append(node)
                live.update(v.name for v in node.inputs)
        return graph.with_nodes(reversed(kept))
