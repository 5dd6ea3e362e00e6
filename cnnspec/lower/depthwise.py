"""How depthwise convolutions and their gradients become calls of one kernel."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.fields import Pair
from ..ir.graph import Node
from ..ops.activation import fused_args
from ..ops.conv import Depthwise, DepthwiseInputGrad, DepthwiseWeightGrad
from .cut import Cut
from .emitter import Emitter
from .phases import phase_halo, phases_of
from .registry import lowering
from .values import parameter_size

MOST_TAPS, MOST_STRIDE = 3, 2  # kernels/window.py


@lowering(Depthwise, halo=lambda node, op: {0: op.pads})
def lower_depthwise(emit: Emitter, node: Node, op: Depthwise) -> None:
    """y = act(w * x + b), channel by channel."""
    x, w, *bias = node.inputs
    lx, ly = emit.layout(x), emit.layout(node.output)
    start = lx.origin - op.pads[0] * lx.row - op.pads[1] * lx.channels
    args = (
        ly.height, ly.width, ly.channels,
        lx.image, op.stride[0] * lx.row, op.stride[1] * lx.channels,
        op.dilation[0] * lx.row, op.dilation[1] * lx.channels,
        *emit.strides(node.output),
        *op.kernel_size, op.kernel_size[1] * ly.channels, ly.channels, *fused_args(op.activation),
    )  # fmt: skip
    shift = emit.whole(bias[0] if bias else emit.zeros(ly.channels))
    operands = [emit.image(x, at=start), emit.whole(w), shift, emit.image(node.output, write=True)]
    cut = Cut(0, ly.height, 1, (op.stride[0] * lx.row, 0, 0, ly.row), 30)
    name = f"depthwise{_window(op.kernel_size, op.stride, op.dilation)}"
    emit.call(name, operands, args, flops=2 * op.macs((x.sample,), node.output.sample), cut=cut)


def _window(taps: Pair, stride: Pair, dilation: Pair) -> str:
    """Return the ending of the kernel's name for filters that fit the registers (kernels/window.py), "" for others."""
    if max(taps) <= MOST_TAPS and stride[1] <= MOST_STRIDE and dilation[1] == 1:
        return f"_window.{taps[0]}x{taps[1]}.{stride[1]}"
    return ""


def input_grad_halo(node: Node, op: DepthwiseInputGrad) -> Mapping[int, Pair]:
    """Return the zeros that the phases read around dy."""
    dy = node.inputs[0].sample
    return {0: phase_halo(op.input_shape, op.kernel_size, op.stride, op.padding, op.dilation, dy)}


@lowering(DepthwiseInputGrad, halo=input_grad_halo)
def lower_depthwise_input_grad(emit: Emitter, node: Node, op: DepthwiseInputGrad) -> None:
    """dx = dy * flipped w: one call of stride 1 for each phase of the stride, which walks the filter backwards."""
    dy, w = node.inputs
    dx = node.output
    lx, ly = emit.layout(dx), emit.layout(dy)
    channels, columns = lx.channels, op.kernel_size[1]
    zeros = emit.whole(emit.zeros(channels))
    for ph, pw in phases_of(op.input_shape, op.kernel_size, op.stride, op.padding, op.dilation):
        at = lx.origin + ph.first * lx.row + pw.first * channels
        target = emit.image(dx, at=at, write=True)
        steps = (lx.image, op.stride[0] * lx.row, op.stride[1] * channels)
        if not ph.taps or not pw.taps:
            emit.call("fill_pixels", [target], (ph.count, pw.count, channels, *steps))
            continue
        start = ly.origin + ph.start * ly.row + pw.start * channels
        last = (ph.tap + (ph.taps - 1) * ph.tap_step) * columns + pw.tap + (pw.taps - 1) * pw.tap_step
        args = (
            ph.count, pw.count, channels,
            ly.image, ly.row, channels, ph.dilation * ly.row, pw.dilation * channels, *steps,
            ph.taps, pw.taps, -ph.tap_step * columns * channels, -pw.tap_step * channels, *fused_args(""),
        )  # fmt: skip
        operands = [emit.image(dy, at=start), emit.from_element(w, last * channels, channels), zeros, target]
        name = f"depthwise{_window((ph.taps, pw.taps), (1, 1), (ph.dilation, pw.dilation))}"
        emit.call(name, operands, args, flops=2 * ph.count * pw.count * channels * ph.taps * pw.taps)


@lowering(DepthwiseWeightGrad, halo=lambda node, op: {0: op.padding})
def lower_depthwise_weight_grad(emit: Emitter, node: Node, op: DepthwiseWeightGrad) -> None:
    """dw[r, s, c] += sum over samples and pixels of x[.., c] dy[.., c], in one copy for each shard."""
    x, dy = node.inputs
    lx, ly = emit.layout(x), emit.layout(dy)
    start = lx.origin - op.padding[0] * lx.row - op.padding[1] * lx.channels
    total = emit.gradient(node.output, parameter_size(node.output.sample))
    args = (
        ly.height, ly.width, ly.channels, lx.image, lx.row, lx.channels, *emit.strides(dy),
        *op.kernel_size, *op.stride, *op.dilation,
    )  # fmt: skip
    flops = 2 * ly.height * ly.width * ly.channels * op.kernel_size[0] * op.kernel_size[1]
    operands = [emit.image(x, at=start), emit.image(dy), emit.whole(total, write=True)]
    single = op.dilation[0] == 1  # rows of taps side by side
    name = f"depthwise_weight_grad{_window(op.kernel_size, op.stride, op.dilation) if single else ''}"
    emit.call(name, operands, args, flops=flops)
