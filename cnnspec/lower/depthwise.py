"""How depthwise convolutions and their gradients become calls of one kernel."""

from __future__ import annotations

from collections.abc import Mapping

from ..abi.constants import DEPTHWISE_STRIDES, DEPTHWISE_TAPS
from ..ir.fields import Pair
from ..ir.graph import Node
from ..ops.conv import Depthwise, DepthwiseInputGrad, DepthwiseWeightGrad
from .cut import Cut
from .emitter import Emitter
from .functions import function_of
from .phases import phase_halo, phases_of
from .registry import lowering
from .values import parameter_size, strides_of


@lowering(Depthwise, halo=lambda node, op: {0: op.pads})
def lower_depthwise(emit: Emitter, node: Node, op: Depthwise) -> None:
    """y = act(w * x + b), channel by channel."""
    x, w, *bias = node.inputs
    lx, ly = emit.layout(x), emit.layout(node.output)
    start = lx.origin - op.pads[0] * lx.row_stride - op.pads[1] * lx.channels
    args = dict(
        out_height=ly.height,
        out_width=ly.width,
        channels=ly.channels,
        **strides_of("x", lx.sample_stride, op.stride[0] * lx.row_stride, op.stride[1] * lx.channels),
        tap_row_stride=op.dilation[0] * lx.row_stride,
        tap_pixel_stride=op.dilation[1] * lx.channels,
        kernel_height=op.kernel_size[0],
        kernel_width=op.kernel_size[1],
        w_row_stride=op.kernel_size[1] * ly.channels,
        w_pixel_stride=ly.channels,
        **function_of(op.activation),
    )
    shift = bias[0] if bias else emit.zeros(ly.channels)
    operands = dict(x=emit.operand(x, at=start), w=w, bias=shift, y=node.output)
    cut = Cut("out_height", ly.height, 1, {"x": op.stride[0] * lx.row_stride, "y": ly.row_stride}, 30)
    name = f"depthwise{_window(op.kernel_size, op.stride, op.dilation)}"
    emit.call(name, operands, args, flops=2 * op.macs((x.sample,), node.output.sample), cut=cut)


def _window(taps: Pair, stride: Pair, dilation: Pair) -> str:
    """Return the suffix of the kernel for filters that fit the registers (kernels/window.py), "" for other filters."""
    if max(taps) <= max(DEPTHWISE_TAPS) and stride[1] <= max(DEPTHWISE_STRIDES) and dilation[1] == 1:
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
    zeros = emit.zeros(channels)
    for ph, pw in phases_of(op.input_shape, op.kernel_size, op.stride, op.padding, op.dilation):
        at = lx.origin + ph.first * lx.row_stride + pw.first * channels
        target = emit.operand(dx, at=at)
        steps = strides_of("y", lx.sample_stride, op.stride[0] * lx.row_stride, op.stride[1] * channels)
        if not ph.taps or not pw.taps:
            emit.call("fill_pixels", {"y": target}, dict(height=ph.count, width=pw.count, channels=channels, **steps))
            continue
        start = ly.origin + ph.start * ly.row_stride + pw.start * channels
        last = (ph.tap + (ph.taps - 1) * ph.tap_step) * columns + pw.tap + (pw.taps - 1) * pw.tap_step
        args = dict(
            out_height=ph.count,
            out_width=pw.count,
            channels=channels,
            **strides_of("x", ly.sample_stride, ly.row_stride, channels),
            tap_row_stride=ph.dilation * ly.row_stride,
            tap_pixel_stride=pw.dilation * channels,
            **steps,
            kernel_height=ph.taps,
            kernel_width=pw.taps,
            w_row_stride=-ph.tap_step * columns * channels,
            w_pixel_stride=-pw.tap_step * channels,
            **function_of(""),
        )
        filters = emit.operand(w, at=last * channels, extent=channels)
        operands = dict(x=emit.operand(dy, at=start), w=filters, bias=zeros, y=target)
        name = f"depthwise{_window((ph.taps, pw.taps), (1, 1), (ph.dilation, pw.dilation))}"
        emit.call(name, operands, args, flops=2 * ph.count * pw.count * channels * ph.taps * pw.taps)


@lowering(DepthwiseWeightGrad, halo=lambda node, op: {0: op.padding})
def lower_depthwise_weight_grad(emit: Emitter, node: Node, op: DepthwiseWeightGrad) -> None:
    """dw[r, s, c] += sum over samples and pixels of x[.., c] dy[.., c], in one copy for each shard."""
    x, dy = node.inputs
    lx, ly = emit.layout(x), emit.layout(dy)
    start = lx.origin - op.padding[0] * lx.row_stride - op.padding[1] * lx.channels
    total = emit.gradient(node.output, parameter_size(node.output.sample))
    args = dict(
        out_height=ly.height, out_width=ly.width, channels=ly.channels,
        **strides_of("x", lx.sample_stride, lx.row_stride, lx.channels),
        kernel_height=op.kernel_size[0], kernel_width=op.kernel_size[1],
        stride_height=op.stride[0], stride_width=op.stride[1],
        dilation_height=op.dilation[0], dilation_width=op.dilation[1],
    )  # fmt: skip
    flops = 2 * ly.height * ly.width * ly.channels * op.kernel_size[0] * op.kernel_size[1]
    operands = dict(x=emit.operand(x, at=start), dy=dy, dw=total)
    single = op.dilation[0] == 1  # rows of taps side by side
    name = f"depthwise_weight_grad{_window(op.kernel_size, op.stride, op.dilation) if single else ''}"
    emit.call(name, operands, args, flops=flops)
