"""How dense layers become calls of the kernel for convolutions: one pixel, whose rows are samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..abi import Start
from ..ir.graph import Node
from ..layouts import FilterLayout, panels_of
from ..ops.linear import Dense, DenseInputGrad
from ..plan.plan import WIDE, Operand
from .cut import Cut, worthwhile
from .emitter import Emitter
from .flip import flip
from .functions import function_of
from .registry import lowering
from .tile import conv2d_of, dense_args

APART_BYTES = 512 * 1024  # weights of this size or more multiply all samples panel by panel
MOST_PANELS = 32  # blocks that panels are shared by
DENSE_SPEED = 20  # GFLOP/s of one sample
DEPTH = 1024  # inputs at a time: a panel of their weights stays in the second-level cache


@lowering(Dense)
def lower_dense(emit: Emitter, node: Node, op: Dense) -> None:
    """A convolution of one pixel, whose rows are samples."""
    x, w, *bias = node.inputs
    layout = panels_of(w.sample)
    start = Start.BIAS if bias else Start.ZERO
    args = dense_args(emit.layout(x).sample_stride, emit.layout(node.output).sample_stride, layout, start)
    values = dict(x=x, w=w, bias=bias[0] if bias else w, y=node.output)
    operands = {name: emit.operand(v) for name, v in values.items()}
    _emit_dense(emit, layout, operands, {**args, **function_of(op.activation)}, shared_bias=not bias)


def _emit_dense(
    emit: Emitter,
    layout: FilterLayout,
    operands: Mapping[str, Operand],
    args: Mapping[str, int | float],
    shared_bias: bool,
) -> None:
    """Emit the product x [samples, in_channels] * w [in_channels, out_channels], shard by shard or panel by panel.

    Large weights come from memory. They are read once and not for each shard: each block multiplies all samples by its
    own panels. The panels of one image go to several threads alike.
    """
    flops, width, depth = 2 * layout.inner * layout.channels, layout.width, layout.inner
    kernel, most = conv2d_of(layout), 1
    if emit.one_image:
        kernel, most = f"conv2d_row.{width}", worthwhile(flops, DENSE_SPEED)
    elif 4 * layout.size >= APART_BYTES:
        most = MOST_PANELS
        depth = -(-layout.inner // -(-layout.inner // DEPTH))
    blocks, each = _shares(layout.channels // width, most)
    if blocks > 1 and not emit.one_image:
        kernel = conv2d_of(layout, depth)
    if blocks < 2:
        emit.call(kernel, operands, args, WIDE, flops=flops)
        return
    done = blocks * each * width
    rest = layout.channels - done
    steps = {"x": 0, "w": layout.panel_size // width, "bias": 0 if shared_bias else 1, "y": 1}
    cut = Cut("out_channels", done, width, steps, DENSE_SPEED)
    for first in range(0, layout.inner, depth):
        some = min(depth, layout.inner - first)
        part = {**operands, "x": _from(operands["x"], first), "w": _from(operands["w"], first * width)}
        numbers = {**args, "in_channels": some}
        if first:
            numbers["start"] = Start.ADD
        if first + some < layout.inner:
            numbers |= function_of("")
        share = flops * some // layout.inner
        mine = {name: replace(o, extent=o.extent - rest * steps[name]) for name, o in part.items()}
        mine, shortened = cut.apply(mine, blocks), cut.shorten(numbers, blocks)
        emit.call(kernel, mine, shortened, blocks, flops=share * done // layout.channels)
        if rest:
            mine = {name: _from(o, done * steps[name]) for name, o in part.items()}
            numbers["out_channels"] = rest
            emit.call(kernel, mine, numbers, WIDE, flops=share * rest // layout.channels)


def _shares(panels: int, most: int) -> tuple[int, int]:
    """Return (blocks, panels of each), with at most ``most`` blocks and as few panels left over as can be."""
    shares = [(blocks, panels // blocks) for blocks in range(2, min(most, panels) + 1)]
    return max(shares, key=lambda share: (share[0] * share[1], share[0]), default=(1, panels))


def _from(o: Operand, elements: int) -> Operand:
    """The same operand without its first elements."""
    return replace(o, offset=o.offset + elements, extent=o.extent - elements)


@lowering(DenseInputGrad)
def lower_dense_input_grad(emit: Emitter, node: Node, op: DenseInputGrad) -> None:
    """dx = dy w^T, with the transposed weight packed anew."""
    dy, w = node.inputs
    source = panels_of(w.sample)
    flipped = FilterLayout(1, 1, 1, source.channels, source.inner)
    filters = flip(emit, w, source, flipped, (0, 1), (0, 1), dy)
    args = dense_args(emit.layout(dy).sample_stride, emit.layout(node.output).sample_stride, flipped, Start.ZERO)
    panels = emit.operand(filters)
    operands = dict(x=emit.operand(dy), w=panels, bias=panels, y=emit.operand(node.output))
    _emit_dense(emit, flipped, operands, {**args, **function_of("")}, shared_bias=True)
