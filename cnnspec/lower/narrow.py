"""The choice of the kernels in kernels/narrow.py, for images of few channels and small filters.

The general tile loads the address of each of its rows from a table. Rows of the narrow tiles lie at distances that are
constants in the machine code. So there is a kernel for each shape of a tile, and its name says the shape.
"""

from __future__ import annotations

from ..abi.constants import NARROW_PITCHES, NARROW_PIXELS, WINDOW_ROWS
from ..activations import bounds_of
from ..layouts import FilterLayout
from ..ops.conv import Conv, ConvWeightGrad


def narrow_conv(op: Conv, layout: FilterLayout, pitch: int, out_w: int) -> str:
    """Return the name ``conv2d_narrow.WIDTH.PIXELS.PITCH`` of a convolution's kernel, "" where conv2d is as fast.

    layout: the filters [panels][kernel_height][kernel_width * in_channels][WIDTH]. pitch: elements from the window of
    one output pixel to the window of the next. out_w: output pixels of a row, which are cut into the fewest tiles of at
    most NARROW_PIXELS pixels. The kernel has one group, taps side by side (dilation 1) and an activation that is none
    or bounds. With panels of 16 channels and more the general tile does not wait for addresses, and is as fast.
    """
    least, most = NARROW_PIXELS
    fits = op.groups == 1 and op.dilation == (1, 1) and bool(bounds_of(op.activation))
    if not fits or layout.width > 8 or pitch not in NARROW_PITCHES or out_w < least:
        return ""
    pixels = -(-out_w // -(-out_w // most))  # of one tile; the last tile of a row overlaps the one before
    return f"conv2d_narrow.{layout.width}.{pixels}.{pitch}"


def narrow_weight_grad(op: ConvWeightGrad, layout: FilterLayout) -> str:
    """Return the name ``conv2d_weight_grad_window.WIDTH.HEIGHTxROW`` of a weight gradient's kernel, "" for none.

    The tile has a row of WIDTH output channels for each of the HEIGHT * ROW = kernel_height * (kernel_width *
    in_channels) weights of a filter. More than WINDOW_ROWS rows, or panels wider than 16, have no such kernel.
    """
    row = layout.taps_w * layout.inner
    if op.dilation != (1, 1) or layout.width > 16 or row * layout.taps_h > WINDOW_ROWS:
        return ""
    return f"conv2d_weight_grad_window.{layout.width}.{layout.taps_h}x{row}"
