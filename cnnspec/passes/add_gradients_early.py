"""Sums of gradients of dense blocks: each term is added while it is in the cache, and what waits for sums, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.graph import Builder, Graph, Node, Value
from ..ops.merge import Concat, Slice
from ..ops.norm import Normalize, NormalizeGrad, NormalizeGradEarly, NormalizeGradLate, NormalizeGradRest, NormalizeSums


@dataclass(frozen=True)
class Early:
    """A gradient of ``image`` that lacks B x + C, with B and C from channel ``first`` of ``rest`` on."""

    value: Value
    image: Value
    rest: Value
    first: int = 0


class AddGradientsEarly:
    """A chain of normalize_grad with ``plus`` -> early parts, the sum of what they lack, and one addition of it.

    Batch norm's gradient is A dy + B x + C, and only B and C wait for sums over the whole batch. In a dense block
    (Huang et al. 2017) each layer adds such a gradient to those of all channels before it. Now A dy is added in the
    sweep that makes the sums, so that dy is neither written to memory nor read again; B and C, which are the same for
    all pixels, are added up over the layers, and B x + C follows once for each channel, where its gradient is first
    read. Gradients of weights, which read the normalised x, follow behind: the sweep has just brought x into the cache.

    Done where a sum of two such gradients is handed on by a slice alone, of a concat whose part the second normalises.
    """

    name: ClassVar[str] = "add-gradients-early"
    after: ClassVar[tuple[str, ...]] = ("fuse-gradient-sum",)

    def run(self, graph: Graph) -> Graph:
        chain, handed_on = _find_chain(graph)
        if not chain:
            return graph
        producer = graph.producer()
        by_sums = {grad.inputs[6].name: grad for grad in chain.values()}
        b = Builder(start=1 + max(int(v.name) for n in graph.nodes for v in n.outputs if v.name.isdigit()))
        behind = _find_behind(graph, chain)
        waiting: dict[str, list[Node]] = {}
        totals: dict[str, Value] = {}  # of chain: the early part of each gradient
        early: dict[str, Early] = {}

        def finish(result: Value, known: Early) -> None:
            """Keep an early gradient where all readers take it so; else add what it lacks."""
            if result.name in handed_on:
                early[result.name] = known
            else:
                inputs = known.image, known.rest, known.value
                b.nodes.append(Node(NormalizeGradLate(known.first), inputs, (result,), b.layer))

        for node in graph.nodes:
            b.layer = node.layer
            if isinstance(node.op, NormalizeSums) and node.output.name in by_sums:
                grad = by_sums[node.output.name]
                other = grad.inputs[-1]
                added = early[other.name].value if other.name in early else other
                total = b.add(NormalizeGradEarly(node.op.eps, node.op.activation), *node.inputs, added)
                b.nodes[-1] = replace(b.nodes[-1], outputs=(total, *node.outputs))
                totals[grad.output.name] = total
                b.nodes += waiting.pop(node.output.name, [])
            elif isinstance(node.op, NormalizeGrad) and node.output.name in chain:
                _, x, mean, var, weight, _, dbias, dweight, other = node.inputs
                before = early.get(other.name)
                op = NormalizeGradRest(node.op.eps, x.sample_size // x.sample[-1], before.first if before else 0)
                rest = b.add(op, mean, var, weight, dbias, dweight, *([before.rest] if before else []))
                finish(node.output, Early(totals[node.output.name], x, rest))
            elif isinstance(node.op, Slice) and node.inputs[0].name in early:
                whole = early[node.inputs[0].name]
                part = _part(producer, whole.image, node.op)
                assert part is not None
                finish(node.output, Early(b.add(node.op, whole.value), part, whole.rest, whole.first + node.op.start))
            elif id(node) in behind:
                waiting.setdefault(behind[id(node)], []).append(node)
            else:
                b.nodes.append(node)
        return graph.with_nodes(b.nodes)


def _find_chain(graph: Graph) -> tuple[dict[str, Node], set[str]]:
    """Return the gradients to add early, by name, and the names of those that are handed on so: sums and slices."""
    uses, results, producer = graph.uses(), graph.results(), graph.producer()
    place = {v.name: i for i, node in enumerate(graph.nodes) for v in node.outputs}
    sums = {
        node.output.name: node
        for node in graph.nodes
        if isinstance(node.op, NormalizeGrad)
        and node.op.plus
        and node.op.activation
        and node.output.name not in results
        and place.get(node.inputs[-1].name, -1) < place[node.inputs[6].name]
    }
    chain: dict[str, Node] = {}
    handed_on: set[str] = set()
    for name, node in sums.items():
        other = node.inputs[-1]
        cut = producer.get(other.name)
        if cut is None or not isinstance(cut.op, Slice) or len(uses[other.name]) > 1 or other.name in results:
            continue
        above = sums.get(cut.inputs[0].name)
        if above is None:
            continue
        x, whole = node.inputs[1], above.inputs[1]
        parts = [_part(producer, whole, n.op) if isinstance(n.op, Slice) else None for n in uses[above.output.name]]
        if all(parts) and _part(producer, whole, cut.op) == x:
            chain |= {name: node, above.output.name: above}
            handed_on |= {other.name, above.output.name}
    return chain, handed_on


def _find_behind(graph: Graph, chain: dict[str, Node]) -> dict[int, str]:
    """Return gradients of weights that read what a batch norm of the chain made, with the sums they shall follow."""
    uses = graph.uses()
    made = {node.inputs: node.output.name for node in graph.nodes if isinstance(node.op, Normalize)}
    place = {node.output.name: i for i, node in enumerate(graph.nodes)}
    behind: dict[int, str] = {}
    for grad in chain.values():
        sums = grad.inputs[6].name
        for reader in uses.get(made.get(grad.inputs[1:6], ""), []):
            if place[reader.output.name] < place[sums] and not any(v.name in uses for v in reader.outputs):
                behind[id(reader)] = sums
    return behind


def _part(producer: dict[str, Node], whole: Value, cut: Slice) -> Value | None:
    """Return the part of a concat that lies where a slice cuts, if there is one."""
    maker = producer.get(whole.name)
    start = 0
    for v in maker.inputs if maker is not None and isinstance(maker.op, Concat) else ():
        if (start, start + v.sample[-1]) == (cut.start, cut.stop):
            return v
        start += v.sample[-1]
    return None
