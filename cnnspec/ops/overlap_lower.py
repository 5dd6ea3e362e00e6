"""How the input gradient of a convolution with few input channels becomes a call (kernels/overlap.py), and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Shape
from .conv_lower import flip
from .filters import FilterLayout, filter_layout, tile_cost

if TYPE_CHECKING:
    from ..ir.graph import Node
    from ..plan.lower import Emitter
    from .conv import ConvInputGrad

PIXELS = (5, 10)  # least and most pixels of a tile; kernels/overlap.py
ADDING = 96  # what adding one vector of a window costs, in lanes multiplied; measured, 64 to 100


def _pixels(width: int) -> int:
    """Return the pixels of a tile: rows of dy are cut evenly, so that few are idle."""
    least, most = PIXELS
    return max(least, -(-width // -(-width // most)))


def is_overlap_faster(op: ConvInputGrad, dy: Shape) -> bool:
    """Whether windows that overlap cost less than a convolution of dy, with its halo, by the flipped filters.

    Both costs are lanes that tiles multiply, idle ones included; windows must be added up as well.
    """
    if op.stride != (1, 1) or op.dilation != (1, 1) or op.groups != 1:
        return False
    (h, w, c), (kh, kw) = op.input_shape, op.kernel_size
    pixels = _pixels(dy[1])
    windows = kh * dy[2] * dy[0] * -(-dy[1] // pixels) * pixels * tile_cost(kw * c)
    return windows + ADDING * h * w * kw * -(-c // 8) < kh * dy[2] * h * w * kw * tile_cost(c)


def lower_overlap(emit: Emitter, node: Node, op: ConvInputGrad) -> None:
    """dx = windows of w dy, added up; the filters are packed with (tap, channel) as outputs, bottom row first."""
    dy, w = node.inputs
    ly, lx = emit.layout(dy), emit.layout(node.output)
    (kh, kw), (pad_h, pad_w), c, k = op.kernel_size, op.padding, lx.channels, ly.channels
    source = filter_layout(w.sample)
    assert source is not None
    windows = FilterLayout(1, kh, 1, k, kw * c)
    filters = flip(emit, w, FilterLayout(1, kh, 1, kw * c, k), windows, (0, 1), (0, 1), dy)
    line = windows.panels * windows.width
    args = (
        lx.height, lx.width, ly.height, ly.width, *emit.strides(dy), *emit.strides(node.output),
        kh, kw, pad_h, pad_w, k, c, windows.panels,
    )  # fmt: skip
    operands = [
        emit.image(dy), emit.whole(filters), emit.image(node.output, write=True),
        emit.workspace(2 * ly.width * line + 16),
    ]  # fmt: skip
    flops = 2 * ly.height * ly.width * kh * kw * c * k
    emit.call(f"conv2d_overlap.{windows.width}.{_pixels(ly.width)}", operands, args, flops=flops)
