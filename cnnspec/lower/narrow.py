"""When convolutions of images with very few channels run on tiles of neighbouring rows (kernels/narrow.py)."""

from __future__ import annotations

from ..abi.constants import NARROW_PITCHES, NARROW_PIXELS, WINDOW_ROWS
from ..activations import bounds_of
from ..layouts import FilterLayout
from ..ops.conv import Conv, ConvWeightGrad


def narrow_conv(op: Conv, layout: FilterLayout, pitch: int, out_w: int) -> str:
    """Return the kernel for a convolution whose windows lie ``pitch`` elements apart, "" where conv2d is as fast.

    From 16 filters on the tile of conv2d no longer waits for addresses.
    """
    least, most = NARROW_PIXELS
    fits = op.groups == 1 and op.dilation == (1, 1) and bool(bounds_of(op.activation))
    if not fits or layout.width > 8 or pitch not in NARROW_PITCHES or out_w < least:
        return ""
    run = -(-out_w // -(-out_w // most))
    return f"conv2d_narrow.{layout.width}.{run}.{pitch}"


def narrow_weight_grad(op: ConvWeightGrad, layout: FilterLayout) -> str:
    """Return the kernel for the weight gradient of filters that fit one tile, "" for other filters."""
    run = layout.taps_w * layout.inner
    if op.dilation != (1, 1) or layout.width > 16 or run * layout.taps_h > WINDOW_ROWS:
        return ""
    return f"conv2d_weight_grad_window.{layout.width}.{layout.taps_h}x{run}"
