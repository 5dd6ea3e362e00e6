"""Sums of two values, added in the sweep of a neighbour instead of in one of their own: one rule, a row for each."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.graph import Graph, Node, Op
from ..ir.rewrite import Rewriter
from ..ops.activation import BOUNDS, ActivationGrad
from ..ops.conv import Conv
from ..ops.merge import Add
from ..ops.norm import Normalize, NormalizeGrad


class FuseSum:
    """add of two values -> the node that makes one of them, with ``plus``: the same sum, so no bit differs.

    Valid where the add is the only reader of that value. Of two such values the one made later takes the sum.
    """

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            if isinstance(node.op, Add) and len(node.inputs) == 2:
                self.fuse(rewriter, node, node.op.activation)
        return rewriter.result()

    def fuse(self, rewriter: Rewriter, add: Node, activation: str) -> None:
        """Let a neighbour of an add take over its work, where one can."""
        for term, other in sorted((add.inputs, add.inputs[::-1]), key=lambda pair: -rewriter.place(pair[0])):
            maker = rewriter.maker(term)
            if maker is None or rewriter.sole_reader(term) is None or getattr(maker.op, "plus", False):
                continue
            op = self.adding(maker.op, activation)
            if op is not None:
                rewriter.erase(maker)
                rewriter.replace(add, replace(maker, op=op, inputs=(*maker.inputs, other), outputs=add.outputs))
                return

    def adding(self, op: Op, activation: str) -> Op | None:
        """Return the op that adds, and applies the add's activation, besides its own work; None where it cannot."""
        raise NotImplementedError


class FuseResidualSum(FuseSum):
    """add of a normalize and one other value -> normalize with ``plus``, which takes over the add's activation.

    The normalised image, which nothing else reads, never goes through memory. Gradients read the normalize's input and
    the sum, which both remain. Valid where the activation of the add only keeps numbers between bounds.
    """

    name: ClassVar[str] = "fuse-residual-sum"
    after: ClassVar[tuple[str, ...]] = ("recompute",)  # whose second computation has no sum

    def adding(self, op: Op, activation: str) -> Op | None:
        if type(op) is not Normalize or op.activation or activation not in ("", *BOUNDS):
            return None
        return replace(op, activation=activation, plus=True)


class FuseResidualConv(FuseSum):
    """add of a convolution by Winograd and one other value -> the convolution with ``plus``, and the add's activation.

    The sum is made on the way back from Winograd's tiles. Gradients would need the convolution's output, which is why
    this pass is for inference.
    """

    name: ClassVar[str] = "fuse-residual-conv"
    after: ClassVar[tuple[str, ...]] = ("fuse-activation", "choose-algorithm")

    def adding(self, op: Op, activation: str) -> Op | None:
        if not isinstance(op, Conv) or not op.algorithm.startswith("winograd") or op.activation:
            return None
        return replace(op, activation=activation, plus=True)


class FuseGradientSum(FuseSum):
    """add of a normalize_grad and one other gradient -> normalize_grad with ``plus``.

    The other gradient may then be a slice of a wider one (lower/slices.py).
    """

    name: ClassVar[str] = "fuse-gradient-sum"
    after: ClassVar[tuple[str, ...]] = ("dead-code",)

    def adding(self, op: Op, activation: str) -> Op | None:
        return replace(op, plus=True) if isinstance(op, NormalizeGrad) and not activation else None


class FuseGradientMask(FuseSum):
    """activation_grad of relu on an add of two gradients -> activation_grad with ``plus``.

    A residual block ends so: the next block and the way around it both send a gradient to its relu. Valid where nothing
    else reads the sum. A sum that is a normalize_grad's already costs no sweep, and stays there.
    """

    name: ClassVar[str] = "fuse-gradient-mask"
    after: ClassVar[tuple[str, ...]] = ("mask-before-unpool", "fuse-gradient-sum")

    def fuse(self, rewriter: Rewriter, add: Node, activation: str) -> None:
        mask = rewriter.sole_reader(add.output)
        if mask is not None and mask.op == ActivationGrad("relu") and mask.inputs[0] == add.output and not activation:
            one, other = add.inputs
            rewriter.erase(add)
            op = ActivationGrad("relu", plus=True)
            rewriter.replace(mask, replace(mask, op=op, inputs=(one, mask.inputs[1], other)))
