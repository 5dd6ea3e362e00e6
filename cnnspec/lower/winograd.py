"""How a 3x3 convolution becomes calls on transformed tiles (kernels/winograd.py): together, or in stages.

Together, each thread transforms some tiles, multiplies and transforms back while all of it is in its cache; the
transformed filters are made once a step. In stages, for filters that no cache holds, all tiles are transformed first;
then each panel of output channels transforms its own filters, some input channels at a time, multiplies all tiles by
them and transforms back. Transformed filters, four times as large, are then never written to memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Node, Value
from ..layouts import FilterLayout, ImageLayout
from ..ops.activation import fused_args
from ..plan.plan import KEPT, LAST, Buffer, Operand
from .cut import Cut
from .emitter import Emitter
from .values import parameter_size

CHANNELS = 9  # place in the arguments of winograd_conv2d
ROWS = 8  # most of a register tile; kernels/tile.py
TILE_BYTES = 600 * 1024  # of transformed tiles at a time: they stay in the second-level cache
MOST_TILES = 64
STAGED_TILES = 128  # the same in stages, where filters are transformed anew for each such block
FEW = 48  # channels at a time: a multiple of the rows of every tile
FEW_OUTPUTS = 32  # channels
FEW_FILTERS = 64  # input channels of a panel's filters at a time
SQUARE = 36 * 16  # numbers: a vector at each point
GAP = 16  # numbers: a cache line, so that distances are no powers of two, which would fall into few sets of a cache


def _blocks(channels: int) -> int:
    """Return into how many equal parts the rows of filters are cut, for the threads."""
    return next(blocks for blocks in range(16, 0, -1) if channels % blocks == 0)


def _tiles(inner: int, channels: int) -> tuple[int, int, int]:
    """Return how many tiles go together and the plane strides of both sides."""
    tiles = max(8, min(MOST_TILES, TILE_BYTES // (36 * 4 * (inner + channels)) // 8 * 8))
    return tiles, tiles * inner + GAP, tiles * channels + GAP


def _gradient_tiles(inner: int, channels: int) -> tuple[int, int]:
    """Return how many tiles and input channels go together in a weight gradient.

    All sums pass through the cache once for each block of tiles, so there are many.
    """
    return MOST_TILES if channels <= 64 else MOST_TILES // 2, min(inner, FEW)


def _waits_for_memory(emit: Emitter, y: ImageLayout) -> bool:
    """Whether the place of y should be asked for early: training writes it to memory, and few channels hide no wait."""
    return emit.training and y.channels <= FEW_OUTPUTS and y.pixel == y.channels


def _workspace(emit: Emitter, inner: int, channels: int, planes: tuple[int, int]) -> list[Operand]:
    """Return the operands that hold transformed tiles of both sides and one square of pixels at the border."""
    sizes = (36 * planes[0], 36 * planes[1], 36 * max(inner, channels))
    return [emit.workspace(size) for size in sizes]


def lower_winograd(
    emit: Emitter,
    x: Operand,
    lx: ImageLayout,
    w: Operand,
    bias: Sequence[Value],
    node: Node,
    layout: FilterLayout,
    activation: str,
    flops: int,
    plus: Value | None = None,
) -> None:
    """Emit the transform of the filters, once, and the convolution on transformed tiles; ``plus`` is added to it."""
    inner, channels, panels = layout.inner, layout.channels, layout.panels
    ly = emit.layout(node.output)
    plane = panels * inner * layout.width + GAP
    filters = emit.scratch("winograd", 36 * plane)
    blocks = _blocks(inner)
    block = inner // blocks * layout.width
    transform = [
        replace(w, block=block, extent=layout.size - (blocks - 1) * block),
        emit.part(filters, block, 36 * plane - (blocks - 1) * block),
    ]
    emit.call(f"winograd_filter.{layout.width}", transform, (panels, inner, inner // blocks, plane), domain=blocks)
    tiles, *planes = _tiles(inner, panels * layout.width)
    args = (
        ly.height, ly.width, lx.image, lx.row, lx.pixel, *emit.strides(node.output), inner, channels, tiles, *planes,
        *fused_args(activation), plane, int(_waits_for_memory(emit, ly)), *(emit.strides(plus) if plus else ()),
    )  # fmt: skip
    shift = emit.whole(bias[0] if bias else emit.zeros(channels))
    operands = [x, emit.whole(filters), shift, emit.image(node.output, write=True)]
    operands += _workspace(emit, inner, panels * layout.width, (planes[0], planes[1]))
    operands += [emit.image(plus)] if plus else []
    rows = 4 * -(-ROWS // -(-ly.width // 4))  # fewer tiles than a register tile has rows would leave some idle
    if panels > 1 and (ly.height % rows or plane > lx.image):  # each block then transforms x, and reads its own filters
        cut = Cut(CHANNELS, channels, layout.width, (0, inner, int(bool(bias)), 1, 0, 0, 0, 1), 300)
    else:
        down = emit.layout(plus).row if plus else 0
        cut = Cut(0, ly.height, rows, (lx.row, 0, 0, ly.row, 0, 0, 0, down), 300)
    emit.call(f"winograd_conv2d{'.plus' if plus else ''}.{layout.width}", operands, args, flops=flops, cut=cut)


def lower_winograd_staged(
    emit: Emitter,
    x: Operand,
    lx: ImageLayout,
    w: Value,
    bias: Sequence[Value],
    node: Node,
    layout: FilterLayout,
    activation: str,
    flops: int,
    turned: FilterLayout | None = None,
    plus: Value | None = None,
) -> None:
    """Emit the transform of all tiles, then their products with one panel of filters a block; ``plus`` is added.

    ``layout``: of the filters that convolve; ``turned``: of those that w holds, where they are to be turned over.
    """
    inner, width, panels = layout.inner, layout.width, layout.panels
    y = emit.image(node.output, write=True)
    ly = emit.layout(node.output)
    few, tiles = min(inner, FEW_FILTERS), STAGED_TILES
    v, part, plane = _to_tiles(emit, "winograd_input", x, lx, ly, inner, few)
    step = width * turned.width if turned else layout.panel_size
    size = turned.size if turned else layout.size
    planes = few * width + GAP, tiles * width + GAP
    args = (
        ly.height, ly.width, emit.batch, plane, part, *emit.strides(node.output), inner, tiles, few, *planes,
        *fused_args(activation), *((turned.width, turned.panel_size, turned.inner) if turned else ()),
        *(emit.strides(plus) if plus else ()),
    )  # fmt: skip
    operands = [
        emit.whole(v),
        replace(emit.whole(w), block=step, extent=size - (panels - 1) * step),
        replace(emit.whole(bias[0] if bias else emit.zeros(layout.channels)), block=width, extent=width),
        replace(y, block=width, extent=y.extent - (panels - 1) * width),
        *(
            emit.workspace(size)
            for size in (36 * planes[0], 36 * planes[1], 9 * few * width if turned else GAP, SQUARE)
        ),
    ]
    if plus:
        added = emit.image(plus)
        operands.append(replace(added, block=width, extent=added.extent - (panels - 1) * width))
    name = f"winograd_panel{'_turned' if turned else '.plus' if plus else ''}.{width}"
    emit.call(name, operands, args, domain=panels, flops=flops)


def lower_winograd_weight_grad(
    emit: Emitter, operands: Sequence[Operand], node: Node, lx: ImageLayout, layout: FilterLayout, flops: int
) -> None:
    """Emit the sums of products of transformed tiles and their way back to filters."""
    inner, channels, panels, width = layout.inner, layout.channels, layout.panels, layout.width
    dy = node.inputs[1]
    ly = emit.layout(dy)
    if getattr(node.op, "algorithm", "") == "winograd staged":
        few = min(inner, FEW)
        v, v_part, v_plane = _to_tiles(emit, "winograd_input", operands[0], lx, ly, inner, few)
        z, z_part, z_plane = _to_tiles(emit, "winograd_dy", operands[1], ly, ly, channels, width)
        plane = few * width + GAP
        staged = ly.height, ly.width, emit.batch, v_plane, v_part, z_plane, inner, few, plane
        total = emit.buffer(node.output)
        calls = [
            emit.whole(v),
            replace(emit.whole(z), block=z_part, extent=z.elements - (panels - 1) * z_part),
            emit.part(total, layout.panel_size, layout.panel_size),
            emit.workspace(36 * plane),
        ]
        emit.call(f"winograd_weight_panel.{width}", calls, staged, domain=panels, flops=flops)
        return
    plane = panels * inner * width + GAP
    total = emit.partial("winograd", 36 * plane, kind=KEPT)
    tiles, few = _gradient_tiles(inner, channels)
    planes = tiles * few + GAP, tiles * channels + GAP
    args = (
        ly.height, ly.width, lx.image, lx.row, lx.pixel, *emit.strides(dy), inner, channels, tiles, *planes, few, plane,
    )  # fmt: skip
    calls = [*operands, emit.whole(total, write=True), *_workspace(emit, few, channels, planes)]
    emit.call(f"winograd_weight_grad.{width}", calls, args, flops=flops)
    gradient = emit.gradient(node.output, parameter_size(node.output.sample))
    back = [emit.whole(total), emit.whole(gradient, write=True)]
    emit.call(f"winograd_weight_back.{width}", back, (panels, inner, channels, plane), when=LAST)


def _to_tiles(
    emit: Emitter, kernel: str, image: Operand, source: ImageLayout, ly: ImageLayout, channels: int, few: int
) -> tuple[Buffer, int, int]:
    """Emit the transform of an image (x, or dy) to tiles [36][parts][tiles][few channels].

    Return where they are, and elements from part to part and from plane to plane.
    """
    rows, columns = ly.height // 4, ly.width // 4
    right, bottom = rows * bool(ly.width % 4), columns * bool(ly.height % 4)
    kinds = right, rows * columns, bottom, int(bool(right and bottom))  # kernels/winograd_staged.py: borders
    part = emit.batch * sum(kinds) * few + GAP
    parts = -(-channels // few)
    plane = parts * part + GAP
    tiles = emit.scratch("tiles", 36 * plane)
    places = []
    for kind, count in enumerate(kinds):
        extent = 35 * plane + (parts - 1) * part + count * few
        offset = emit.batch * sum(kinds[:kind]) * few
        place = replace(emit.whole(tiles, write=True), offset=offset, extent=extent, sample=count * few)
        places.append(replace(place, repeats=((36, plane), (parts, part))))
    targets = [place if place.sample else places[1] for place in places]  # there are always whole ones
    args = (ly.height, ly.width, source.image, source.row, source.pixel, channels, few, part, plane)
    emit.call(kernel, [image, *targets, emit.workspace(SQUARE)], args)
    return tiles, part, plane
