"""Activations: one class for each function of activations.py that a spec may write, their gradient, and softmax."""

from __future__ import annotations

from ..activations import is_of_input
from ..errors import ShapeRuleError
from ..ir.fields import Shape, attr, dims
from ..ir.graph import Builder, Node, Op, Value, layer, op
from .shapes import SameShape


class Activation(SameShape):
    """A function applied to each number on its own: a row of cnnspec/activations.py."""

    @property
    def kind(self) -> str:
        """The text that graphs carry when the activation is fused, e.g. ``relu`` or ``leaky_relu:0.1``.

        It names a row of the table; a number behind the colon is the row's parameter, the layer's only field.
        """
        return ":".join([self.name, *map(repr, self.fields().values())])

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        return [b.add(ActivationGrad(self.kind), dy, node.inputs[0] if is_of_input(self.kind) else node.output)]


def before_activation(b: Builder, kind: str, dy: Value, y: Value) -> Value:
    """Return the gradient in front of a fused activation ("" for none), from dy behind it and the output y."""
    if not kind:
        return dy
    if is_of_input(kind):
        raise NotImplementedError(f"the gradient of {kind} needs its input, which a fused op does not keep")
    return b.add(ActivationGrad(kind), dy, y)


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


@layer("elu")
class Elu(Activation):
    """Exponential linear unit: y = x where x > 0, else alpha * (e^x - 1). Clevert, Unterthiner & Hochreiter 2016."""

    alpha: float = attr("float", "minus the limit of y far below 0", positional=True, default=1.0, min=0)


@layer("gelu")
class Gelu(Activation):
    """Gaussian error linear unit: y = x * P(X <= x), X from the standard normal distribution.

    That is x/2 * (1 + erf(x / sqrt(2))); with ``approximate=tanh`` it is
    x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))), which other libraries computed first.

    References
    ----------
    Hendrycks & Gimpel 2016, "Gaussian error linear units", section 2.
    """

    approximate: str = attr("word", "the tanh formula, or none", default="none", choices=("none", "tanh"))

    @property
    def kind(self) -> str:
        return "gelu_tanh" if self.approximate == "tanh" else "gelu"


@layer("silu")
class Silu(Activation):
    """Sigmoid linear unit, also called swish: y = x * sigmoid(x). Elfwing et al. 2017; Ramachandran et al. 2017."""


@layer("hardsigmoid")
class HardSigmoid(Activation):
    """Sigmoid in three straight pieces: y = min(max(x + 3, 0), 6) / 6, with slope 1/6. Howard et al. 2019."""


@layer("hardswish")
class HardSwish(Activation):
    """y = x * hardsigmoid(x), as in MobileNetV3 (Howard et al. 2019, section 5.2)."""


@layer("tanh")
class Tanh(Activation):
    """Hyperbolic tangent: y = (e^x - e^-x) / (e^x + e^-x), between -1 and 1."""


@layer("sigmoid")
class Sigmoid(Activation):
    """Logistic function: y = 1 / (1 + e^-x), between 0 and 1."""


@op("activation_grad")
class ActivationGrad(SameShape):
    """Gradient of an activation: dy, v -> dx, v its output, or its input where the output does not determine the slope.

    With ``addend`` another gradient is first added to dy.
    """

    arity = 2
    kind: str = attr("word")
    addend: bool = attr("hidden", default=False)


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
class SoftmaxGrad(SameShape):
    """Gradient of softmax from its output: dy, y -> y * (dy - sum(dy * y))."""

    arity = 2
