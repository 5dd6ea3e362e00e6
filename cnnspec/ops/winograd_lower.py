"""How a 3x3 convolution becomes calls on transformed tiles (kernels/winograd.py): together, or in stages.

Together, each thread transforms some tiles, multiplies and transforms back while all of it is in its cache. In stages,
for filters that no cache holds, all tiles are transformed first; then 36 matrix products run over the whole batch, each
with its own transformed filters, which are read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .activation import fused_args
from .filters import FilterLayout

if TYPE_CHECKING:
    from ..ir.graph import Node, Value
    from ..plan.lower import Emitter
    from ..plan.plan import Buffer, ImageLayout, Operand

ZERO = 0  # how the sums of a tile start; kernels/tile.py

ROWS = 8  # of a register tile; kernels/tile.py
TILE_BYTES = 600 * 1024  # of transformed tiles at a time: they stay in the second-level cache
MOST_TILES = 64
FEW = 48  # channels at a time: a multiple of the rows of every tile


def _blocks(channels: int) -> int:
    """Return into how many equal parts the rows of filters are cut, for the threads."""
    return next(blocks for blocks in range(16, 0, -1) if channels % blocks == 0)


def _tiles(inner: int, channels: int) -> tuple[int, int, int]:
    """Return how many tiles go together and the plane strides of both sides, a cache line beyond a power of two."""
    tiles = max(8, min(MOST_TILES, TILE_BYTES // (36 * 4 * (inner + channels)) // 8 * 8))
    return tiles, tiles * inner + 16, tiles * channels + 16


def _gradient_tiles(inner: int, channels: int) -> tuple[int, int]:
    """Return how many tiles and input channels go together in a weight gradient.

    All sums pass through the cache once for each block of tiles, so there are many.
    """
    return MOST_TILES if channels <= 64 else MOST_TILES // 2, min(inner, FEW)


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
) -> None:
    """Emit the transform of the filters, once, and the convolution on transformed tiles."""
    inner, channels, panels = layout.inner, layout.channels, layout.panels
    ly = emit.layout(node.output)
    staged = getattr(node.op, "algorithm", "") == "winograd staged"
    filters = emit.scratch("winograd", 36 * panels * inner * layout.width)
    blocks = _blocks(inner)
    block = inner // blocks * layout.width
    transform = [
        replace(w, block=block, extent=layout.size - (blocks - 1) * block),
        emit.part(filters, block, 36 * layout.size // 9 - (blocks - 1) * block),
    ]
    name, size = f"winograd_filter.{layout.width}", (panels, inner, inner // blocks)
    shift = emit.whole(bias[0] if bias else emit.zeros(channels))
    if staged:
        v, m = _transformed(emit, ly, inner), _transformed(emit, ly, channels)
        _to_tiles(emit, "winograd_input", x, lx, ly, v, inner)
        # Large filters: not before they are needed, so that those of one layer at a time take memory.
        emit.call(name, transform, size, domain=blocks, waits=(v,) if emit.training else ())
        _multiply(emit, f"conv2d.{layout.width}", v, filters, m, layout, ly, (ZERO, *fused_args("")), flops)
        edge = emit.workspace(16 * channels)
        back = (ly.height, ly.width, *emit.strides(node.output), channels, m.elements, *fused_args(activation))
        emit.call("winograd_output", [emit.whole(m), shift, emit.image(node.output, write=True), edge], back)
        return
    emit.call(name, transform, size, domain=blocks)
    tiles, *planes = _tiles(inner, panels * layout.width)
    args = (
        ly.height, ly.width, lx.image, lx.row, lx.pixel, *emit.strides(node.output), inner, channels, tiles, *planes,
        *fused_args(activation),
    )  # fmt: skip
    operands = [x, emit.whole(filters), shift, emit.image(node.output, write=True)]
    operands += _workspace(emit, inner, panels * layout.width, (planes[0], planes[1]))
    rows = 4 * -(-ROWS // -(-ly.width // 4))  # fewer tiles than a register tile has rows would leave some idle
    cut = emit.cut(0, ly.height, rows, lx.row, 0, 0, ly.row, speed=300)
    emit.call(f"winograd_conv2d.{layout.width}", operands, args, flops=flops, cut=cut)


def lower_winograd_weight_grad(
    emit: Emitter, operands: Sequence[Operand], node: Node, lx: ImageLayout, layout: FilterLayout, flops: int
) -> None:
    """Emit the sums of products of transformed tiles, one for each shard, and their way back to filters."""
    inner, channels, panels, width = layout.inner, layout.channels, layout.panels, layout.width
    dy = node.inputs[1]
    ly = emit.layout(dy)
    blocks = _blocks(inner)
    rows = inner // blocks
    block = rows * width
    back = emit.part(emit.buffer(node.output), block, layout.size - (blocks - 1) * block)
    if getattr(node.op, "algorithm", "") == "winograd staged":
        v, z = _transformed(emit, ly, inner), _transformed(emit, ly, channels)
        _to_tiles(emit, "winograd_input", operands[0], lx, ly, v, inner)
        _to_tiles(emit, "winograd_dy", operands[1], ly, ly, z, channels)
        total = emit.scratch("winograd", 36 * panels * inner * width)
        _multiply(emit, f"conv2d_weight_grad.{width}", v, z, total, layout, ly, (ZERO,), flops)
        copies = 1
    else:
        total = emit.partial("winograd", 36 * panels * inner * width)
        copies = emit.SHARDS
        tiles, few = _gradient_tiles(inner, channels)
        planes = tiles * few + 16, tiles * channels + 16
        args = (
            ly.height, ly.width, lx.image, lx.row, lx.pixel, *emit.strides(dy), inner, channels, tiles, *planes, few,
        )  # fmt: skip
        calls = [*operands, emit.whole(total, write=True), *_workspace(emit, few, channels, planes)]
        emit.call(f"winograd_weight_grad.{width}", calls, args, flops=flops)
    finish = [emit.part(total, block, total.elements - (blocks - 1) * block), back]
    finish_args = (panels, inner, rows, total.elements, copies, channels)
    emit.call(f"winograd_weight_finish.{width}", finish, finish_args, domain=blocks)


def _transformed(emit: Emitter, ly: ImageLayout, channels: int) -> Buffer:
    """Return a buffer for the transformed tiles of every sample: [36][tiles][channels]."""
    return emit.batched("tiles", 36 * -(-ly.height // 4) * -(-ly.width // 4) * channels)


def _to_tiles(
    emit: Emitter, kernel: str, image: Operand, source: ImageLayout, ly: ImageLayout, tiles: Buffer, channels: int
) -> None:
    """Emit the transform of an image (x, or dy) to tiles."""
    args = (ly.height, ly.width, source.image, source.row, source.pixel, channels, tiles.elements)
    emit.call(kernel, [image, emit.whole(tiles, write=True), emit.workspace(36 * channels)], args)


def _multiply(
    emit: Emitter,
    kernel: str,
    a: Buffer,
    b: Buffer,
    result: Buffer,
    layout: FilterLayout,
    ly: ImageLayout,
    more: tuple[int | float, ...],
    flops: int,
) -> None:
    """Emit 36 matrix products over the tiles of the whole batch, one a block, so that each filter is read once."""
    inner, channels = layout.inner, layout.channels
    tiles = -(-ly.height // 4) * -(-ly.width // 4)
    plane = layout.panels * inner * layout.width
    start, *rest = more
    gradient = kernel.startswith("conv2d_weight_grad")
    left = 36 * tiles * inner, 0, inner
    right = 36 * tiles * channels, 0, channels
    args = (
        1, tiles, *left, *right, 1, 0, 1, 0, inner, 1, 0, 0, 0, channels, start, inner * layout.width,
        *([inner] if gradient else rest),
    )  # fmt: skip
    x, image = emit.slab(a, tiles * inner), tiles * channels
    if gradient:
        operands = [x, emit.slab(b, image), emit.slab(result, plane, write=True)]
    else:
        filters = emit.slab(b, plane)
        operands = [x, filters, filters, emit.slab(result, image, write=True)]
    emit.call(kernel, operands, args, domain=36, flops=flops)
