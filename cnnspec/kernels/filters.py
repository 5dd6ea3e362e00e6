"""Filters in panels, turned over for input gradients."""

from __future__ import annotations

from .machine import host
from .pointwise import register
from .product import make_transpose
from .sweep import lanes_of

P = A = at = T = SIZE = LANES = transpose = None


def flip_filters(p, a, n):
    """flipped = filters w rotated by 180 degrees, with inputs and outputs exchanged.

    w [groups][panels][kernel_height][w_kernel_width][in_channels][w_panel_width] becomes
    [groups][panels][rows][columns][out_channels][panel_width]. Of the filter rows first_row, first_row + row_step, ...
    are kept, and of the columns alike: the taps of one phase of the stride. Squares of LANES x LANES numbers are
    transposed in registers.
    """
    w, out = at(p[P.w]), at(p[P.flipped])
    groups, taps_w, inner, channels = a[A.groups], a[A.w_kernel_width], a[A.in_channels], a[A.out_channels]
    width, panel, group = a[A.w_panel_width], a[A.w_panel_stride], a[A.w_group_stride]
    r0, r_step, rs, s0, s_step = a[A.first_row], a[A.row_step], a[A.rows], a[A.first_column], a[A.column_step]
    ss = a[A.columns]
    width2, panels2, panel2, group2 = a[A.panel_width], a[A.panels], a[A.panel_stride], a[A.group_stride]
    squares = channels // LANES * LANES if width % LANES == 0 and width2 % LANES == 0 else 0
    for g in range(groups):
        for q in range(panels2):
            for r in range(rs):
                for s in range(ss):
                    row = (r0 + (rs - 1 - r) * r_step) * taps_w + s0 + (ss - 1 - s) * s_step
                    to = g * group2 + q * panel2 + (r * ss + s) * channels * width2
                    for j in range(0, width2, LANES):
                        c = q * width2 + j
                        whole = squares if c + LANES <= inner else 0
                        for k in range(0, whole, LANES):
                            source = g * group + k // width * panel + (row * inner + c) * width + k % width
                            target = to + k * width2 + j
                            transpose(
                                (p[P.w] + source * SIZE, width * SIZE, p[P.flipped] + target * SIZE, width2 * SIZE)
                            )
                        for k in range(whole, channels):
                            source = g * group + k // width * panel + row * inner * width + k % width
                            for i in range(c, min(c + LANES, (q + 1) * width2)):
                                out[to + k * width2 + i - q * width2] = w[source + i * width] if i < inner else T(0)


register(
    flip_filters, transpose=(make_transpose(host(), 32), make_transpose(host(), 64)),
    LANES=(lanes_of(host(), 32), lanes_of(host(), 64)),
)  # fmt: skip
