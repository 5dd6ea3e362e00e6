"""How weight gradients of convolutions and dense layers become calls: one copy a shard, or blocks of filter rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..abi import Start
from ..abi.constants import COPIED_ROWS, FAR_BYTES
from ..ir.graph import Node
from ..layouts import FilterLayout, ImageLayout, panels_of
from ..ops.conv import ConvWeightGrad
from ..ops.linear import DenseWeightGrad
from ..plan.plan import SHARDS, WIDE, Operand
from .emitter import Emitter
from .narrow import narrow_weight_grad
from .registry import lowering
from .tile import dense_args, filters_of, taps_of
from .values import parameter_size, strides_of
from .winograd import lower_winograd_weight_grad

NARROW = 24  # elements of a filter row below which a tile runs over all rows of a filter
# Below SMALL_BYTES every shard adds up its own copy of a gradient; above MOST_BYTES one copy is split into blocks of
# filter rows; between, whichever moves fewer bytes.
SMALL_BYTES, MOST_BYTES = 64 * 1024, 1024 * 1024
MOST_BLOCKS = 16  # blocks of rows of one gradient


@lowering(ConvWeightGrad, halo=lambda node, op: {0: op.padding}, strided=True)
def lower_weight_grad(emit: Emitter, node: Node, op: ConvWeightGrad) -> None:
    """dw[r, s, c, k] += sum over samples and pixels of x[.., c] dy[.., k], in one copy for each shard."""
    x, dy = node.inputs
    lx, ly = emit.layout(x), emit.layout(dy)
    layout = panels_of(node.output.sample, op.groups)
    start = lx.origin - op.padding[0] * lx.row_stride - op.padding[1] * lx.pixel_stride
    taps = taps_of(layout, op.dilation, lx.row_stride, lx.pixel_stride, op.groups)
    args = dict(
        out_height=ly.height,
        out_width=ly.width,
        **strides_of("x", lx.sample_stride, op.stride[0] * lx.row_stride, op.stride[1] * lx.pixel_stride),
        **emit.strides("dy", dy),
        **taps,
        **filters_of(layout, Start.ADD, "dw", "dy"),
        rows=taps["in_channels"],
    )
    flops = 2 * ly.height * ly.width * op.groups * layout.channels * layout.taps_h * layout.taps_w * layout.inner
    name = f"conv2d_weight_grad.{layout.width}"
    operands = dict(x=emit.operand(x, at=start), dy=emit.operand(dy))
    if op.algorithm != "direct":
        lower_winograd_weight_grad(emit, operands, node, layout, flops)
        return
    split = op.groups == 1 and _is_split(emit, layout, ly)
    if args["in_channels"] < NARROW and op.groups == 1 and not split:
        whole = narrow_weight_grad(op, layout) if lx.pixel_stride == layout.inner else ""
        name = whole or f"conv2d_weight_grad_narrow.{layout.width}"
    if not split:
        total = emit.gradient(node.output, parameter_size(node.output.sample, op.groups))
        emit.call(name, dict(**operands, dw=total), args, flops=flops)
        return
    _split_over_rows(emit, name, operands, node, layout, args, flops)


def _is_split(emit: Emitter, layout: FilterLayout, ly: ImageLayout) -> bool:
    """Whether a gradient is split into blocks of rows, each of which reads all of dy; else each shard has a copy.

    A copy is read and written about three times.
    """
    size = 4 * layout.size
    if size < SMALL_BYTES or size > MOST_BYTES:
        return size > MOST_BYTES
    return 3 * SHARDS * size > MOST_BLOCKS * emit.batch * ly.sample_stride * 4


def _split_over_rows(
    emit: Emitter,
    name: str,
    operands: Mapping[str, Operand],
    node: Node,
    layout: FilterLayout,
    args: Mapping[str, int],
    flops: int,
) -> None:
    """Emit blocks of filter rows; each goes over the whole batch in order, so that one copy of dw is enough."""
    x, inner = operands["x"], args["in_channels"]
    copies = args["x_pixel_stride"] * 4 >= FAR_BYTES

    def suits(blocks: int) -> tuple[bool, bool, int]:
        rows = inner // blocks
        return copies and blocks >= SHARDS and rows % COPIED_ROWS == 0, rows % 8 == 0, blocks

    blocks = max((b for b in range(1, MOST_BLOCKS + 1) if inner % b == 0), key=suits)
    rows = inner // blocks
    total = emit.buffer(node.output)
    reach = layout.size - inner * layout.width + rows * layout.width
    operands = dict(
        x=replace(x, block=rows, extent=x.extent - rows * (blocks - 1)),
        dy=operands["dy"],
        dw=emit.operand(total, block=rows * layout.width, extent=reach),
    )
    emit.call(name, operands, {**args, "start": Start.ZERO, "rows": rows}, domain=blocks, flops=flops)


@lowering(DenseWeightGrad)
def lower_dense_weight_grad(emit: Emitter, node: Node, op: DenseWeightGrad) -> None:
    """dw = x^T dy: blocks of inputs over the whole batch, or one copy for each shard where it is small."""
    x, dy = node.inputs
    layout = panels_of(node.output.sample)
    name = f"conv2d_weight_grad.{layout.width}"
    flops = 2 * layout.inner * layout.channels
    args = dense_args(emit.layout(x).sample_stride, emit.layout(dy).sample_stride, layout, Start.ADD, "dw", "dy")
    args["rows"] = layout.inner
    operands = dict(x=emit.operand(x), dy=emit.operand(dy))
    if not _is_split(emit, layout, emit.layout(dy)):
        total = emit.gradient(node.output, parameter_size(node.output.sample))
        emit.call(name, dict(**operands, dw=total), args, WIDE, flops=flops)
    else:
        _split_over_rows(emit, name, operands, node, layout, args, flops)
