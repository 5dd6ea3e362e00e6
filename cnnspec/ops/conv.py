"""Convolution and depthwise convolution: what a spec writes as ``conv 64 3x3`` and ``depthwise 3x3``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import ShapeRuleError
from ..ir.fields import Pair, Param, Shape, attr, declared
from ..ir.filters import Filter
from ..ir.graph import Builder, Node, Op, Results, Value, layer, op
from .activation import before_activation
from .reduce import ChannelSum
from .shapes import InputGrad, WindowGrad, require_image, resolve_padding, slide, weight_and_bias


class Convolution(Op):
    """Base of convolutions: a window that slides over an image, a weight and an optional bias."""

    kernel_size: Pair
    stride: Pair
    padding: str | Pair
    dilation: Pair
    bias: bool
    activation: str

    @property
    def pads(self) -> Pair:
        """Rows and columns of zeros on each side."""
        return resolve_padding(self.padding, self.kernel_size, self.dilation)

    def window(self, x: Shape) -> tuple[Pair, Pair]:
        (kh, kw), (dh, dw) = self.kernel_size, self.dilation
        return (dh * (kh - 1) + 1, dw * (kw - 1) + 1), self.stride

    def gradients(self, x: Shape) -> tuple[Op, Op]:
        """Return the ops of the gradients in the input and in the weight, for an input of this shape."""
        raise NotImplementedError

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        x, w = node.inputs[:2]
        dz = before_activation(b, self.activation, dy, node.output)
        input_grad, weight_grad = self.gradients(x.sample)
        dx, dw = b.add(input_grad, dz, w), b.add(weight_grad, x, dz)
        return [dx, dw, b.add(ChannelSum(), dz)] if self.bias else [dx, dw]


@declared
class ConvolutionGrad(WindowGrad):
    """Base of the gradients of convolutions: the geometry of the forward convolution."""

    dilation: Pair = attr("size")


@layer("conv")
class Conv(Convolution):
    """2-D cross-correlation: each filter slides over the image and writes one output channel.

    ``conv 64 3x3`` learns 64 filters of 3 rows and 3 columns over all input channels, plus one bias each:

        y[h, w, k] = b[k] + sum over r, s, c of x[h*stride + r - pad, w*stride + s - pad, c] * w[r, s, c, k]

    Notes
    -----
    Output size: floor((size + 2*pad - dilation*(k - 1) - 1) / stride) + 1. Weights are HWIO,
    [kH, kW, C_in/groups, C_out]. ``pad=same`` puts k//2 zeros on each side; an even kernel must say its pad.

    ``conv filters=[vertical, sobel_x, 6]`` has two filters made by hand and six learned ones, in this order. All have
    one size. A filter without bars stands in every input channel with the numbers as they are written, and the
    convolution adds the channels up; one with bars has its own numbers for each. Its bias begins at 0. Training goes
    on from it, or with ``freeze=yes`` leaves it and its bias as they are, and changes the learned ones only.

    References
    ----------
    LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.
    Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning".
    """

    out_channels: int = attr("int", "number of filters, C_out", positional=True, min=1, max=1_000_000)
    kernel_size: Pair = attr("size", "rows x columns of a filter", positional=True, key="size", min=1)
    stride: Pair = attr("size", "rows and columns from one position to the next", default=(1, 1), min=1)
    padding: str | Pair = attr(
        "padding", "same, none, or rows and columns of zeros on each side", key="pad", default="same", min=0
    )
    dilation: Pair = attr("size", "distance between the taps of a filter", default=(1, 1), min=1)
    groups: int = attr("int", "split channels into groups that do not see each other", default=1, min=1)
    bias: bool = attr("bool", "add a learned number to each output channel", default=True)
    filters: tuple[Filter | int, ...] = attr(
        "filters",
        "filters made by hand, and numbers of learned ones beside them",
        default=(),
        says=("out_channels", "kernel_size"),
        function=False,
    )
    freeze: bool = attr("bool", "leave the filters made by hand as they are", default=False, function=False)
    activation: str = attr("hidden", "activation fused into the kernel", default="")
    algorithm: str = attr("hidden", "direct, winograd or winograd staged", default="direct")
    addend: bool = attr("hidden", "whether the last input is added before the activation; Winograd only", default=False)

    @classmethod
    def written(cls, values: dict[str, Any]) -> Op:
        made = [f for f in values.get("filters", ()) if isinstance(f, Filter)]
        if made:
            total = sum(1 if isinstance(f, Filter) else f for f in values["filters"])
            values = {**values, "out_channels": total, "kernel_size": made[0].size}
        return cls(**values)

    def build(self, b: Builder, xs: Sequence[Value], params: Sequence[Value], training: bool) -> Value:
        return b.add(replace(self, filters=(), freeze=False) if self.filters else self, *xs, *params)

    def infer(self, x: Shape) -> Shape:
        c = require_image(x, "conv")[2]
        self._check_filters(c // self.groups)
        for what, channels in (("input", c), ("output", self.out_channels)):
            if channels % self.groups:
                raise ShapeRuleError(
                    f"groups={self.groups} does not divide the {channels} {what} channels",
                    f"{channels} / {self.groups} leaves {channels % self.groups}",
                    hint=f"choose groups that divide both {c} and {self.out_channels}",
                    field="groups",
                )
        h, w = slide(x, self.kernel_size, self.stride, self.pads, self.dilation)
        return h, w, self.out_channels

    def params(self, x: Shape) -> tuple[Param, ...]:
        kh, kw = self.kernel_size
        inner = x[2] // self.groups
        own = weight_and_bias((kh, kw, inner, self.out_channels), kh * kw * inner, self.bias, self.groups)
        made, channel = [], 0
        for f in self.filters:
            if isinstance(f, Filter):
                made.append((channel, f))
            channel += 1 if isinstance(f, Filter) else f
        if not made:
            return own
        held = tuple(k for k, _ in made) if self.freeze else ()
        return tuple(replace(p, made=tuple(made), held=held, frozen_until=math.inf if held else 0) for p in own)

    def _check_filters(self, channels: int) -> None:
        if self.freeze and not self.filters:
            raise ShapeRuleError(
                "freeze=yes leaves filters made by hand as they are, and this convolution has none",
                hint='write  freeze "NAME"  into the train section to freeze a whole layer',
                field="freeze",
                code="structure",
            )
        for f in self.filters:
            if isinstance(f, Filter) and not f.every and f.channels != channels:
                per, n = " of each group" if self.groups > 1 else "", f.channels
                raise ShapeRuleError(
                    f"the filter {f} has {n} channel{'s' if n > 1 else ''}, and the input{per} {channels}",
                    hint="give it a bar for each input channel, or rows without bars for all of them",
                    field="filters",
                )

    def macs(self, xs: tuple[Shape, ...], y: Shape) -> int:
        kh, kw = self.kernel_size
        return y[0] * y[1] * y[2] * kh * kw * (xs[0][2] // self.groups)

    def gradients(self, x: Shape) -> tuple[Op, Op]:
        geometry = (self.kernel_size, self.stride, self.pads, self.dilation, self.groups)
        return ConvInputGrad(*geometry, x), ConvWeightGrad(*geometry)


@op("conv_input_grad")
class ConvInputGrad(InputGrad, ConvolutionGrad):
    """Gradient of a convolution in its input: dy, w -> dx, a convolution of dy with the flipped filters."""

    arity = 1
    groups: int = attr("int")
    input_shape: Shape = attr("size")
    algorithm: str = attr("hidden", "direct, overlap, winograd or winograd staged", default="direct")


@op("conv_weight_grad")
class ConvWeightGrad(ConvolutionGrad):
    """Gradient of a convolution in its weights: x, dy -> dw [kH, kW, C_in/groups, C_out]."""

    arity = 2
    groups: int = attr("int")
    algorithm: str = attr("hidden", default="direct")

    def results(self, *inputs: Value) -> Results:
        x, dy = inputs
        return [((*self.kernel_size, x.sample[2] // self.groups, dy.sample[2]), "f32")]


@layer("depthwise")
class Depthwise(Convolution):
    """Depthwise convolution: one filter for each channel, which sees that channel alone.

        y[h, w, c] = b[c] + sum over r, s of x[h*stride + r - pad, w*stride + s - pad, c] * w[r, s, c]

    Notes
    -----
    The same as ``conv C size groups=C`` with weights [kH, kW, C], by its own, leaner kernel.

    References
    ----------
    Howard et al. 2017, "MobileNets", section 3.1.
    """

    kernel_size: Pair = attr("size", "rows x columns of a filter", positional=True, key="size", min=1)
    stride: Pair = attr("size", "rows and columns from one position to the next", default=(1, 1), min=1)
    padding: str | Pair = attr(
        "padding", "same, none, or rows and columns of zeros on each side", key="pad", default="same", min=0
    )
    dilation: Pair = attr("size", "distance between the taps of a filter", default=(1, 1), min=1)
    bias: bool = attr("bool", "add a learned number to each channel", default=True)
    activation: str = attr("hidden", "activation fused into the kernel", default="")

    def infer(self, x: Shape) -> Shape:
        c = require_image(x, "depthwise")[2]
        h, w = slide(x, self.kernel_size, self.stride, self.pads, self.dilation)
        return h, w, c

    def params(self, x: Shape) -> tuple[Param, ...]:
        kh, kw = self.kernel_size
        return weight_and_bias((kh, kw, x[2]), kh * kw, self.bias)

    def macs(self, xs: tuple[Shape, ...], y: Shape) -> int:
        return y[0] * y[1] * y[2] * self.kernel_size[0] * self.kernel_size[1]

    def gradients(self, x: Shape) -> tuple[Op, Op]:
        geometry = (self.kernel_size, self.stride, self.pads, self.dilation)
        return DepthwiseInputGrad(*geometry, x), DepthwiseWeightGrad(*geometry)


@op("depthwise_input_grad")
class DepthwiseInputGrad(InputGrad, ConvolutionGrad):
    """Gradient of a depthwise convolution in its input: dy, w -> dx, dy against the filter walked backwards."""

    input_shape: Shape = attr("size")


@op("depthwise_weight_grad")
class DepthwiseWeightGrad(ConvolutionGrad):
    """Gradient of a depthwise convolution in its weights: x, dy -> dw [kH, kW, C]."""

    arity = 2

    def results(self, *inputs: Value) -> Results:
        return [((*self.kernel_size, inputs[0].sample[2]), "f32")]
