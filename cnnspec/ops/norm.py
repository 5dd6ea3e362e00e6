"""Batch normalisation: statistics of the batch while training, learned running ones afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..ir.fields import Param, Shape, attr
from ..ir.graph import Builder, Node, Op, Results, Value, layer, op
from .activation import BOUNDS, ActivationGrad


@layer("bn")
class BatchNorm(Op):
    """Batch normalisation: y = weight * (x - mean) / sqrt(var + eps) + bias, for each channel.

    While training, mean and variance are those of the batch (over samples, height and width), and the running
    ones move towards them: running = (1 - momentum) * running + momentum * batch, the variance unbiased. Afterwards
    the running ones are used, and the whole layer folds into the convolution before it.

    References
    ----------
    Ioffe & Szegedy 2015, "Batch normalization", algorithms 1 and 2.
    """

    eps: float = attr("float", "added to the variance", default=1e-5, min=0)
    momentum: float = attr("float", "how far the running statistics move a step", default=0.1, min=0, max=1)
    activation: str = attr("hidden", "activation fused into the kernel", default="")

    def infer(self, x: Shape) -> Shape:
        return x

    def params(self, x: Shape) -> tuple[Param, ...]:
        c = (x[-1],)
        return (
            Param("weight", c, "ones"),
            Param("bias", c, "zeros"),
            Param("running_mean", c, "zeros", trainable=False),
            Param("running_var", c, "ones", trainable=False),
        )

    def build(self, b: Builder, xs: Sequence[Value], params: Sequence[Value], training: bool) -> Value:
        if not training:
            return b.add(self, *xs, *params)
        weight, bias, running_mean, running_var = params
        mean, var = b.add_all(BatchStats(), xs[0])
        hw = xs[0].sample_size // xs[0].sample[-1]
        b.updates[running_mean.name] = b.add(RunningUpdate(self.momentum, 0), running_mean, mean)
        b.updates[running_var.name] = b.add(RunningUpdate(self.momentum, hw), running_var, var)
        return b.add(Normalize(self.eps), xs[0], mean, var, weight, bias)

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        x, weight, bias, mean, var = node.inputs
        if self.activation:
            dy = b.add(ActivationGrad(self.activation), dy, node.output)
        dbias, dweight = b.add_all(NormalizeSums(self.eps), dy, x, mean, var, weight, bias)
        return [b.add(BatchNormGrad(self.eps), dy, weight, var), dweight, dbias, None, None]


@op("bn_grad")
class BatchNormGrad(Op):
    """Gradient of bn in inference: dy, weight [C], var [C] -> weight / sqrt(var + eps) * dy; mean and var are fixed."""

    eps: float = attr("float")

    def infer(self, dy: Shape) -> Shape:
        return dy


@op("batch_stats")
class BatchStats(Op):
    """x -> mean [C], biased variance [C] over the whole batch; partial sums are merged in a fixed order."""

    def results(self, *inputs: Value) -> Results:
        c = inputs[0].sample[-1]
        return [((c,), "f32"), ((c,), "f32")]


@op("running_update")
class RunningUpdate(Op):
    """running, batch -> (1 - momentum)*running + momentum*batch; ``spatial`` > 0 makes the variance unbiased."""

    arity = 2
    momentum: float = attr("float")
    spatial: int = attr("int")

    def results(self, *inputs: Value) -> Results:
        return [(inputs[0].shape, "f32")]


@op("normalize")
class Normalize(Op):
    """x, mean, var, weight, bias -> weight * (x - mean) / sqrt(var + eps) + bias.

    With ``plus`` (set when the gradients are there) a sixth input is added before the activation. The gradient in x
    goes through mean and variance too, so these have none of their own.
    """

    eps: float = attr("float")
    activation: str = attr("hidden", default="")
    plus: bool = attr("hidden", default=False)

    def infer(self, x: Shape) -> Shape:
        return x

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        x, mean, var, weight, bias = node.inputs
        through = self.activation if self.activation in BOUNDS else ""
        if self.activation and not through:
            dy = b.add(ActivationGrad(self.activation), dy, node.output)
        dbias, dweight = b.add_all(NormalizeSums(self.eps, through), dy, x, mean, var, weight, bias)
        dx = b.add(NormalizeGrad(self.eps, through), dy, x, mean, var, weight, bias, dbias, dweight)
        return [dx, None, None, dweight, dbias]


@op("renormalize")
class Renormalize(Normalize):
    """The same as normalize, once more in the backward pass, so that its output need not be kept until then.

    A sixth input is not read: the value (a gradient) that must have been made before, lest it be done too early.
    """


@op("normalize_sums")
class NormalizeSums(Op):
    """dy, x, mean, var, weight, bias -> sum of dy [C], sum of dy * xhat [C]: the gradients of bias and weight.

    ``activation`` (relu, relu6): dy is the gradient behind it, which passes only where the normalised x, computed
    again as forward did, is inside its bounds.
    """

    arity = 2
    eps: float = attr("float")
    activation: str = attr("hidden", default="")

    def results(self, *inputs: Value) -> Results:
        c = inputs[0].sample[-1]
        return [((c,), "f32"), ((c,), "f32")]


@op("normalize_grad")
class NormalizeGrad(Op):
    """Gradient of batch normalisation in its input, through mean and variance (Ioffe & Szegedy 2015, section 3).

    dx = weight / sqrt(var + eps) * (dy - dbias/M - xhat * dweight/M), M = samples * height * width. Inputs are dy, x,
    mean, var, weight, bias, dbias, dweight, and with ``plus`` another gradient that is added; ``activation`` as in
    normalize_sums.
    """

    eps: float = attr("float")
    activation: str = attr("hidden", default="")
    plus: bool = attr("hidden", default=False)

    def infer(self, dy: Shape) -> Shape:
        return dy


@op("normalize_grad_early")
class NormalizeGradEarly(Op):
    """What of normalize_grad can be added before the sums over the batch are known, and these sums, in one sweep.

    dy, x, mean, var, weight, bias, other -> other + weight / sqrt(var + eps) * dy, sum of dy [C], sum of dy * xhat
    [C]; ``activation`` as in normalize_sums, but never none. The rest is B x + C: see normalize_grad_rest.
    """

    plus: ClassVar[bool] = True
    eps: float = attr("float")
    activation: str = attr("hidden")

    def results(self, *inputs: Value) -> Results:
        c = inputs[0].sample[-1]
        return [(inputs[0].shape, "f32"), ((c,), "f32"), ((c,), "f32")]


@op("normalize_grad_rest")
class NormalizeGradRest(Op):
    """mean, var, weight, dbias, dweight -> A, B and C [3C] of each channel: dx = A dy + B x + C (normalize_grad).

    With a sixth input, the rests of other gradients of the same image, theirs from channel ``first`` on are added to B
    and C. ``pixels``: height * width.
    """

    eps: float = attr("float")
    pixels: int = attr("int")
    first: int = attr("int")

    def results(self, *inputs: Value) -> Results:
        return [((3 * inputs[0].sample_size,), "f32")]


@op("normalize_grad_late")
class NormalizeGradLate(Op):
    """x, rest, early -> early + B x + C, with B and C from channel ``first`` of the rest on."""

    plus: ClassVar[bool] = True
    first: int = attr("int")

    def infer(self, x: Shape) -> Shape:
        return x


@op("fold_batchnorm")
class FoldBatchNorm(Op):
    """w, bias?, weight, bias, mean, var -> filters and bias that do the normalisation as they convolve.

    w' = w * g, b' = (b - mean) * g + bias, with g = weight / sqrt(var + eps) for each output channel.
    """

    eps: float = attr("float")
    conv_bias: bool = attr("bool")
    groups: int = attr("int", default=1)

    def results(self, *inputs: Value) -> Results:
        return [(inputs[0].shape, "f32"), (inputs[-1].shape, "f32")]
