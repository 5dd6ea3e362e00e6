"""How 3x3 convolutions of stride 1, and their weight gradients, become calls of Winograd's F(4x4, 3x3).

A tile is a square of 4x4 outputs and the 6x6 inputs that they need. Transformed, it has 36 numbers a channel, and so
has a filter (9 numbers before). Each of the 36 is called a point. At each point the products of all tiles by all
filters are one matrix product. All sizes, strides and extents below are elements, unless they are named bytes:

    u  [36][panels][in_channels][width]   filters, in panels of ``width`` output channels (layouts.py)
    v  [36][tiles][in_channels]           tiles of x
    m  [36][tiles][panels * width]        products of v and u
    z  [36][tiles][out_channels]          tiles of dy, for the weight gradient
    du [36][panels][in_channels][width]   sums of products of v and z

A plane is the array of one point, and GAP unused elements behind it: planes at distances of a power of two would fall
into few sets of a cache.

There are two ways (docs/adr/0004, 0011, 0018). Together (kernels/winograd.py): each thread transforms a block of
tiles, multiplies and transforms back while v and m are in its cache; u is computed once a step. In stages
(kernels/winograd_staged.py), for filters that no cache holds: first all tiles of the batch are transformed; then each
panel of output channels transforms its own filters, ``part_channels`` input channels at a time, and multiplies all
tiles by them. Transformed filters are then never written to memory.
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
from .values import parameter_size

TILE_BYTES = 600 * 1024  # most bytes of v and m of a block of tiles (float32): they stay in the second-level cache
MOST_TILES = 64  # of a block
STAGED_TILES = 128  # of a block in stages: each block transforms the filters anew
GRADIENT_PART = 48  # most input channels of a part in weight gradients: a multiple of the rows of every register tile
FILTER_PART = 64  # most input channels of a part in convolutions in stages
PREFETCHED = 32  # most output channels of an image that is prefetched
SQUARE = 36 * 16  # elements of a workspace for one tile: a vector of at most 16 channels at each point
GAP = 16  # elements: a cache line of float32


def _blocks(channels: int) -> int:
    """Return the number of equal blocks that the filters' input channels are cut into, for the threads: at most 16."""
    return next(blocks for blocks in range(16, 0, -1) if channels % blocks == 0)


def _tiles(inner: int, channels: int) -> tuple[int, int, int]:
    """Return the tiles of a block, a multiple of 8, and the plane strides of v and m; ``channels``: those of m."""
    tiles = max(8, min(MOST_TILES, TILE_BYTES // (36 * 4 * (inner + channels)) // 8 * 8))
    return tiles, tiles * inner + GAP, tiles * channels + GAP


def _gradient_tiles(inner: int, channels: int) -> tuple[int, int]:
    """Return the tiles of a block and the input channels of a part in a weight gradient.

    du passes through the cache once for each block of tiles, so blocks are large.
    """
    return MOST_TILES if channels <= 64 else MOST_TILES // 2, min(inner, GRADIENT_PART)


def _is_prefetched(emit: Emitter, y: ImageLayout) -> bool:
    """Whether the kernel prefetches the cache lines of y.

    Training writes y to memory. With few output channels the products are too short to hide the wait for it.
    """
    return emit.training and y.channels <= PREFETCHED and y.pixel_stride == y.channels


def _workspace(emit: Emitter, other: str, inner: int, channels: int, planes: tuple[int, int]) -> dict[str, Operand]:
    """Return operands in a thread's workspace: v, ``other`` (m or z), and edge, one tile at the border of an image.

    ``planes``: plane strides of v and of the other. ``channels``: of the other.
    """
    sizes = {"v": 36 * planes[0], other: 36 * planes[1], "edge": 36 * max(inner, channels)}
    return {name: emit.workspace(size) for name, size in sizes.items()}


def lower_winograd(
    emit: Emitter,
    x: Operand,
    w: Value | Buffer,
    bias: Sequence[Value],
    node: Node,
    layout: FilterLayout,
    activation: str,
    flops: int,
    addend: Value | None = None,
) -> None:
    """Emit y = act(x * w + bias + addend) on tiles that are transformed and multiplied together.

    ``x`` is the node's first input from the first window on, padding included. ``w`` holds the filters
    [panels][9][in_channels][width] of ``layout``. ``bias``: one value [out_channels], or none. y is the node's output,
    ``addend`` an image of its shape. ``flops``: multiplications and additions of the direct method for one sample.
    """
    inner, channels, panels = layout.inner, layout.channels, layout.panels
    lx, ly = emit.layout(node.inputs[0]), emit.layout(node.output)
    plane = panels * inner * layout.width + GAP
    filters = emit.scratch("winograd", 36 * plane)
    blocks = _blocks(inner)
    block = inner // blocks * layout.width
    transform = dict(
        w=emit.operand(w, block=block, extent=layout.size - (blocks - 1) * block),
        u=emit.operand(filters, block=block, extent=36 * plane - (blocks - 1) * block),
    )
    sizes = dict(panels=panels, in_channels=inner, rows=inner // blocks, u_plane_stride=plane)
    emit.call(f"winograd_filter.{layout.width}", transform, sizes, domain=blocks)
    tiles, *planes = _tiles(inner, panels * layout.width)
    args = dict(
        out_height=ly.height,
        out_width=ly.width,
        **emit.strides("x", node.inputs[0]),
        in_channels=inner,
        out_channels=channels,
        tiles=tiles,
        v_plane_stride=planes[0],
        m_plane_stride=planes[1],
        **function_of(activation),
        u_plane_stride=plane,
        prefetch=int(_is_prefetched(emit, ly)),
    )
    operands = dict(
        x=x,
        u=filters,
        bias=bias[0] if bias else emit.zeros(channels),
        y=node.output,
        **_workspace(emit, "m", inner, panels * layout.width, (planes[0], planes[1])),
        **({"addend": addend} if addend else {}),
    )
    added = {"addend"} & operands.keys()
    # Output rows of a block must have as many tiles as a register tile has rows: otherwise rows of it are idle.
    rows = 4 * -(-MOST_TILE_ROWS // -(-ly.width // 4))
    if panels > 1 and (ly.height % rows or plane > lx.sample_stride):  # each block then transforms all of x
        steps = {"u": inner, "bias": int(bool(bias)), "y": 1, **dict.fromkeys(added, 1)}
        cut = Cut("out_channels", channels, layout.width, steps, 300)
    else:
        steps = {"x": lx.row_stride, "y": ly.row_stride}
        steps |= {"addend": emit.layout(addend).row_stride} if addend else {}
        cut = Cut("out_height", ly.height, rows, steps, 300)
    emit.call(f"winograd_conv2d{'.addend' if addend else ''}.{layout.width}", operands, args, flops=flops, cut=cut)


def lower_winograd_staged(
    emit: Emitter,
    x: Operand,
    w: Value,
    bias: Sequence[Value],
    node: Node,
    layout: FilterLayout,
    activation: str,
    flops: int,
    turned: FilterLayout | None = None,
    addend: Value | None = None,
) -> None:
    """Emit y = act(x * w + bias + addend) in stages: the transform of all tiles of x, then a block for each panel of y.

    Parameters are those of ``lower_winograd``, but for the filters. ``layout``: the filters that convolve. ``turned``:
    the layout that ``w`` has where each filter of ``layout`` is one of ``w`` rotated by 180 degrees, with input and
    output channels exchanged (input gradients); None where ``w`` has ``layout``.
    """
    inner, width, panels = layout.inner, layout.width, layout.panels
    y, ly = emit.operand(node.output), emit.layout(node.output)
    few, tiles = min(inner, FILTER_PART), STAGED_TILES
    v, part, plane = _to_tiles(emit, "winograd_input", x, node.inputs[0], ly, few)
    step = width * turned.width if turned else layout.panel_size  # from the filters of one block to those of the next
    size = turned.size if turned else layout.size
    planes = few * width + GAP, tiles * width + GAP
    args = dict(
        out_height=ly.height,
        out_width=ly.width,
        batch=emit.batch,
        v_plane_stride=plane,
        v_part_stride=part,
        **emit.strides("y", node.output),
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
        v=v,
        w=emit.operand(w, block=step, extent=size - (panels - 1) * step),
        bias=emit.operand(bias[0] if bias else emit.zeros(layout.channels), block=width, extent=width),
        y=replace(y, block=width, extent=y.extent - (panels - 1) * width),
        u=emit.workspace(36 * planes[0]),
        m=emit.workspace(36 * planes[1]),
        turned=emit.workspace(9 * few * width if turned else GAP),
        square=emit.workspace(SQUARE),
    )
    if addend:
        added = emit.operand(addend)
        operands["addend"] = replace(added, block=width, extent=added.extent - (panels - 1) * width)
        args |= emit.strides("addend", addend)
    name = f"winograd_panel{'_turned' if turned else '.addend' if addend else ''}.{width}"
    emit.call(name, operands, args, domain=panels, flops=flops)


def lower_winograd_weight_grad(
    emit: Emitter, operands: Mapping[str, Operand], node: Node, layout: FilterLayout, flops: int
) -> None:
    """Emit the weight gradient dw [3, 3, in_channels, out_channels] = G' du G, du = sum over tiles of v * z.

    ``operands``: x from the first window on, and dy. ``layout``: the panels of dw. In stages
    each panel of dw is a block, which goes over the whole batch. Otherwise each shard adds up a du of its own
    (docs/adr/0014) and transforms it back at its end.
    """
    inner, channels, panels, width = layout.inner, layout.channels, layout.panels, layout.width
    x, dy = node.inputs
    ly = emit.layout(dy)
    if getattr(node.op, "algorithm", "") == "winograd staged":
        few = min(inner, GRADIENT_PART)
        v, v_part, v_plane = _to_tiles(emit, "winograd_input", operands["x"], x, ly, few)
        z, z_part, z_plane = _to_tiles(emit, "winograd_dy", operands["dy"], dy, ly, width)
        plane = few * width + GAP
        staged = dict(
            out_height=ly.height, out_width=ly.width, batch=emit.batch, v_plane_stride=v_plane, v_part_stride=v_part,
            z_plane_stride=z_plane, in_channels=inner, part_channels=few, du_plane_stride=plane,
        )  # fmt: skip
        total = emit.buffer(node.output)
        tiles = dict(
            v=v,
            z=emit.operand(z, block=z_part, extent=z.elements - (panels - 1) * z_part),
            dw=emit.operand(total, block=layout.panel_size, extent=layout.panel_size),
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
        **emit.strides("x", x), **emit.strides("dy", dy),
        in_channels=inner, out_channels=channels, tiles=most, v_plane_stride=planes[0], z_plane_stride=planes[1],
        chunk_channels=few, du_plane_stride=plane,
    )  # fmt: skip
    sums = dict(**operands, du=total, **_workspace(emit, "z", few, channels, planes))
    emit.call(f"winograd_weight_grad.{width}", sums, args, flops=flops)
    gradient = emit.gradient(node.output, parameter_size(node.output.sample))
    sizes = dict(panels=panels, in_channels=inner, out_channels=channels, du_plane_stride=plane)
    emit.call(f"winograd_weight_back.{width}", dict(du=total, dw=gradient), sizes, when=When.LAST)


def _to_tiles(
    emit: Emitter, kernel: str, image: Operand, source: Value, ly: ImageLayout, few: int
) -> tuple[Buffer, int, int]:
    """Emit the transform of an image (x or dy) to tiles [36][parts][tiles][few]; return (tiles, part and plane stride).

    A part holds ``few`` of the image's channels. ``source``: the image as a value; ``ly``: the layout of y or dy, whose
    4x4 squares make the tiles. The tiles of the batch are ordered by kind: those at the right border (fewer than four
    columns of outputs), whole ones, those at the bottom, corners. Border tiles need fewer points, and the tiles that
    need a point are then contiguous (kernels/winograd_staged.py: used).
    """
    rows, columns = ly.height // 4, ly.width // 4
    right, bottom = rows * bool(ly.width % 4), columns * bool(ly.height % 4)
    kinds = right, rows * columns, bottom, int(bool(right and bottom))  # tiles of each kind in one sample
    part = emit.batch * sum(kinds) * few + GAP
    channels = source.sample[2]
    parts = -(-channels // few)
    plane = parts * part + GAP
    tiles = emit.scratch("tiles", 36 * plane)
    places = []
    for kind, count in enumerate(kinds):
        extent = 35 * plane + (parts - 1) * part + count * few
        offset = emit.batch * sum(kinds[:kind]) * few
        place = emit.operand(tiles, at=offset, extent=extent)
        places.append(replace(place, sample=count * few, repeats=((36, plane), (parts, part))))
    targets = [place if place.sample else places[1] for place in places]  # whole ones always exist
    operands = dict(zip(("right", "whole", "bottom", "corner"), targets, strict=True))
    args = dict(
        out_height=ly.height, out_width=ly.width, **emit.strides("x", source),
        channels=channels, part_channels=few, part_stride=part, plane_stride=plane,
    )  # fmt: skip
    emit.call(kernel, dict(x=image, **operands, square=emit.workspace(SQUARE)), args)
    return tiles, part, plane
