"""Sums of gradients of dense blocks: each term is added while it is in the cache, and what waits for sums, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ir.rewrite import Rewriter
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
        rewriter = Rewriter(graph)
        chain, handed_on = _find_chain(rewriter)
        by_sums = {grad.inputs[6].name: grad for grad in chain.values()}
        behind = _find_behind(rewriter, chain)
        waiting: dict[str, list[Node]] = {}
        totals: dict[str, Value] = {}  # of chain: the early part of each gradient
        early: dict[str, Early] = {}

        def finish(node: Node, made: Node, known: Early) -> None:
            """Keep an early gradient where all readers take it so; else add what it lacks."""
            if node.output.name in handed_on:
                early[node.output.name] = known
                rewriter.replace(node, made)
            else:
                inputs = known.image, known.rest, known.value
                rewriter.replace(node, made, Node(NormalizeGradLate(known.first), inputs, node.outputs, node.layer))

        for node in graph.nodes:
            if isinstance(node.op, NormalizeSums) and node.output.name in by_sums:
                grad = by_sums[node.output.name]
                other = grad.inputs[-1]
                added = early[other.name].value if other.name in early else other
                op = NormalizeGradEarly(node.op.eps, node.op.activation)
                made = rewriter.make(op, *node.inputs, added, layer=node.layer)
                totals[grad.output.name] = made.output
                first = replace(made, outputs=(made.output, *node.outputs))
                rewriter.replace(node, first, *waiting.get(node.output.name, ()))
            elif isinstance(node.op, NormalizeGrad) and node.output.name in chain:
                _, x, mean, var, weight, _, dbias, dweight, other = node.inputs
                before = early.get(other.name)
                rest = NormalizeGradRest(node.op.eps, x.sample_size // x.sample[-1], before.first if before else 0)
                more = [before.rest] if before else []
                made = rewriter.make(rest, mean, var, weight, dbias, dweight, *more, layer=node.layer)
                finish(node, made, Early(totals[node.output.name], x, made.output))
            elif isinstance(node.op, Slice) and node.inputs[0].name in early:
                whole = early[node.inputs[0].name]
                part = _part(rewriter, whole.image, node.op)
                assert part is not None
                made = rewriter.make(node.op, whole.value, layer=node.layer)
                finish(node, made, Early(made.output, part, whole.rest, whole.first + node.op.start))
            elif node.output.name in behind:
                rewriter.erase(node)
                waiting.setdefault(behind[node.output.name], []).append(node)
        return rewriter.result()


def _find_chain(rewriter: Rewriter) -> tuple[dict[str, Node], set[str]]:
    """Return the gradients to add early, by name, and the names of those that are handed on so: sums and slices."""
    sums = {
        node.output.name: node
        for node in rewriter.graph.nodes
        if isinstance(node.op, NormalizeGrad)
        and node.op.plus
        and node.op.activation
        and node.output.name not in rewriter.results
        and rewriter.place(node.inputs[-1]) < rewriter.place(node.inputs[6])
    }
    chain: dict[str, Node] = {}
    handed_on: set[str] = set()
    for name, node in sums.items():
        other = node.inputs[-1]
        cut = rewriter.maker(other)
        if cut is None or not isinstance(cut.op, Slice) or rewriter.sole_reader(other) is None:
            continue
        above = sums.get(cut.inputs[0].name)
        if above is None:
            continue
        x, whole = node.inputs[1], above.inputs[1]
        readers = rewriter.readers(above.output)
        known = all(isinstance(n.op, Slice) and _part(rewriter, whole, n.op) for n in readers)
        if known and _part(rewriter, whole, cut.op) == x:
            chain |= {name: node, above.output.name: above}
            handed_on |= {other.name, above.output.name}
    return chain, handed_on


def _find_behind(rewriter: Rewriter, chain: dict[str, Node]) -> dict[str, str]:
    """Return gradients of weights that read what a batch norm of the chain made, with the sums they shall follow."""
    made = {node.inputs: node.output for node in rewriter.graph.nodes if isinstance(node.op, Normalize)}
    behind: dict[str, str] = {}
    for grad in chain.values():
        sums, normalised = grad.inputs[6], made.get(grad.inputs[1:6])
        for reader in rewriter.readers(normalised) if normalised else ():
            if rewriter.place(reader.output) < rewriter.place(sums) and not any(map(rewriter.readers, reader.outputs)):
                behind[reader.output.name] = sums.name
    return behind


def _part(rewriter: Rewriter, whole: Value, cut: Slice) -> Value | None:
    """Return the part of a concat that lies where a slice cuts, if there is one."""
    maker = rewriter.maker(whole)
    start = 0
    for v in maker.inputs if maker is not None and isinstance(maker.op, Concat) else ():
        if (start, start + v.sample[-1]) == (cut.start, cut.stop):
            return v
        start += v.sample[-1]
    return None
