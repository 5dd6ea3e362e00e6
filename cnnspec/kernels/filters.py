"""Filters in panels, turned over for input gradients."""

from __future__ import annotations

from .pointwise import register

at = T = None


def flip_filters(p, a, n):
    """p = w, flipped. Output channels become inputs, inputs outputs, and the taps run backwards.

    a = groups, and of the source taps_w, inner, channels, width, panel, group; then first tap, step and number of taps
    of the rows, and of the columns; then width, panels, panel and group of the result.
    """
    w, out = at(p[0]), at(p[1])
    groups, taps_w, inner, channels, width, panel, group = a[0], a[1], a[2], a[3], a[4], a[5], a[6]
    r0, r_step, rs, s0, s_step, ss = a[7], a[8], a[9], a[10], a[11], a[12]
    width2, panels2, panel2, group2 = a[13], a[14], a[15], a[16]
    for g in range(groups):
        for q in range(panels2):
            for r in range(rs):
                for s in range(ss):
                    row = (r0 + (rs - 1 - r) * r_step) * taps_w + s0 + (ss - 1 - s) * s_step
                    for k in range(channels):
                        source = g * group + k // width * panel + row * inner * width + k % width
                        to = g * group2 + q * panel2 + ((r * ss + s) * channels + k) * width2
                        for j in range(width2):
                            c = q * width2 + j
                            out[to + j] = w[source + c * width] if c < inner else T(0)


register(flip_filters)
