"""How the input gradient of a convolution with few input channels becomes a call (kernels/overlap.py)."""

from __future__ import annotations

from ..ir.graph import Node
from ..layouts import FilterLayout, overlap_pixels
from ..ops.conv import ConvInputGrad
from .emitter import Emitter
from .flip import flip


def lower_overlap(emit: Emitter, node: Node, op: ConvInputGrad) -> None:
    """dx = windows of w dy, added up; the filters are packed with (tap, channel) as outputs, bottom row first."""
    dy, w = node.inputs
    ly, lx = emit.layout(dy), emit.layout(node.output)
    (kh, kw), (pad_h, pad_w), c, k = op.kernel_size, op.padding, lx.channels, ly.channels
    windows = FilterLayout(1, kh, 1, k, kw * c)
    filters = flip(emit, w, FilterLayout(1, kh, 1, kw * c, k), windows, (0, 1), (0, 1), dy)
    line = windows.panels * windows.width
    args = dict(
        height=lx.height, width=lx.width, dy_height=ly.height, dy_width=ly.width,
        kernel_height=kh, kernel_width=kw, padding_height=pad_h, padding_width=pad_w,
        dy_channels=k, dx_channels=c, panels=windows.panels,
    )  # fmt: skip
    operands = dict(dy=dy, filters=filters, dx=node.output, windows=emit.workspace(2 * ly.width * line + 16))
    flops = 2 * ly.height * ly.width * kh * kw * c * k
    emit.call(f"conv2d_overlap.{windows.width}.{overlap_pixels(ly.width)}", operands, args, flops=flops)
