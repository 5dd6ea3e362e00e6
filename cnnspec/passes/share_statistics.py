"""Batch statistics of concatenations: computed once for each input of the concat, and joined."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ir.rewrite import Rewriter
from ..ops.merge import Concat, Join
from ..ops.norm import BatchStats


class ShareStatistics:
    """batch_stats(concat(x1, x2, ...)) -> join(batch_stats(x1), batch_stats(x2), ...), for means and for variances.

    Each x is [N, H, W, C_i], its mean and variance [C_i]. The batch_stats of an x stands just behind the node that
    makes x, and all concats share it. For a nested concat the joined vectors of the inner concat are used again.

    Valid everywhere: the mean and variance of a channel do not depend on other channels. Equal up to rounding. Applied
    where at least two batch norms need the statistics of one x.

    Gain: in a dense block (Huang et al. 2017) each layer normalises the outputs of all layers before it. Each output is
    now read once, while it is in the cache, so reads grow with the number of channels and not with its square.
    """

    name: ClassVar[str] = "share-statistics"
    after: ClassVar[tuple[str, ...]] = ()

    def run(self, graph: Graph) -> Graph:
        needed = _needed(graph)
        if not needed:
            return graph
        rewriter = Rewriter(graph)
        found: dict[str, tuple[Value, ...]] = {}  # name of an image -> its mean [C] and variance [C]

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
    """Return the names of images whose statistics are computed or joined -> the first layer that needs them."""
    uses: Counter[str] = Counter()  # batch norms that read an image, through concats
    for node in reversed(graph.nodes):
        if isinstance(node.op, BatchStats):
            uses[node.inputs[0].name] += 1
        elif isinstance(node.op, Concat):
            for v in node.inputs:
                uses[v.name] += uses[node.output.name]
    shared: dict[str, bool] = {}  # concat -> whether several batch norms read one of its parts
    for node in graph.nodes:
        if isinstance(node.op, Concat):
            shared[node.output.name] = any(shared.get(v.name, uses[v.name] > 1) for v in node.inputs)
    needed: dict[str, str] = {}
    for node in reversed(graph.nodes):
        if isinstance(node.op, Concat) and node.output.name in needed:
            needed |= {v.name: needed[node.output.name] for v in node.inputs}
        elif isinstance(node.op, BatchStats):
            first = node.inputs[0].name
            if first in needed or shared.get(first):
                needed[first] = node.layer
    return needed
