"""Activations: one table of functions, one class each for what a spec writes."""

from __future__ import annotations

import math

from ..errors import ShapeRuleError
from ..ir.fields import Shape, attr, dims
from ..ir.graph import Builder, Node, Op, Value, layer, op

# The number by which kernels know an activation, "" for none. Each derivative is a function of the output y.
CODES = {"": 0, "relu": 1, "relu6": 2, "leaky_relu": 3, "tanh": 4, "sigmoid": 5}


class Activation(Op):
    """A function applied to each number on its own; its gradient needs the output only."""

    @property
    def kind(self) -> str:
        """The text that graphs carry when the activation is fused, e.g. ``relu`` or ``leaky_relu:0.1``."""
        return self.name

    def infer(self, x: Shape) -> Shape:
        return x

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        return [b.add(ActivationGrad(self.kind), dy, node.output)]


def activation_args(kind: str) -> tuple[int, float]:
    """Return the kernel's code and parameter of an activation text."""
    name, _, slope = kind.partition(":")
    return CODES[name], float(slope or 0.0)


# Activations that only keep a number between bounds: kernels do it while the number is in a register.
BOUNDS = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0)}


def fused_args(kind: str) -> tuple[int, float, float, float]:
    """Return code, parameter, lower and upper bound of a fused activation text ("" for none)."""
    return (*activation_args(kind), *BOUNDS.get(kind, (-math.inf, math.inf)))


@layer("relu")
class Relu(Activation):
    """Rectified linear unit: y = max(x, 0). Nair & Hinton 2010."""


@layer("relu6")
class Relu6(Activation):
    """y = min(max(x, 0), 6), as in MobileNets (Howard et al. 2017)."""


@layer("leaky_relu")
class LeakyRelu(Activation):
    """y = x where x > 0, else slope * x. Maas et al. 2013."""

    slope: float = attr("float", "slope for negative inputs", positional=True, default=0.01, min=0, max=1)

    @property
    def kind(self) -> str:
        return f"leaky_relu:{self.slope!r}"


@layer("tanh")
class Tanh(Activation):
    """Hyperbolic tangent: y = (e^x - e^-x) / (e^x + e^-x), between -1 and 1."""


@layer("sigmoid")
class Sigmoid(Activation):
    """Logistic function: y = 1 / (1 + e^-x), between 0 and 1."""


@op("activation_grad")
class ActivationGrad(Op):
    """Gradient of an activation from its output: dy, y -> dx; with ``plus`` another gradient is first added to dy."""

    arity = 2
    kind: str = attr("word")
    plus: bool = attr("hidden", default=False)

    def infer(self, dy: Shape, y: Shape) -> Shape:
        return dy


def before_activation(b: Builder, activation: str, dy: Value, y: Value) -> Value:
    """Return the gradient in front of a fused activation ("" for none), from dy behind it and the output y."""
    return b.add(ActivationGrad(activation), dy, y) if activation else dy


@layer("softmax")
class Softmax(Op):
    """y[k] = e^x[k] / sum of e^x: numbers between 0 and 1 that add up to 1, over the channels.

    A net trained with cross_entropy ends in plain logits: the loss applies softmax itself, and so does ``predict``.
    """

    def infer(self, x: Shape) -> Shape:
        if len(x) != 1:
            raise ShapeRuleError(
                f"softmax needs a flat vector, but gets an image of {dims(x)}",
                hint="write  flatten  before softmax",
            )
        return x

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        return [b.add(SoftmaxGrad(), dy, node.output)]


@op("softmax_grad")
class SoftmaxGrad(Op):
    """Gradient of softmax from its output: dy, y -> y * (dy - sum(dy * y))."""

    arity = 2

    def infer(self, dy: Shape, y: Shape) -> Shape:
        return dy
