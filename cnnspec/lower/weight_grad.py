"""How weight gradients of convolutions and dense layers become calls: one copy a shard, or blocks of filter rows."""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Node
from ..layouts import FilterLayout, ImageLayout, filter_layout
from ..ops.conv import ConvWeightGrad
from ..ops.linear import DenseWeightGrad
from ..plan.plan import SHARDS, WIDE, Operand
from .emitter import Emitter
from .narrow import narrow_weight_grad
from .registry import lowering
from .tile import ADD, INNER, START, X_PIXEL, ZERO, dense_args, taps_of
from .values import parameter_size
from .winograd import lower_winograd_weight_grad

NARROW = 24  # numbers of a filter row below which tiles run over all rows of a filter
SMALL_BYTES = 64 * 1024  # weights below have a gradient for each shard, larger than the other never:
MOST_BYTES = 1024 * 1024
MOST_BLOCKS = 16  # of rows of a gradient
COPIED, FAR = 48, 512  # rows of x that a weight gradient copies at a time, where pixels lie so many bytes apart


@lowering(ConvWeightGrad, halo=lambda node, op: {0: op.padding}, strided=True)
def lower_weight_grad(emit: Emitter, node: Node, op: ConvWeightGrad) -> None:
    """dw[r, s, c, k] += sum over samples and pixels of x[.., c] dy[.., k], in one copy for each shard."""
    x, dy = node.inputs
    lx, ly = emit.layout(x), emit.layout(dy)
    layout = filter_layout(node.output.sample, op.groups)
    assert layout is not None
    start = lx.origin - op.padding[0] * lx.row - op.padding[1] * lx.pixel
    args = (
        ly.height, ly.width,
        lx.image, op.stride[0] * lx.row, op.stride[1] * lx.pixel,
        *emit.strides(dy),
        *taps_of(layout, op.dilation, lx.row, lx.pixel, op.groups),
        op.groups, layout.inner, layout.group_size, layout.channels,
        layout.channels, ADD, layout.panel_size,
    )  # fmt: skip
    args = (*args, args[INNER])
    flops = 2 * ly.height * ly.width * op.groups * layout.channels * layout.taps_h * layout.taps_w * layout.inner
    name = f"conv2d_weight_grad.{layout.width}"
    operands: list[Operand] = [emit.image(x, at=start), emit.image(dy)]
    if op.algorithm != "direct":
        lower_winograd_weight_grad(emit, operands, node, lx, layout, flops)
        return
    split = op.groups == 1 and _is_split(emit, layout, ly)
    if args[INNER] < NARROW and op.groups == 1 and not split:
        whole = narrow_weight_grad(op, layout) if lx.pixel == layout.inner else ""
        name = whole or f"conv2d_weight_grad_narrow.{layout.width}"
    if not split:
        total = emit.gradient(node.output, parameter_size(node.output.sample, op.groups))
        emit.call(name, [*operands, emit.whole(total, write=True)], args, flops=flops)
        return
    _split_over_rows(emit, name, operands, node, layout, args, flops)


def _is_split(emit: Emitter, layout: FilterLayout, ly: ImageLayout) -> bool:
    """Whether a gradient is cut into blocks of rows, which all read dy; else each shard has one, and they are added up.

    Copies are read and written about three times.
    """
    size = 4 * layout.size
    if size < SMALL_BYTES or size > MOST_BYTES:
        return size > MOST_BYTES
    return 3 * SHARDS * size > MOST_BLOCKS * emit.batch * ly.image * 4


def _split_over_rows(
    emit: Emitter,
    name: str,
    operands: list[Operand],
    node: Node,
    layout: FilterLayout,
    args: tuple[int, ...],
    flops: int,
) -> None:
    """Large filters: blocks of filter rows, each over the whole batch in order, so that one copy is enough."""
    x, dy = operands
    inner = args[INNER]

    copies = args[X_PIXEL] * 4 >= FAR

    def suits(blocks: int) -> tuple[bool, bool, int]:
        rows = inner // blocks
        return copies and blocks >= SHARDS and rows % COPIED == 0, rows % 8 == 0, blocks

    blocks = max((b for b in range(1, MOST_BLOCKS + 1) if inner % b == 0), key=suits)
    rows = inner // blocks
    total = emit.buffer(node.output)
    reach = layout.size - inner * layout.width + rows * layout.width
    operands = [
        replace(x, block=rows, extent=x.extent - rows * (blocks - 1)),
        dy,
        emit.part(total, rows * layout.width, reach),
    ]
    emit.call(name, operands, (*args[:START], ZERO, layout.panel_size, rows), domain=blocks, flops=flops)


@lowering(DenseWeightGrad)
def lower_dense_weight_grad(emit: Emitter, node: Node, op: DenseWeightGrad) -> None:
    """dw = x^T dy: blocks of inputs over the whole batch, or one copy for each shard where it is small."""
    x, dy = node.inputs
    layout = filter_layout(node.output.sample)
    assert layout is not None
    name = f"conv2d_weight_grad.{layout.width}"
    flops = 2 * layout.inner * layout.channels
    args = (*dense_args(emit.layout(x).image, emit.layout(dy).image, layout, ADD), layout.inner)
    operands = [emit.image(x), emit.image(dy)]
    if not _is_split(emit, layout, emit.layout(dy)):
        total = emit.gradient(node.output, parameter_size(node.output.sample))
        emit.call(name, [*operands, emit.whole(total, write=True)], args, WIDE, flops=flops)
    else:
        _split_over_rows(emit, name, operands, node, layout, args, flops)
