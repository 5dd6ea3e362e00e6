"""Input gradients of batch norms in dense blocks: the sweep that makes the sums adds A dy, a later one adds B x + C."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ir.rewrite import Rewriter
from ..ops.merge import Concat, Slice
from ..ops.norm import Normalize, NormalizeGrad, NormalizeGradEarly, NormalizeGradLate, NormalizeGradRest, NormalizeSums


@dataclass(frozen=True)
class PartialGradient:
    """A gradient without its last term: the whole gradient is value + B image + C.

    Attributes
    ----------
    value : the part that is computed [N, H, W, K].
    image : the x of the term B x [N, H, W, K].
    coefficients : A, B and C of a batch norm [3 C], from normalize_grad_rest.
    first : the channel of the coefficients that belongs to channel 0 of the image.
    """

    value: Value
    image: Value
    coefficients: Value
    first: int = 0


class AddGradientsEarly:
    """A chain of normalize_grad with addends -> normalize_grad_early and normalize_grad_rest, then normalize_grad_late.

    The gradient of batch norm in its input is dx = addend + A dy + B x + C, with coefficients A, B, C for each channel.
    A is known from the forward pass. B and C contain sums over the whole batch. In a dense block (Huang et al. 2017)
    each layer adds its gradient to the gradient of all channels before it. The pass rewrites three kinds of nodes:

    - normalize_sums (dy, x -> sums [C]) becomes normalize_grad_early. The same sweep also returns addend + A dy.
    - normalize_grad becomes normalize_grad_rest, which computes the coefficients [3 C] from the sums. The coefficients
      of the batch norms of a chain are added up.
    - Where a gradient leaves the chain, normalize_grad_late adds B x + C: once for each channel.

    Weight gradients that read the normalised x move behind normalize_grad_early, whose sweep has just brought x into
    the cache.

    Valid where the addend is a slice of another gradient of the chain, only this normalize_grad reads the slice, and
    the slice selects exactly the channels of x in the concat that the other batch norm reads. The batch norms have a
    fused activation, and the addend exists before the sums. Equal up to rounding: terms are added in another order.

    Gain: one sweep over dy and x [N, H, W, C] for each batch norm instead of two, and dy is not kept in memory.
    """

    name: ClassVar[str] = "add-gradients-early"
    after: ClassVar[tuple[str, ...]] = ("fuse-gradient-sum",)

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        chain, passed_on = _find_chain(rewriter)
        by_sums = {grad.inputs[6].name: grad for grad in chain.values()}
        deferred = _find_deferred(rewriter, chain)
        moved: dict[str, list[Node]] = {}  # by the first output of normalize_sums
        values: dict[str, Value] = {}  # gradient of the chain -> addend + A dy
        partial: dict[str, PartialGradient] = {}

        def finish(node: Node, made: Node, gradient: PartialGradient) -> None:
            """Keep a gradient partial where the chain goes on with it; otherwise add B x + C."""
            if node.output.name in passed_on:
                partial[node.output.name] = gradient
                rewriter.replace(node, made)
            else:
                inputs = gradient.image, gradient.coefficients, gradient.value
                rewriter.replace(node, made, Node(NormalizeGradLate(gradient.first), inputs, node.outputs, node.layer))

        for node in graph.nodes:
            if isinstance(node.op, NormalizeSums) and node.output.name in by_sums:
                grad = by_sums[node.output.name]
                addend = grad.inputs[-1]
                if addend.name in partial:
                    addend = partial[addend.name].value
                op = NormalizeGradEarly(node.op.eps, node.op.activation)
                made = rewriter.make(op, *node.inputs, addend, layer=node.layer)
                values[grad.output.name] = made.output
                early = replace(made, outputs=(made.output, *node.outputs))
                rewriter.replace(node, early, *moved.get(node.output.name, ()))
            elif isinstance(node.op, NormalizeGrad) and node.output.name in chain:
                _, x, mean, var, weight, _, dbias, dweight, addend = node.inputs
                before = partial.get(addend.name)
                rest = NormalizeGradRest(node.op.eps, x.sample_size // x.sample[-1], before.first if before else 0)
                added = [before.coefficients] if before else []
                made = rewriter.make(rest, mean, var, weight, dbias, dweight, *added, layer=node.layer)
                finish(node, made, PartialGradient(values[node.output.name], x, made.output))
            elif isinstance(node.op, Slice) and node.inputs[0].name in partial:
                whole = partial[node.inputs[0].name]
                part = _part(rewriter, whole.image, node.op)
                assert part is not None
                made = rewriter.make(node.op, whole.value, layer=node.layer)
                finish(node, made, PartialGradient(made.output, part, whole.coefficients, whole.first + node.op.start))
            elif node.output.name in deferred:
                rewriter.erase(node)
                moved.setdefault(deferred[node.output.name], []).append(node)
        return rewriter.result()


def _find_chain(rewriter: Rewriter) -> tuple[dict[str, Node], set[str]]:
    """Return the normalize_grad nodes of chains by output, and the names of gradients that stay partial.

    A partial gradient is an output of the chain whose readers are all slices, or the slice that is the next addend.
    """
    with_addend = {
        node.output.name: node
        for node in rewriter.graph.nodes
        if isinstance(node.op, NormalizeGrad)
        and node.op.plus
        and node.op.activation
        and node.output.name not in rewriter.results
        and rewriter.place(node.inputs[-1]) < rewriter.place(node.inputs[6])  # the addend exists before the sums
    }
    chain: dict[str, Node] = {}
    passed_on: set[str] = set()
    for name, node in with_addend.items():
        addend = node.inputs[-1]
        cut = rewriter.maker(addend)
        if cut is None or not isinstance(cut.op, Slice) or rewriter.sole_reader(addend) is None:
            continue
        above = with_addend.get(cut.inputs[0].name)
        if above is None:
            continue
        x, whole = node.inputs[1], above.inputs[1]
        readers = rewriter.readers(above.output)
        all_parts = all(isinstance(n.op, Slice) and _part(rewriter, whole, n.op) for n in readers)
        if all_parts and _part(rewriter, whole, cut.op) == x:
            chain |= {name: node, above.output.name: above}
            passed_on |= {addend.name, above.output.name}
    return chain, passed_on


def _find_deferred(rewriter: Rewriter, chain: dict[str, Node]) -> dict[str, str]:
    """Return the weight gradients to move: output -> first output of the normalize_sums that they move behind.

    They read the normalised x of a batch norm of the chain, stand before its normalize_sums, and no node reads them.
    """
    made = {node.inputs: node.output for node in rewriter.graph.nodes if isinstance(node.op, Normalize)}
    deferred: dict[str, str] = {}
    for grad in chain.values():
        sums, normalised = grad.inputs[6], made.get(grad.inputs[1:6])
        for reader in rewriter.readers(normalised) if normalised else ():
            if rewriter.place(reader.output) < rewriter.place(sums) and not any(map(rewriter.readers, reader.outputs)):
                deferred[reader.output.name] = sums.name
    return deferred


def _part(rewriter: Rewriter, whole: Value, cut: Slice) -> Value | None:
    """Return the input of a concat that has exactly the channels of a slice; None if no input has, or no concat."""
    maker = rewriter.maker(whole)
    start = 0
    for v in maker.inputs if maker is not None and isinstance(maker.op, Concat) else ():
        if (start, start + v.sample[-1]) == (cut.start, cut.stop):
            return v
        start += v.sample[-1]
    return None
