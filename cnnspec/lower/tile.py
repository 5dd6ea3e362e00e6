"""The arguments of conv2d and its kin: strides, taps and start addresses, no copies.

``conv2d`` computes, for each output pixel, the sum over taps and channels of x times filter; whatever can be said as
such a sum is: dense layers (one pixel), input gradients (dy against flipped filters; one call for each phase of the
stride), weight gradients (the same tile with the roles of pixel and channel exchanged).
"""

from __future__ import annotations

from ..ir.fields import Pair
from ..layouts import FilterLayout

ZERO, BIAS, ADD = 0, 1, 2  # how the sums of a tile start; kernels/tile.py
X_PIXEL, INNER, CHANNELS, START, FUNCTION = 4, 12, 17, 18, 20  # places in the arguments of conv2d
MOST_PRODUCTS = 768  # that are added up in a register; more are in parts: twice DEEP of kernels/conv.py


def conv2d_of(layout: FilterLayout, inner: int = 0) -> str:
    """Return the kernel for filters of this layout, or for so many input channels of them."""
    deep = "_deep" if layout.taps_h * layout.taps_w * (inner or layout.inner) > MOST_PRODUCTS else ""
    return f"conv2d{deep}.{layout.width}"


def taps_of(layout: FilterLayout, dilation: Pair, row: int, pixel: int, groups: int) -> tuple[int, ...]:
    """Return taps_h, tap_row, taps_w, tap_pixel, inner: filter rows are one run where nothing lies between."""
    if dilation[1] == 1 and groups == 1 and (layout.taps_w == 1 or pixel == layout.inner):
        return layout.taps_h, dilation[0] * row, 1, 0, layout.taps_w * layout.inner
    return layout.taps_h, dilation[0] * row, layout.taps_w, dilation[1] * pixel, layout.inner


def dense_args(x_image: int, y_image: int, layout: FilterLayout, start: int) -> tuple[int, ...]:
    """Return the arguments for samples of one pixel each, up to ``start`` and the size of a panel."""
    return (
        1, 1, x_image, 0, 0, y_image, 0, 0, 1, 0, 1, 0, layout.inner,
        1, 0, 0, 0, layout.channels, start, layout.panel_size,
    )  # fmt: skip
