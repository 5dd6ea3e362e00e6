"""How filters are rotated for input gradients, once a step."""

from __future__ import annotations

from ..ir.fields import Pair
from ..ir.graph import Value
from ..layouts import FilterLayout
from ..plan.plan import Buffer
from .emitter import Emitter

LARGE_BYTES = 1024 * 1024  # flipped filters of this size or more wait for dy


def flip(
    emit: Emitter, w: Value, source: FilterLayout, flipped: FilterLayout, rows: Pair, columns: Pair, dy: Value
) -> Buffer:
    """Emit filters rotated by 180 degrees, with inputs and outputs exchanged; return their buffer.

    ``source``: the layout of w; ``flipped``: of the result; ``rows``, ``columns``: first tap and step between taps.
    If the panels divide by 16, the work is split into 16 blocks. Filters of LARGE_BYTES or more are flipped only after
    dy exists, so that only one layer's copy is alive.
    """
    filters = emit.scratch("flipped", -(-flipped.size // 256) * 256)
    even = flipped.groups == 1 and flipped.panels % 16 == 0 and flipped.channels % flipped.width == 0
    blocks = 16 if even else 1
    panels = flipped.panels // blocks
    step = panels * flipped.width * source.width
    reach = source.size - (blocks - 1) * step
    args = dict(
        groups=source.groups, w_kernel_width=source.taps_w, in_channels=source.inner, out_channels=source.channels,
        w_panel_width=source.width, w_panel_stride=source.panel_size, w_group_stride=source.group_size,
        first_row=rows[0], row_step=rows[1], rows=flipped.taps_h,
        first_column=columns[0], column_step=columns[1], columns=flipped.taps_w,
        panel_width=flipped.width, panels=panels, panel_stride=flipped.panel_size, group_stride=flipped.group_size,
    )  # fmt: skip
    operands = dict(
        w=emit.operand(w, block=step if even else 0, extent=reach),
        flipped=emit.operand(filters, block=panels * flipped.panel_size if even else 0, extent=flipped.size // blocks),
    )
    waits = (emit.buffer(dy),) if 4 * flipped.size >= LARGE_BYTES else ()
    emit.call("flip_filters", operands, args, domain=blocks, waits=waits)
    return filters
