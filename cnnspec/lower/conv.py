"""How convolutions and their input gradients become calls of the kernel conv2d, or of others that are faster."""

from __future__ import annotations

from collections.abc import Mapping

from ..abi import Start
from ..ir.fields import Pair
from ..ir.graph import Node
from ..layouts import FilterLayout, panels_of
from ..ops.conv import Conv, ConvInputGrad
from .cut import Cut
from .emitter import Emitter
from .flip import flip
from .functions import function_of
from .narrow import narrow_conv
from .overlap import lower_overlap
from .phases import phase_halo, phases_of
from .registry import lowering
from .tile import conv2d_of, filters_of, taps_of
from .values import strides_of
from .winograd import lower_winograd, lower_winograd_staged


@lowering(Conv, halo=lambda node, op: {0: op.pads}, strided=True)
def lower_conv(emit: Emitter, node: Node, op: Conv) -> None:
    """y = act(w * x + b)."""
    x, w, *bias = node.inputs
    addend = bias.pop() if op.addend else None
    lx, ly = emit.layout(x), emit.layout(node.output)
    layout = panels_of(w.sample, op.groups)
    start = lx.origin - op.pads[0] * lx.row_stride - op.pads[1] * lx.pixel_stride
    image, flops = emit.operand(x, at=start), 2 * op.macs((x.sample,), node.output.sample)
    if op.algorithm == "winograd staged":
        lower_winograd_staged(emit, image, w, bias, node, layout, op.activation, flops, addend=addend)
        return
    if op.algorithm == "winograd":
        lower_winograd(emit, image, w, bias, node, layout, op.activation, flops, addend)
        return
    args = dict(
        out_height=ly.height,
        out_width=ly.width,
        **strides_of("x", lx.sample_stride, op.stride[0] * lx.row_stride, op.stride[1] * lx.pixel_stride),
        **taps_of(layout, op.dilation, lx.row_stride, lx.pixel_stride, op.groups),
        **filters_of(layout, Start.BIAS if bias else Start.ZERO),
        **function_of(op.activation),
    )
    operands = dict(x=image, w=w, bias=bias[0] if bias else w, y=node.output)
    if op.groups == 1 and layout.size > lx.sample_stride + ly.sample_stride:  # blocks share x, not the filters
        steps = {"w": layout.panel_size // layout.width, "bias": int(bool(bias)), "y": 1}
        cut = Cut("out_channels", layout.channels, layout.width, steps, 50)
    else:
        cut = Cut("out_height", ly.height, 1, {"x": op.stride[0] * lx.row_stride, "y": ly.row_stride}, 100)
    whole = lx.pixel_stride == layout.inner  # not a slice of a wider image
    narrow = narrow_conv(op, layout, lx.pixel_stride * op.stride[1], ly.width) if whole else ""
    name = narrow or conv2d_of(layout)
    emit.call(name, operands, args, flops=flops, cut=cut)


def input_grad_halo(node: Node, op: ConvInputGrad) -> Mapping[int, Pair]:
    """Return the zeros that the phases read around dy; windows that overlap read none."""
    if op.algorithm == "overlap":
        return {}
    dy = node.inputs[0].sample
    return {0: phase_halo(op.input_shape, op.kernel_size, op.stride, op.padding, op.dilation, dy)}


@lowering(ConvInputGrad, halo=input_grad_halo, strided=True)
def lower_input_grad(emit: Emitter, node: Node, op: ConvInputGrad) -> None:
    """dx = dy * flipped w: one convolution of stride 1 for each phase of the stride."""
    if op.algorithm == "overlap":
        lower_overlap(emit, node, op)
        return
    dy, w = node.inputs
    ly, lx = emit.layout(dy), emit.layout(node.output)
    source = panels_of(w.sample, op.groups)
    for ph, pw in phases_of(op.input_shape, op.kernel_size, op.stride, op.padding, op.dilation):
        at = lx.origin + ph.first * lx.row_stride + pw.first * lx.pixel_stride
        target = emit.operand(node.output, at=at)
        steps = strides_of("y", lx.sample_stride, op.stride[0] * lx.row_stride, op.stride[1] * lx.pixel_stride)
        if not ph.taps or not pw.taps:
            pixels = dict(height=ph.count, width=pw.count, channels=lx.channels, **steps)
            emit.call("fill_pixels", {"y": target}, pixels)
            continue
        flipped = FilterLayout(op.groups, ph.taps, pw.taps, source.channels, source.inner)
        image = emit.operand(dy, at=ly.origin + ph.start * ly.row_stride + pw.start * ly.pixel_stride)
        flops = 2 * ph.count * pw.count * op.groups * flipped.channels * ph.taps * pw.taps * flipped.inner
        if op.algorithm == "winograd staged":
            lower_winograd_staged(emit, image, w, [], node, flipped, "", flops, turned=source)
            continue
        filters = flip(emit, w, source, flipped, (ph.tap, ph.tap_step), (pw.tap, pw.tap_step), dy)
        if op.algorithm == "winograd":
            lower_winograd(emit, image, filters, [], node, flipped, "", flops)
            continue
        args = dict(
            out_height=ph.count,
            out_width=pw.count,
            **emit.strides("x", dy),
            **steps,
            **taps_of(flipped, (ph.dilation, pw.dilation), ly.row_stride, ly.pixel_stride, op.groups),
            **filters_of(flipped, Start.ZERO),
            **function_of(""),
        )
        emit.call(conv2d_of(flipped), dict(x=image, w=filters, bias=filters, y=target), args, flops=flops)
