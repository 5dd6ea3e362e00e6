"""Batch normalisation: statistics of the batch while training, learned running ones afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from ..activations import bounds_of
from ..ir.fields import Param, Shape, attr
from ..ir.graph import Builder, Node, Op, Results, Value, layer, op
from .activation import before_activation
from .shapes import SameShape


@layer("bn")
class BatchNorm(SameShape):
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
        dy = before_activation(b, self.activation, dy, node.output)
        dbias, dweight = b.add_all(NormalizeSums(self.eps), dy, x, mean, var, weight, bias)
        return [b.add(BatchNormGrad(self.eps), dy, weight, var), dweight, dbias, None, None]


@op("bn_grad")
class BatchNormGrad(SameShape):
    """Gradient of bn in inference: dy, weight [C], var [C] -> weight / sqrt(var + eps) * dy; mean and var are fixed."""

    eps: float = attr("float")


@op("batch_stats")
class BatchStats(Op):
    """x [N, H, W, C] -> mean [C], biased variance [C] over the batch; partial sums are merged in a fixed order."""

    def results(self, *inputs: Value) -> Results:
        c = inputs[0].sample[-1]
        return [((c,), "f32"), ((c,), "f32")]


@op("running_update")
class RunningUpdate(Op):
    """running [C], batch [C] -> (1 - momentum)*running + momentum*batch.

    ``spatial``: 0 for a mean; for a variance height * width, by which the batch's variance is made unbiased.
    """

    arity = 2
    momentum: float = attr("float")
    spatial: int = attr("int")

    def results(self, *inputs: Value) -> Results:
        return [(inputs[0].shape, "f32")]


@op("normalize")
class Normalize(SameShape):
    """x [N, H, W, C], mean, var, weight, bias [C] -> weight * (x - mean) / sqrt(var + eps) + bias.

    With ``addend``, which a pass sets after differentiation, a sixth input [N, H, W, C] is added before the activation.
    The gradient in x includes the paths through mean and variance, so mean and variance have no gradients of their own.
    """

    eps: float = attr("float")
    activation: str = attr("hidden", default="")
    addend: bool = attr("hidden", default=False)

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        x, mean, var, weight, bias = node.inputs
        bounds = bounds_of(self.activation)
        through = self.activation if bounds and bounds[0] == 0 else ""  # the kernel's mask begins at 0
        if not through:
            dy = before_activation(b, self.activation, dy, node.output)
        dbias, dweight = b.add_all(NormalizeSums(self.eps, through), dy, x, mean, var, weight, bias)
        dx = b.add(NormalizeGrad(self.eps, through), dy, x, mean, var, weight, bias, dbias, dweight)
        return [dx, None, None, dweight, dbias]


@op("renormalize")
class Renormalize(Normalize):
    """Normalize, computed again in the backward pass, so that the output of the forward pass need not be kept.

    The sixth input is not read. It is a gradient that must have been computed before: it keeps the scheduler from
    moving the recomputation into the forward pass.
    """


@op("normalize_sums")
class NormalizeSums(Op):
    """dy, x, mean, var, weight, bias -> sum of dy [C], sum of dy * xhat [C]: the gradients of bias and weight.

    xhat = (x - mean) / sqrt(var + eps). With an ``activation`` that has bounds (relu, relu6), dy is the gradient behind
    the activation: it counts only where weight * xhat + bias, computed again, lies inside the bounds.
    """

    arity = 2
    eps: float = attr("float")
    activation: str = attr("hidden", default="")

    def results(self, *inputs: Value) -> Results:
        c = inputs[0].sample[-1]
        return [((c,), "f32"), ((c,), "f32")]


class NormalizeGradInputs(NamedTuple):
    """The inputs of normalize_grad by name: images [N, H, W, C], and vectors [C]."""

    dy: Value  # image
    x: Value  # image
    mean: Value
    var: Value
    weight: Value
    bias: Value
    dbias: Value  # sum of dy
    dweight: Value  # sum of dy * xhat
    addend: Value | None = None  # image


@op("normalize_grad")
class NormalizeGrad(SameShape):
    """Gradient of batch normalisation in its input, through mean and variance (Ioffe & Szegedy 2015, section 3).

    dx = weight / sqrt(var + eps) * (dy - dbias/M - xhat * dweight/M), with M = samples * height * width. With
    ``addend`` another gradient is added to dx. Inputs: NormalizeGradInputs. ``activation``: see normalize_sums.
    """

    eps: float = attr("float")
    activation: str = attr("hidden", default="")
    addend: bool = attr("hidden", default=False)


@op("normalize_grad_partial")
class NormalizeGradPartial(Op):
    """First half of normalize_grad, in the sweep that computes the sums over the batch.

    dy, x, mean, var, weight, bias, addend -> addend + A dy, sum of dy [C], sum of dy * xhat [C], with A = weight /
    sqrt(var + eps). normalize_grad_complete adds B x + C. ``activation``: see normalize_sums; it is never empty.
    """

    addend: ClassVar[bool] = True
    eps: float = attr("float")
    activation: str = attr("hidden")

    def results(self, *inputs: Value) -> Results:
        c = inputs[0].sample[-1]
        return [(inputs[0].shape, "f32"), ((c,), "f32"), ((c,), "f32")]


@op("normalize_grad_coefficients")
class NormalizeGradCoefficients(Op):
    """mean, var, weight, dbias, dweight [C] -> coefficients A, B and C [3C] of dx = A dy + B x + C (normalize_grad).

    A sixth input holds the coefficients of other gradients of the same image. Its B and C from channel
    ``channel_offset`` on are added to those computed here. ``pixels``: height * width.
    """

    eps: float = attr("float")
    pixels: int = attr("int")
    channel_offset: int = attr("int")

    def results(self, *inputs: Value) -> Results:
        return [((3 * inputs[0].sample_size,), "f32")]


@op("normalize_grad_complete")
class NormalizeGradComplete(SameShape):
    """Second half of normalize_grad: x, coefficients, partial -> partial + B x + C.

    B and C are those of the coefficients (normalize_grad_coefficients) from channel ``channel_offset`` on.
    """

    addend: ClassVar[bool] = True
    channel_offset: int = attr("int")


@op("fold_batchnorm")
class FoldBatchNorm(Op):
    """w, b (with ``conv_bias``), weight, bias, mean, var -> w', b' of a convolution that normalises its output.

    w' = w * g, b' = (b - mean) * g + bias, with g = weight / sqrt(var + eps) for each output channel.
    """

    eps: float = attr("float")
    conv_bias: bool = attr("bool")
    groups: int = attr("int", default=1)

    def results(self, *inputs: Value) -> Results:
        return [(inputs[0].shape, "f32"), (inputs[-1].shape, "f32")]
