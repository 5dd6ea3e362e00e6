"""Numbers that lowering and kernels share: enums, places in shared vectors, sizes of tiles."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Start(IntEnum):
    """How the sums of a tile of outputs begin."""

    ZERO = 0  # with 0
    BIAS = 1  # with the bias of each channel
    ADD = 2  # with 0; the sums are added to the numbers that the output holds


class When(IntEnum):
    """When a call of a batch segment runs."""

    ALWAYS = 0  # for every group of samples
    FIRST = 1  # once for each shard, before its first group
    LAST = 2  # once for each shard, behind its last group


class Step(NamedTuple):
    """Places in the input ``step``, the vector of numbers that the host sets before each training step."""

    inverse_batch: int = 0  # 1 / samples of the batch
    lr: int = 1  # learning rate
    own: int = 2  # the first of the optimizer's own numbers of this step


STEP = Step()

# Sizes of tiles that decide which kernel a layer gets.
PANEL_WIDTHS = (8, 16, 32)  # output channels of a panel of filters
DEEP = 384  # products of one part of a sum in conv2d_deep; longer sums lose digits in one float32 register
NARROW_PITCHES = (1, 2, 3, 4, 6)  # elements from one window to the next that conv2d_narrow is compiled for
NARROW_PIXELS = (8, 16)  # least and most output pixels of one tile of conv2d_narrow
WINDOW_ROWS = 28  # most rows of a tile of conv2d_weight_grad_window: kernel_height * kernel_width * in_channels
COPIED_ROWS = 48  # rows of x that conv2d_weight_grad copies at a time, a multiple of the rows of every tile
FAR_BYTES = 512  # bytes from pixel to pixel of x from which on conv2d_weight_grad copies rows
OVERLAP_PIXELS = (5, 10)  # least and most pixels of dy in one tile of conv2d_overlap
MOST_TILE_ROWS = 8  # rows of the largest register tile
DEPTHWISE_TAPS = (1, 2, 3)  # heights and widths of filters that depthwise_window is compiled for
DEPTHWISE_STRIDES = (1, 2)  # column strides that depthwise_window is compiled for
POOL_NARROW = 8  # channels up to which 2x2 pooling takes vectors of at most 8 lanes
CHAINS = 12  # independent sums of the kernel peak; enough to hide the latency of an FMA
