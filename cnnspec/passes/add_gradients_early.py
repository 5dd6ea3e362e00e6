"""Input gradients of batch norms in dense blocks: the sweep that makes the sums adds A dy, a later one adds B x + C."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Value
from ..ir.rewrite import Rewriter
from ..ops.merge import Concat, Slice
from ..ops.norm import (
    Normalize,
    NormalizeGrad,
    NormalizeGradCoefficients,
    NormalizeGradComplete,
    NormalizeGradInputs,
    NormalizeGradPartial,
    NormalizeSums,
)


@dataclass(frozen=True)
class PartialGradient:
    """A gradient without its last terms: the whole gradient is value + B image + C.

    Attributes
    ----------
    value : the part that is computed [N, H, W, K].
    image : the x of the term B x [N, H, W, K].
    coefficients : A, B and C of a batch norm [3 C], from normalize_grad_coefficients.
    channel_offset : the channel of the coefficients that belongs to channel 0 of the image.
    """

    value: Value
    image: Value
    coefficients: Value
    channel_offset: int = 0


class AddGradientsEarly:
    """A chain of normalize_grad with addends -> a chain of normalize_grad_partial, then normalize_grad_complete.

    The gradient of batch norm in its input is dx = addend + A dy + B x + C, with coefficients A, B, C for each channel.
    A is known from the forward pass. B and C contain sums over the whole batch: normalize_sums makes them in one sweep
    over dy and x, and normalize_grad needs a second one. In a dense block (Huang et al. 2017) each layer adds its
    gradient to the gradient of all channels before it, so the addend is a gradient of the same form: a chain. The pass
    splits dx into addend + A dy, which the first sweep can write, and B x + C, which needs no dy:

    - normalize_sums (dy, x -> sums [C]) becomes normalize_grad_partial (dy, x, addend -> addend + A dy, sums [C]).
    - normalize_grad (sums, dy, x, addend -> dx) becomes normalize_grad_coefficients (sums -> A, B and C [3 C]). It adds
      up the B and C of all batch norms of the chain that read the channel.
    - Where a gradient leaves the chain, normalize_grad_complete adds B x + C: once for each channel.

    Weight gradients that read the normalised x move behind normalize_grad_partial, whose sweep has just brought x into
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
        chains = _Chains(rewriter)
        for node in graph.nodes:
            if isinstance(node.op, NormalizeSums) and node.output.name in chains.by_sums:
                chains.split_sums(node, node.op)
            elif node.output.name in chains.grads:
                chains.split_gradient(node)
            elif isinstance(node.op, Slice) and node.inputs[0].name in chains.partial:
                chains.cut(node, node.op)
            elif node.output.name in chains.deferred:
                rewriter.erase(node)
                chains.moved.setdefault(chains.deferred[node.output.name], []).append(node)
        return rewriter.result()


class _Chains:
    """The chains of a graph. Its nodes are replaced in order, so that each finds its addend replaced."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter
        self.grads, self.passed_on = _find_chains(rewriter)
        self.by_sums = {NormalizeGradInputs(*grad.inputs).dbias.name: grad for grad in self.grads.values()}
        self.deferred = _find_deferred(rewriter, self.grads)
        self.moved: dict[str, list[Node]] = {}  # by the first output of normalize_sums
        self.values: dict[str, Value] = {}  # gradient of a chain -> addend + A dy
        self.partial: dict[str, PartialGradient] = {}

    def split_sums(self, sums: Node, op: NormalizeSums) -> None:
        """Replace normalize_sums by normalize_grad_partial, which makes addend + A dy, too."""
        grad = self.by_sums[sums.output.name]
        addend = grad.inputs[-1]
        if addend.name in self.partial:
            addend = self.partial[addend.name].value
        partial = NormalizeGradPartial(op.eps, op.activation)
        made = self.rewriter.make(partial, *sums.inputs, addend, layer=sums.layer)
        self.values[grad.output.name] = made.output
        made = replace(made, outputs=(made.output, *sums.outputs))
        self.rewriter.replace(sums, made, *self.moved.get(sums.output.name, ()))

    def split_gradient(self, grad: Node) -> None:
        """Replace normalize_grad by normalize_grad_coefficients, which adds those of the addend."""
        given = NormalizeGradInputs(*grad.inputs)
        assert isinstance(grad.op, NormalizeGrad) and given.addend is not None
        before = self.partial.get(given.addend.name)
        pixels = given.x.sample_size // given.x.sample[-1]
        op = NormalizeGradCoefficients(grad.op.eps, pixels, before.channel_offset if before else 0)
        sums = given.mean, given.var, given.weight, given.dbias, given.dweight
        made = self.rewriter.make(op, *sums, *([before.coefficients] if before else []), layer=grad.layer)
        self.finish(grad, made, PartialGradient(self.values[grad.output.name], given.x, made.output))

    def cut(self, node: Node, op: Slice) -> None:
        """Replace a slice of a whole gradient by the slice of the partial one, with the slice of its image."""
        whole = self.partial[node.inputs[0].name]
        image = _part(self.rewriter, whole.image, op)
        assert image is not None
        made = self.rewriter.make(op, whole.value, layer=node.layer)
        offset = whole.channel_offset + op.start
        self.finish(node, made, PartialGradient(made.output, image, whole.coefficients, offset))

    def finish(self, node: Node, made: Node, gradient: PartialGradient) -> None:
        """Keep a gradient partial where the chain goes on with it; otherwise add B x + C."""
        if node.output.name in self.passed_on:
            self.partial[node.output.name] = gradient
            self.rewriter.replace(node, made)
        else:
            op = NormalizeGradComplete(gradient.channel_offset)
            inputs = gradient.image, gradient.coefficients, gradient.value
            self.rewriter.replace(node, made, Node(op, inputs, node.outputs, node.layer))


def _find_chains(rewriter: Rewriter) -> tuple[dict[str, Node], set[str]]:
    """Return the normalize_grad nodes of chains by output, and the names of gradients that stay partial.

    A partial gradient is an output of the chain whose readers are all slices, or the slice that is the next addend.
    """
    with_addend = {
        node.output.name: (node, NormalizeGradInputs(*node.inputs))
        for node in rewriter.graph.nodes
        if isinstance(node.op, NormalizeGrad)
        and node.op.addend
        and node.op.activation
        and node.output.name not in rewriter.results
        and rewriter.place(node.inputs[-1])
        < rewriter.place(NormalizeGradInputs(*node.inputs).dbias)  # addend, then sums
    }
    chain: dict[str, Node] = {}
    passed_on: set[str] = set()
    for name, (node, given) in with_addend.items():
        addend = node.inputs[-1]
        cut = rewriter.maker(addend)
        if cut is None or not isinstance(cut.op, Slice) or rewriter.sole_reader(addend) is None:
            continue
        if cut.inputs[0].name not in with_addend:
            continue
        above, whole = with_addend[cut.inputs[0].name]
        readers = rewriter.readers(above.output)
        all_parts = all(isinstance(n.op, Slice) and _part(rewriter, whole.x, n.op) for n in readers)
        if all_parts and _part(rewriter, whole.x, cut.op) == given.x:
            chain |= {name: node, above.output.name: above}
            passed_on |= {addend.name, above.output.name}
    return chain, passed_on


def _find_deferred(rewriter: Rewriter, grads: dict[str, Node]) -> dict[str, str]:
    """Return the weight gradients to move: output -> first output of the normalize_sums that they move behind.

    They read the normalised x of a batch norm of the chain, stand before its normalize_sums, and no node reads them.
    """
    made = {node.inputs: node.output for node in rewriter.graph.nodes if isinstance(node.op, Normalize)}
    deferred: dict[str, str] = {}
    for grad in grads.values():
        given = NormalizeGradInputs(*grad.inputs)
        normalised = made.get((given.x, given.mean, given.var, given.weight, given.bias))
        for reader in rewriter.readers(normalised) if normalised else ():
            before = rewriter.place(reader.output) < rewriter.place(given.dbias)
            if before and not any(map(rewriter.readers, reader.outputs)):
                deferred[reader.output.name] = given.dbias.name
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
