"""The arguments of conv2d and its kin: strides, taps and start addresses, no copies.

``conv2d`` computes, for each output pixel, the sum over taps and channels of x times filter. Dense layers are such sums
(one pixel), and so are input gradients (dy against flipped filters, one call for each phase of the stride). Weight
gradients run on the same tile with the roles of pixel and channel exchanged.
"""

from __future__ import annotations

from ..abi import Start
from ..abi.constants import DEEP
from ..ir.fields import Pair
from ..layouts import FilterLayout
from .values import strides_of


def conv2d_of(layout: FilterLayout, inner: int = 0) -> str:
    """Return the kernel for filters of this layout, or for ``inner`` of their input channels."""
    deep = "_deep" if layout.taps_h * layout.taps_w * (inner or layout.inner) > 2 * DEEP else ""
    return f"conv2d{deep}.{layout.width}"


def taps_of(layout: FilterLayout, dilation: Pair, row: int, pixel: int, groups: int) -> dict[str, int]:
    """Return the arguments of a window's taps: a row of the filter is one run where nothing lies between its taps.

    ``row``, ``pixel``: strides of the image, in elements.
    """
    run = dilation[1] == 1 and groups == 1 and (layout.taps_w == 1 or pixel == layout.inner)
    return dict(
        kernel_height=layout.taps_h,
        tap_row_stride=dilation[0] * row,
        kernel_width=1 if run else layout.taps_w,
        tap_pixel_stride=0 if run else dilation[1] * pixel,
        in_channels=layout.taps_w * layout.inner if run else layout.inner,
    )


def filters_of(layout: FilterLayout, start: Start, w: str = "w", y: str = "y") -> dict[str, int]:
    """Return the arguments of the filters ``w`` of a convolution, and how its sums start."""
    return {
        "groups": layout.groups,
        "x_group_stride": layout.inner,
        f"{w}_group_stride": layout.group_size,
        f"{y}_group_stride": layout.channels,
        "out_channels": layout.channels,
        "start": start,
        f"{w}_panel_stride": layout.panel_size,
    }


def dense_args(
    x_sample: int, y_sample: int, layout: FilterLayout, start: Start, w: str = "w", y: str = "y"
) -> dict[str, int]:
    """Return the arguments of a convolution of one pixel, with weights ``w`` [in_channels, out_channels]."""
    return {
        "out_height": 1,
        "out_width": 1,
        **strides_of("x", x_sample, 0, 0),
        **strides_of(y, y_sample, 0, 0),
        **taps_of(layout, (1, 1), 0, 0, 1),
        **filters_of(layout, start, w, y),
        **{f"{operand}_group_stride": 0 for operand in ("x", w, y)},  # there is one group
    }
