"""How arrays lie in memory: images with halos of zeros, filters in panels of output channels.

The width of panels suits vectors of every machine. A weight [kH, kW, C_in/groups, C_out] or [F_in, F_out] is stored as
[groups][panels][kH][kW][C_in/groups][width], its last panel filled with zeros. A depthwise weight [kH, kW, C] is stored
as it is. The layout depends on the shape alone, so training, inference and every machine share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from .abi.constants import OVERLAP_PIXELS, PANEL_WIDTHS

# Relative speed of a tile by panel width: narrow panels load more per multiplication.
_SPEED = {32: 1.0, 16: 0.95, 8: 0.85}


@dataclass(frozen=True)
class ImageLayout:
    """How one sample lies in memory: rows of pixels of channels, with a halo of zeros around.

    A slice of the channels of a wider image begins ``channel_offset`` channels into each pixel of that image, which has
    ``whole_channels``. Samples lie a multiple of ``align`` elements apart.
    """

    height: int
    width: int
    channels: int
    halo: tuple[int, int] = (0, 0)
    whole_channels: int = 0  # 0: as many as it has itself
    channel_offset: int = 0
    align: int = 16

    @property
    def pixel_stride(self) -> int:
        """Elements from one pixel to the next."""
        return self.whole_channels or self.channels

    @property
    def row_stride(self) -> int:
        """Elements from one row to the next."""
        return (self.width + 2 * self.halo[1]) * self.pixel_stride

    @property
    def sample_stride(self) -> int:
        """Elements from sample to sample, a multiple of ``align``, so that they start on cache lines; never of 256.

        At distances of a power of two, the same pixel of many samples would fall into the same few sets of a cache.
        """
        size = -(-(self.height + 2 * self.halo[0]) * self.row_stride // self.align) * self.align
        return size + self.align if size % 256 == 0 else size

    @property
    def origin(self) -> int:
        """Elements before the first pixel inside the halo."""
        return self.halo[0] * self.row_stride + self.halo[1] * self.pixel_stride + self.channel_offset


@dataclass(frozen=True)
class FilterLayout:
    """Panels of one weight; ``inner`` and ``channels`` count the channels of one group."""

    groups: int
    taps_h: int
    taps_w: int
    inner: int
    channels: int

    @property
    def width(self) -> int:
        return panel_width(self.channels)

    @property
    def panels(self) -> int:
        return -(-self.channels // self.width)

    @property
    def panel_size(self) -> int:
        """Elements of one panel."""
        return self.taps_h * self.taps_w * self.inner * self.width

    @property
    def group_size(self) -> int:
        return self.panels * self.panel_size

    @property
    def size(self) -> int:
        """Elements of the whole weight, filling included."""
        return self.groups * self.group_size


@cache
def panel_width(channels: int) -> int:
    """Return the width (8, 16 or 32) that wastes least on the last panel, weighed with its speed."""
    return min(PANEL_WIDTHS, key=lambda w: (_cost(channels, w), -w))


def tile_cost(channels: int) -> float:
    """Return what so many channels cost, the last panel's filling included, as channels of the fastest panels."""
    return _cost(channels, panel_width(channels))


def _cost(channels: int, width: int) -> float:
    return -(-channels // width) * width / _SPEED[width]


def overlap_pixels(width: int) -> int:
    """Return the pixels of a tile of windows that overlap: rows of dy [width] are cut evenly, so that few are idle."""
    least, most = OVERLAP_PIXELS
    return max(least, -(-width // -(-width // most)))


def panels_of(shape: Sequence[int], groups: int = 1) -> FilterLayout:
    """Return the layout of a weight [kH, kW, C_in/groups, C_out] or [F_in, F_out]."""
    *taps, inner, channels = shape
    taps_h, taps_w = taps or (1, 1)
    return FilterLayout(groups, taps_h, taps_w, inner, channels // groups)


def filter_layout(shape: Sequence[int], groups: int = 1) -> FilterLayout | None:
    """Return the layout of a parameter of this shape, or None where it is stored as it is."""
    return panels_of(shape, groups) if len(shape) in (2, 4) else None
