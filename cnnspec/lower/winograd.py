"""How a 3x3 convolution becomes calls on transformed tiles (kernels/winograd.py): together, or in stages.

Together, each thread transforms some tiles, multiplies and transforms back while all of it is in its cache; the
transformed filters are made once a step. In stages, for filters that no cache holds, all tiles are transformed first;
then each panel of output channels transforms its own filters, some input channels at a time, multiplies all tiles by
them and transforms back. Transformed filters, four times as large, are then never written to memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..abi import When
from ..abi.constants import MOST_TILE_ROWS
from ..ir.graph import Node, Value
from ..layouts import FilterLayout, ImageLayout
from ..plan.plan import KEPT, Buffer, Operand
from .cut import Cut
from .emitter import Emitter
from .functions import function_of
from .values import parameter_size, strides_of

TILE_BYTES = 600 * 1024  # of transformed tiles at a time: they stay in the second-level cache
MOST_TILES = 64
STAGED_TILES = 128  # most tiles at a time in stages; filters are transformed anew for each block of them
FEW = 48  # input channels at a time in weight gradients: a multiple of the rows of every tile
FEW_OUTPUTS = 32  # output channels up to which a convolution waits for the memory of y
FEW_FILTERS = 64  # input channels of a panel's filters at a time
SQUARE = 36 * 16  # elements of the room for one tile: a vector at each of 36 points
GAP = 16  # elements, one cache line, between planes: at distances of powers of two they would share few sets of a cache


def _blocks(channels: int) -> int:
    """Return into how many equal blocks, at most 16, the input channels of filters are cut for the threads."""
    return next(blocks for blocks in range(16, 0, -1) if channels % blocks == 0)


def _tiles(inner: int, channels: int) -> tuple[int, int, int]:
    """Return how many tiles go together, and the plane strides of v [36][tiles][inner] and m [36][tiles][channels]."""
    tiles = max(8, min(MOST_TILES, TILE_BYTES // (36 * 4 * (inner + channels)) // 8 * 8))
    return tiles, tiles * inner + GAP, tiles * channels + GAP


def _gradient_tiles(inner: int, channels: int) -> tuple[int, int]:
    """Return how many tiles and input channels go together in a weight gradient.

    All sums pass through the cache once for each block of tiles, so there are many.
    """
    return MOST_TILES if channels <= 64 else MOST_TILES // 2, min(inner, FEW)


def _waits_for_memory(emit: Emitter, y: ImageLayout) -> bool:
    """Whether the cache lines of y should be fetched before they are written.

    Training writes y to memory, and with few output channels the products take less time than the fetch.
    """
    return emit.training and y.channels <= FEW_OUTPUTS and y.pixel == y.channels


def _workspace(emit: Emitter, other: str, inner: int, channels: int, planes: tuple[int, int]) -> dict[str, Operand]:
    """Return the operands that hold transformed tiles v of x and of the other side, and one square at the border."""
    sizes = {"v": 36 * planes[0], other: 36 * planes[1], "edge": 36 * max(inner, channels)}
    return {name: emit.workspace(size) for name, size in sizes.items()}


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
    addend: Value | None = None,
) -> None:
    """Emit the transform of the filters, once, and the convolution on transformed tiles; ``addend`` is added to it."""
    inner, channels, panels = layout.inner, layout.channels, layout.panels
    ly = emit.layout(node.output)
    plane = panels * inner * layout.width + GAP
    filters = emit.scratch("winograd", 36 * plane)
    blocks = _blocks(inner)
    block = inner // blocks * layout.width
    transform = dict(
        w=replace(w, block=block, extent=layout.size - (blocks - 1) * block),
        u=emit.part(filters, block, 36 * plane - (blocks - 1) * block),
    )
    sizes = dict(panels=panels, in_channels=inner, rows=inner // blocks, u_plane_stride=plane)
    emit.call(f"winograd_filter.{layout.width}", transform, sizes, domain=blocks)
    tiles, *planes = _tiles(inner, panels * layout.width)
    args = dict(
        out_height=ly.height,
        out_width=ly.width,
        **strides_of("x", lx.image, lx.row, lx.pixel),
        **emit.strides(y=node.output),
        in_channels=inner,
        out_channels=channels,
        tiles=tiles,
        v_plane_stride=planes[0],
        m_plane_stride=planes[1],
        **function_of(activation),
        u_plane_stride=plane,
        prefetch=int(_waits_for_memory(emit, ly)),
        **(emit.strides(addend=addend) if addend else {}),
    )
    operands = dict(
        x=x,
        u=emit.whole(filters),
        bias=emit.whole(bias[0] if bias else emit.zeros(channels)),
        y=emit.image(node.output, write=True),
        **_workspace(emit, "m", inner, panels * layout.width, (planes[0], planes[1])),
        **({"addend": emit.image(addend)} if addend else {}),
    )
    added = {"addend"} & operands.keys()
    rows = 4 * -(-MOST_TILE_ROWS // -(-ly.width // 4))  # fewer tiles than a register tile has rows leave some idle
    if panels > 1 and (ly.height % rows or plane > lx.image):  # each block then transforms x, and reads its own filters
        steps = {"u": inner, "bias": int(bool(bias)), "y": 1, **dict.fromkeys(added, 1)}
        cut = Cut("out_channels", channels, layout.width, steps, 300)
    else:
        steps = {"x": lx.row, "y": ly.row, **({"addend": emit.layout(addend).row} if addend else {})}
        cut = Cut("out_height", ly.height, rows, steps, 300)
    emit.call(f"winograd_conv2d{'.plus' if addend else ''}.{layout.width}", operands, args, flops=flops, cut=cut)


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
    addend: Value | None = None,
) -> None:
    """Emit the transform of all tiles, then their products with one panel of filters a block; ``addend`` is added.

    ``layout``: of the filters that convolve; ``turned``: of the filters in w, where they must be rotated first.
    """
    inner, width, panels = layout.inner, layout.width, layout.panels
    y = emit.image(node.output, write=True)
    ly = emit.layout(node.output)
    few, tiles = min(inner, FEW_FILTERS), STAGED_TILES
    v, part, plane = _to_tiles(emit, "winograd_input", x, lx, ly, inner, few)
    step = width * turned.width if turned else layout.panel_size
    size = turned.size if turned else layout.size
    planes = few * width + GAP, tiles * width + GAP
    args = dict(
        out_height=ly.height,
        out_width=ly.width,
        batch=emit.batch,
        v_plane_stride=plane,
        v_part_stride=part,
        **emit.strides(y=node.output),
        in_channels=inner,
        tiles=tiles,
        part_channels=few,
        u_plane_stride=planes[0],
        m_plane_stride=planes[1],
        **function_of(activation),
    )
    if turned:
        args |= dict(w_panel_width=turned.width, w_panel_stride=turned.panel_size, w_rows=turned.inner)
    operands = dict(
        v=emit.whole(v),
        w=replace(emit.whole(w), block=step, extent=size - (panels - 1) * step),
        bias=replace(emit.whole(bias[0] if bias else emit.zeros(layout.channels)), block=width, extent=width),
        y=replace(y, block=width, extent=y.extent - (panels - 1) * width),
        u=emit.workspace(36 * planes[0]),
        m=emit.workspace(36 * planes[1]),
        turned=emit.workspace(9 * few * width if turned else GAP),
        square=emit.workspace(SQUARE),
    )
    if addend:
        added = emit.image(addend)
        operands["addend"] = replace(added, block=width, extent=added.extent - (panels - 1) * width)
        args |= emit.strides(addend=addend)
    name = f"winograd_panel{'_turned' if turned else '.plus' if addend else ''}.{width}"
    emit.call(name, operands, args, domain=panels, flops=flops)


def lower_winograd_weight_grad(
    emit: Emitter, operands: Mapping[str, Operand], node: Node, lx: ImageLayout, layout: FilterLayout, flops: int
) -> None:
    """Emit the sums over tiles of products of transformed tiles, and the transform of these sums to filters."""
    inner, channels, panels, width = layout.inner, layout.channels, layout.panels, layout.width
    dy = node.inputs[1]
    ly = emit.layout(dy)
    if getattr(node.op, "algorithm", "") == "winograd staged":
        few = min(inner, FEW)
        v, v_part, v_plane = _to_tiles(emit, "winograd_input", operands["x"], lx, ly, inner, few)
        z, z_part, z_plane = _to_tiles(emit, "winograd_dy", operands["dy"], ly, ly, channels, width)
        plane = few * width + GAP
        staged = dict(
            out_height=ly.height, out_width=ly.width, batch=emit.batch, v_plane_stride=v_plane, v_part_stride=v_part,
            z_plane_stride=z_plane, in_channels=inner, part_channels=few, du_plane_stride=plane,
        )  # fmt: skip
        total = emit.buffer(node.output)
        tiles = dict(
            v=emit.whole(v),
            z=replace(emit.whole(z), block=z_part, extent=z.elements - (panels - 1) * z_part),
            dw=emit.part(total, layout.panel_size, layout.panel_size),
            du=emit.workspace(36 * plane),
        )
        emit.call(f"winograd_weight_panel.{width}", tiles, staged, domain=panels, flops=flops)
        return
    plane = panels * inner * width + GAP
    total = emit.partial("winograd", 36 * plane, kind=KEPT)
    most, few = _gradient_tiles(inner, channels)
    planes = most * few + GAP, most * channels + GAP
    args = dict(
        out_height=ly.height, out_width=ly.width,
        **strides_of("x", lx.image, lx.row, lx.pixel), **emit.strides(dy=dy),
        in_channels=inner, out_channels=channels, tiles=most, v_plane_stride=planes[0], z_plane_stride=planes[1],
        chunk_channels=few, du_plane_stride=plane,
    )  # fmt: skip
    sums = dict(**operands, du=emit.whole(total, write=True), **_workspace(emit, "z", few, channels, planes))
    emit.call(f"winograd_weight_grad.{width}", sums, args, flops=flops)
    gradient = emit.gradient(node.output, parameter_size(node.output.sample))
    back = dict(du=emit.whole(total), dw=emit.whole(gradient, write=True))
    sizes = dict(panels=panels, in_channels=inner, out_channels=channels, du_plane_stride=plane)
    emit.call(f"winograd_weight_back.{width}", back, sizes, when=When.LAST)


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
    operands = dict(zip(("right", "whole", "bottom", "corner"), targets, strict=True))
    args = dict(
        out_height=ly.height, out_width=ly.width, **strides_of("x", source.image, source.row, source.pixel),
        channels=channels, part_channels=few, part_stride=part, plane_stride=plane,
    )  # fmt: skip
    emit.call(kernel, dict(x=image, **operands, square=emit.workspace(SQUARE)), args)
    return tiles, part, plane
