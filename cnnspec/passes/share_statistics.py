"""Statistics of concatenations: those of each part are computed once, where the part is made."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ir.rewrite import Rewriter
from ..ops.merge import Concat, Join
from ..ops.norm import BatchStats


class ShareStatistics:
    """batch_stats of a concat -> join of the batch_stats of its parts, each made once, just after its part.

    A channel's mean and variance do not depend on its neighbours. In a dense block (Huang et al. 2017) each layer
    normalises all that came before it, so the statistics of a part would be computed again by every layer behind; now
    they read the part while it is in the cache, and the reads grow with the channels, not with their square. Done
    where some part is needed more than once. The join of a nested concat is reused: a layer copies two vectors.
    """

    name: ClassVar[str] = "share-statistics"
    after: ClassVar[tuple[str, ...]] = ()

    def run(self, graph: Graph) -> Graph:
        needed = _needed(graph)
        if not needed:
            return graph
        rewriter = Rewriter(graph)
        found: dict[str, tuple[Value, ...]] = {}  # image -> its mean and variance

        def compute(v: Value) -> list[Node]:
            maker, layer = rewriter.maker(v), needed[v.name]
            if maker is not None and isinstance(maker.op, Concat):
                parts = [found[x.name] for x in maker.inputs]
                made = [rewriter.make(Join(), *vectors, layer=layer) for vectors in zip(*parts, strict=True)]
            else:
                made = [rewriter.make(BatchStats(), v, layer=layer)]
            found[v.name] = tuple(output for node in made for output in node.outputs)
            return made

        of_inputs = [node for v in graph.inputs if v.name in needed for node in compute(v)]
        for node in graph.nodes:
            if isinstance(node.op, BatchStats) and node.inputs[0].name in needed:
                rewriter.erase(node)
                rewriter.rename(node.outputs, found[node.inputs[0].name])
            for v in node.outputs:
                if v.name in needed:
                    rewriter.insert_after(node, *compute(v))
        whole = rewriter.result()
        return whole.with_nodes((*of_inputs, *whole.nodes))


def _needed(graph: Graph) -> dict[str, str]:
    """Return the images whose statistics are computed or joined, each with the layer that needs them first."""
    parts: dict[str, tuple[str, ...]] = {}  # of concats, nested ones flattened
    uses: Counter[str] = Counter()
    for node in graph.nodes:
        if isinstance(node.op, Concat):
            parts[node.output.name] = tuple(part for v in node.inputs for part in parts.get(v.name, (v.name,)))
        elif isinstance(node.op, BatchStats):
            uses.update(parts.get(node.inputs[0].name, (node.inputs[0].name,)))
    needed: dict[str, str] = {}
    for node in reversed(graph.nodes):
        first = node.inputs[0].name if node.inputs else ""
        if isinstance(node.op, Concat) and node.output.name in needed:
            needed |= {v.name: needed[node.output.name] for v in node.inputs}
        elif isinstance(node.op, BatchStats) and (
            first in needed or any(uses[part] > 1 for part in parts.get(first, ()))
        ):
            needed[first] = node.layer
    return needed
