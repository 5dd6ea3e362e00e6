"""Dead code elimination: nodes that no result of the graph depends on are removed."""

from __future__ import annotations

from typing import ClassVar

from ..ir.graph import Graph


class DeadCode:
    """A node whose outputs no result of the graph depends on -> no node.

    Valid everywhere: ops have no side effects. Results are bit-identical. Gain: the time and memory of these nodes, for
    example the gradient of the first convolution in the picture x [N, H, W, C].
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
