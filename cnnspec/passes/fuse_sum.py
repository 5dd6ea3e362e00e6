"""Sums of two values become part of the op that makes one term or reads the sum: one rule, four passes."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..activations import bounds_of
from ..ir.graph import Graph, Node, Op
from ..ir.rewrite import Rewriter
from ..ops.activation import ActivationGrad
from ..ops.conv import Conv
from ..ops.merge import Add
from ..ops.norm import Normalize, NormalizeGrad


class FuseSum:
    """add(op(...), addend) -> op(..., addend) with the field ``addend``: the op's kernel adds the last input.

    Subclasses say which ops can add. Both terms have the sum's shape [N, H, W, C].

    Valid where the add has two inputs and alone reads the op's output, and this output is no result. If both terms
    come from an op that can add, the term made later takes the addend. Results are bit-identical: the two numbers are
    added once, as before. Gain: one sweep, which reads two images and writes one.
    """

    def run(self, graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            if isinstance(node.op, Add) and len(node.inputs) == 2:
                self.fuse(rewriter, node, node.op.activation)
        return rewriter.result()

    def fuse(self, rewriter: Rewriter, add: Node, activation: str) -> None:
        """Replace the add by an op that makes one of its terms and can add, if there is one."""
        for term, addend in sorted((add.inputs, add.inputs[::-1]), key=lambda pair: -rewriter.place(pair[0])):
            maker = rewriter.maker(term)
            if maker is None or rewriter.sole_reader(term) is None or getattr(maker.op, "addend", False):
                continue
            op = self.adding(maker.op, activation)
            if op is not None:
                rewriter.erase(maker)
                rewriter.replace(add, replace(maker, op=op, inputs=(*maker.inputs, addend), outputs=add.outputs))
                return

    def adding(self, op: Op, activation: str) -> Op | None:
        """Return ``op`` with an addend and the add's activation; None if its kernel cannot do both."""
        raise NotImplementedError


class FuseResidualSum(FuseSum):
    """activation(normalize(x) + addend) -> normalize(x, addend) with ``addend`` and the activation of the add.

    The sum of a residual block, forward pass of training. Gradients read x and the sum, and both remain. Valid where
    the add has no activation or a clamp (relu, relu6), and the normalize has none. Gain: the normalised image
    [N, H, W, C] is neither written nor read. Other conditions: :class:`FuseSum`.
    """

    name: ClassVar[str] = "fuse-residual-sum"
    after: ClassVar[tuple[str, ...]] = ("recompute",)  # renormalize repeats a normalize without addend

    def adding(self, op: Op, activation: str) -> Op | None:
        if type(op) is not Normalize or op.activation or not bounds_of(activation):
            return None
        return replace(op, activation=activation, addend=True)


class FuseResidualConv(FuseSum):
    """activation(conv(x) + addend) -> conv(x, addend) with ``addend`` and the activation of the add.

    The sum of a residual block in inference. Winograd's output transform adds the addend. Valid where the convolution
    runs on Winograd's algorithm and has no activation of its own. Not for training, whose gradients may read the
    convolution's output. Gain: the output [N, H, W, C_out] is neither written nor read before the sum. Other
    conditions: :class:`FuseSum`.
    """

    name: ClassVar[str] = "fuse-residual-conv"
    after: ClassVar[tuple[str, ...]] = ("fuse-activation", "choose-algorithm")

    def adding(self, op: Op, activation: str) -> Op | None:
        if not isinstance(op, Conv) or not op.algorithm.startswith("winograd") or op.activation:
            return None
        return replace(op, activation=activation, addend=True)


class FuseGradientSum(FuseSum):
    """normalize_grad(dy, x, ...) + addend -> normalize_grad(dy, x, ..., addend) with ``addend``.

    The sum of two gradients of one image, where a batch norm and another layer read it. Valid where the add has no
    activation. Gain: the gradient of batch norm [N, H, W, C] is neither written nor read before the sum. An addend that
    is a slice of a concat's gradient is read where it lies, without a copy (lower/slices.py). Other conditions:
    :class:`FuseSum`.
    """

    name: ClassVar[str] = "fuse-gradient-sum"
    after: ClassVar[tuple[str, ...]] = ("dead-code",)

    def adding(self, op: Op, activation: str) -> Op | None:
        return replace(op, addend=True) if isinstance(op, NormalizeGrad) and not activation else None


class FuseGradientMask(FuseSum):
    """activation_grad(dy1 + dy2, y) -> activation_grad(dy1, y, dy2) with ``addend``, for relu.

    The relu at the end of a residual block receives two gradients [N, H, W, C]: one from the next block, one from the
    shortcut around it. Valid where activation_grad alone reads the sum, and the sum is no result. Results are
    bit-identical. Gain: one sweep, which reads two gradients and writes one. Sums that are part of a normalize_grad
    already cost no sweep and stay there.
    """

    name: ClassVar[str] = "fuse-gradient-mask"
    after: ClassVar[tuple[str, ...]] = ("mask-before-unpool", "fuse-gradient-sum")

    def fuse(self, rewriter: Rewriter, add: Node, activation: str) -> None:
        mask = rewriter.sole_reader(add.output)
        if mask is not None and mask.op == ActivationGrad("relu") and mask.inputs[0] == add.output and not activation:
            dy, addend = add.inputs
            rewriter.erase(add)
            op = ActivationGrad("relu", addend=True)
            rewriter.replace(mask, replace(mask, op=op, inputs=(dy, mask.inputs[1], addend)))
