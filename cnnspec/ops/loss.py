"""Losses: one number a sample, and its gradient for the mean over the batch."""

from __future__ import annotations

from ..ir.fields import attr
from ..ir.graph import Builder, Node, Op, Results, Value, op
from .shapes import SameShape


class Loss(Op):
    """logits, target -> the loss of each sample [N, 1], and 1 where the largest output is the target's, else 0 [N, 1].

    The gradient is of the mean over the samples of the batch: ``dy`` of a loss is the value ``step``, which holds 1/N.
    """

    arity = 1

    def results(self, *inputs: Value) -> Results:
        return [(("N", 1), "f32"), (("N", 1), "f32")]


@op("cross_entropy")
class CrossEntropyLoss(Loss):
    """Softmax cross-entropy with label smoothing: -sum q log p, q = (1 - smooth) at the label + smooth/K everywhere."""

    smooth: float = attr("float")

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        return [b.add(CrossEntropyGrad(self.smooth), *node.inputs, dy), None]


@op("cross_entropy_grad")
class CrossEntropyGrad(SameShape):
    """logits, target, step -> (softmax(logits) - q) / N; ``step`` holds 1/N."""

    smooth: float = attr("float")


@op("mse")
class MeanSquaredErrorLoss(Loss):
    """Mean over the outputs of (y - target)^2; class labels stand for one-hot targets."""

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        return [b.add(MeanSquaredErrorGrad(), *node.inputs, dy), None]


@op("mse_grad")
class MeanSquaredErrorGrad(SameShape):
    """y, target, step -> 2 (y - target) / (N F); ``step`` holds 1/N."""
