"""How convolutions and dense layers become calls of one kernel: strides, taps and start addresses, no copies.

``conv2d`` computes, for each output pixel, the sum over taps and channels of x times filter; whatever can be said as
such a sum is: dense layers (one pixel), input gradients (dy against flipped filters; one call for each phase of the
stride), weight gradients (the same tile with the roles of pixel and channel exchanged).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .activation import fused_args
from .base import Pair, Shape
from .filters import FilterLayout, filter_layout
from .narrow_lower import narrow_conv, narrow_weight_grad
from .winograd_lower import lower_winograd, lower_winograd_staged, lower_winograd_weight_grad

if TYPE_CHECKING:
    from ..ir.graph import Node, Value
    from ..plan.lower import Emitter
    from ..plan.plan import Buffer, ImageLayout, Operand
    from .conv import Conv, ConvInputGrad, ConvWeightGrad
    from .linear import Dense, DenseInputGrad, DenseWeightGrad

ZERO, BIAS, ADD = 0, 1, 2  # how the sums of a tile start; kernels/tile.py
X_PIXEL, INNER, CHANNELS, START, FUNCTION = 4, 12, 17, 18, 20  # places in the arguments of conv2d
NARROW = 24  # numbers of a filter row below which tiles run over all rows of a filter
LARGE_BYTES = 1024 * 1024  # flipped filters from here on are made late
SMALL_BYTES = 64 * 1024  # weights below have a gradient for each shard, larger than the other never:
MOST_BYTES = 1024 * 1024
MOST_BLOCKS = 16  # of rows of a gradient
APART_BYTES = 512 * 1024  # dense weights from here on multiply all samples panel by panel
MOST_PANELS = 32  # blocks of them
COPIED, FAR = 48, 512  # rows of x that a weight gradient copies at a time, where pixels lie so many bytes apart
DENSE_SPEED = 20  # GFLOP/s of one row
DEPTH = 1024  # inputs at a time: a panel of their weights stays in the second-level cache
MOST_PRODUCTS = 768  # that are added up in a register; more are in parts: twice DEEP of kernels/conv.py


def _size(layout: FilterLayout, item: int = 4) -> int:
    return layout.size * item


def _conv2d(layout: FilterLayout, inner: int = 0) -> str:
    """Return the kernel for filters of this layout, or for so many input channels of them."""
    deep = "_deep" if layout.taps_h * layout.taps_w * (inner or layout.inner) > MOST_PRODUCTS else ""
    return f"conv2d{deep}.{layout.width}"


def _taps(layout: FilterLayout, dilation: Pair, row: int, pixel: int, groups: int) -> tuple[int, ...]:
    """Return taps_h, tap_row, taps_w, tap_pixel, inner: filter rows are one run where nothing lies between."""
    if dilation[1] == 1 and groups == 1 and (layout.taps_w == 1 or pixel == layout.inner):
        return layout.taps_h, dilation[0] * row, 1, 0, layout.taps_w * layout.inner
    return layout.taps_h, dilation[0] * row, layout.taps_w, dilation[1] * pixel, layout.inner


def lower_conv(emit: Emitter, node: Node, op: Conv) -> None:
    """y = act(w * x + b)."""
    x, w, *bias = node.inputs
    plus = bias.pop() if op.plus else None
    lx, ly = emit.layout(x), emit.layout(node.output)
    layout = filter_layout(w.sample, op.groups)
    assert layout is not None
    start = lx.origin - op.pads[0] * lx.row - op.pads[1] * lx.pixel
    if op.algorithm == "winograd staged":
        flops = 2 * op.macs((x.sample,), node.output.sample)
        image = emit.image(x, at=start)
        lower_winograd_staged(emit, image, lx, w, bias, node, layout, op.activation, flops, plus=plus)
        return
    if op.algorithm == "winograd":
        flops = 2 * op.macs((x.sample,), node.output.sample)
        image = emit.image(x, at=start)
        lower_winograd(emit, image, lx, emit.whole(w), bias, node, layout, op.activation, flops, plus)
        return
    args = (
        ly.height, ly.width,
        lx.image, op.stride[0] * lx.row, op.stride[1] * lx.pixel,
        *emit.strides(node.output),
        *_taps(layout, op.dilation, lx.row, lx.pixel, op.groups),
        op.groups, layout.inner, layout.group_size, layout.channels,
        layout.channels, BIAS if bias else ZERO, layout.panel_size, *fused_args(op.activation),
    )  # fmt: skip
    operands = [
        emit.image(x, at=start),
        emit.whole(w),
        emit.whole(bias[0] if bias else w),
        emit.image(node.output, write=True),
    ]
    if op.groups == 1 and layout.size > lx.image + ly.image:  # each block then reads its own filters, and all of x
        cut = emit.cut(
            CHANNELS, layout.channels, layout.width, 0, layout.panel_size // layout.width, bool(bias), 1, speed=50
        )
    else:
        cut = emit.cut(0, ly.height, 1, op.stride[0] * lx.row, 0, 0, ly.row, speed=100)
    flops = 2 * op.macs((x.sample,), node.output.sample)
    whole = lx.pixel == layout.inner  # not a slice of a wider image
    narrow = narrow_conv(op, layout, lx.pixel * op.stride[1], ly.width) if whole else ""
    name = narrow or _conv2d(layout)
    emit.call(name, operands, args, flops=flops, cut=cut)


@dataclass(frozen=True)
class Phase:
    """The rows (or columns) of dx that see the same taps: first, first + stride, ..."""

    first: int  # first row of dx
    count: int  # rows of dx
    tap: int  # first tap that reaches it
    tap_step: int  # from one such tap to the next
    taps: int
    start: int  # row of dy that the last of these taps (the first after flipping) reads for the first row of dx
    dilation: int  # rows of dy between two taps


def phases(size: int, kernel: int, stride: int, pad: int, dilation: int) -> Iterator[Phase]:
    """Yield the phases of one axis: dx[i] = sum over taps r with (i + pad - r*dilation) divisible by the stride."""
    g = math.gcd(stride, dilation)
    tap_step, step = stride // g, dilation // g
    for residue in range(stride):
        first = (residue - pad) % stride
        count = -(-(size - first) // stride) if first < size else 0
        reaching = [r for r in range(min(kernel, tap_step)) if (first + pad - r * dilation) % stride == 0]
        if not count:
            continue
        if not reaching:
            yield Phase(first, count, 0, tap_step, 0, 0, step)
            continue
        tap = reaching[0]
        taps = -(-(kernel - tap) // tap_step)
        last = tap + (taps - 1) * tap_step
        yield Phase(first, count, tap, tap_step, taps, (first + pad - last * dilation) // stride, step)


def input_grad_halo(op: ConvInputGrad, dy: Shape) -> Pair:
    """Return the zeros that the phases read around dy."""
    return phase_halo(op.input_shape, op.kernel_size, op.stride, op.padding, op.dilation, dy)


def phase_halo(x: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, dy: Shape) -> Pair:
    """Return the rows and columns of zeros around dy that the phases of an input gradient read."""
    halo = []
    for axis in (0, 1):
        need = 0
        for p in phases(x[axis], kernel[axis], stride[axis], padding[axis], dilation[axis]):
            if p.taps:
                end = p.start + (p.count - 1) + (p.taps - 1) * p.dilation
                need = max(need, -p.start, end - (dy[axis] - 1))
        halo.append(need)
    return halo[0], halo[1]


def flip(
    emit: Emitter, w: Value, source: FilterLayout, flipped: FilterLayout, rows: Pair, columns: Pair, dy: Value
) -> Buffer:
    """Emit filters turned over: outputs become inputs, taps run backwards; ``rows``, ``columns``: first tap and step.

    Those in even panels are cut into blocks, so that all threads take part. Large ones wait for dy, so that those of
    one layer at a time take memory.
    """
    filters = emit.scratch("flipped", -(-flipped.size // 256) * 256)
    even = flipped.groups == 1 and flipped.panels % 16 == 0 and flipped.channels % flipped.width == 0
    blocks = 16 if even else 1
    panels = flipped.panels // blocks
    step = panels * flipped.width * source.width
    reach = source.size - (blocks - 1) * step
    args = (
        source.groups, source.taps_w, source.inner, source.channels, source.width, source.panel_size, source.group_size,
        *rows, flipped.taps_h, *columns, flipped.taps_w,
        flipped.width, panels, flipped.panel_size, flipped.group_size,
    )  # fmt: skip
    operands = [
        replace(emit.whole(w), block=step if even else 0, extent=reach),
        emit.part(filters, panels * flipped.panel_size if even else 0, flipped.size // blocks),
    ]
    waits = (emit.buffer(dy),) if _size(flipped) >= LARGE_BYTES else ()
    emit.call("flip_filters", operands, args, domain=blocks, waits=waits)
    return filters


def lower_input_grad(emit: Emitter, node: Node, op: ConvInputGrad) -> None:
    """dx = dy * flipped w: one convolution of stride 1 for each phase of the stride."""
    dy, w = node.inputs
    dx = node.output
    ly, lx = emit.layout(dy), emit.layout(dx)
    source = filter_layout(w.sample, op.groups)
    assert source is not None
    axes = [
        list(phases(op.input_shape[a], op.kernel_size[a], op.stride[a], op.padding[a], op.dilation[a])) for a in (0, 1)
    ]
    for ph in axes[0]:
        for pw in axes[1]:
            at = lx.origin + ph.first * lx.row + pw.first * lx.pixel
            target = emit.image(dx, at=at, write=True)
            if not ph.taps or not pw.taps:
                args = (
                    ph.count,
                    pw.count,
                    lx.channels,
                    lx.image,
                    op.stride[0] * lx.row,
                    op.stride[1] * lx.pixel,
                )
                emit.call("fill_pixels", [target], args)
                continue
            flipped = FilterLayout(op.groups, ph.taps, pw.taps, source.channels, source.inner)
            start = ly.origin + ph.start * ly.row + pw.start * ly.pixel
            if op.algorithm == "winograd staged":
                flops = 2 * lx.height * lx.width * ph.taps * pw.taps * flipped.inner * flipped.channels
                image = emit.image(dy, at=start)
                lower_winograd_staged(emit, image, ly, w, [], node, flipped, "", flops, turned=source)
                continue
            filters = flip(emit, w, source, flipped, (ph.tap, ph.tap_step), (pw.tap, pw.tap_step), dy)
            if op.algorithm == "winograd":
                flops = 2 * lx.height * lx.width * ph.taps * pw.taps * flipped.inner * flipped.channels
                lower_winograd(emit, emit.image(dy, at=start), ly, emit.whole(filters), [], node, flipped, "", flops)
                continue
            args = (  # type: ignore[assignment]
                ph.count, pw.count, ly.image, ly.row, ly.pixel,
                lx.image, op.stride[0] * lx.row, op.stride[1] * lx.pixel,
                *_taps(flipped, (ph.dilation, pw.dilation), ly.row, ly.pixel, op.groups),
                op.groups, flipped.inner, flipped.group_size, flipped.channels,
                flipped.channels, ZERO, flipped.panel_size, *fused_args(""),
            )  # fmt: skip
            flops = 2 * ph.count * pw.count * op.groups * flipped.channels * ph.taps * pw.taps * flipped.inner
            operands = [emit.image(dy, at=start), emit.whole(filters), emit.whole(filters), target]
            emit.call(_conv2d(flipped), operands, args, flops=flops)


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
        *_taps(layout, op.dilation, lx.row, lx.pixel, op.groups),
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
        total = emit.gradient(node.output, emit.buffer_size(node.output, op.groups))
        emit.call(name, [*operands, emit.whole(total, write=True)], args, flops=flops)
        return
    _split_over_rows(emit, name, operands, node, layout, args, flops)


def _is_split(emit: Emitter, layout: FilterLayout, ly: ImageLayout) -> bool:
    """Whether a gradient is cut into blocks of rows, which all read dy; else each shard has one, and they are added up.

    Copies are read and written about three times.
    """
    size = _size(layout)
    if size < SMALL_BYTES or size > MOST_BYTES:
        return size > MOST_BYTES
    return 3 * emit.SHARDS * size > MOST_BLOCKS * emit.batch * ly.image * 4


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
        return copies and blocks >= emit.SHARDS and rows % COPIED == 0, rows % 8 == 0, blocks

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


def _dense_args(x_image: int, y_image: int, layout: FilterLayout, start: int) -> tuple[int, ...]:
    return (
        1, 1, x_image, 0, 0, y_image, 0, 0, 1, 0, 1, 0, layout.inner,
        1, 0, 0, 0, layout.channels, start, layout.panel_size,
    )  # fmt: skip


def lower_dense(emit: Emitter, node: Node, op: Dense) -> None:
    """A convolution of one pixel, whose rows are samples."""
    x, w, *bias = node.inputs
    layout = filter_layout(w.sample)
    assert layout is not None
    args = (*_dense_args(emit.layout(x).image, emit.layout(node.output).image, layout, BIAS if bias else ZERO),)
    operands = [
        emit.image(x),
        emit.whole(w),
        emit.whole(bias[0] if bias else w),
        emit.image(node.output, write=True),
    ]
    _emit_dense(emit, layout, operands, (*args, *fused_args(op.activation)), shared_bias=not bias)


def _emit_dense(
    emit: Emitter, layout: FilterLayout, operands: list[Operand], args: tuple[int | float, ...], shared_bias: bool
) -> None:
    """Emit the product, its rows the samples of a shard; or, where weights are large, all samples panel by panel.

    Large weights come from memory, so they are read once and not for each shard; for one image, by several threads.
    """
    flops, width, depth = 2 * layout.inner * layout.channels, layout.width, layout.inner
    kernel, most = _conv2d(layout), 1
    if emit.one_image:
        kernel, most = f"conv2d_row.{width}", emit.worthwhile(flops, DENSE_SPEED)
    elif _size(layout) >= APART_BYTES:
        most = MOST_PANELS
        depth = -(-layout.inner // -(-layout.inner // DEPTH))
    blocks, each = _shares(layout.channels // width, most)
    if blocks > 1 and not emit.one_image:
        kernel = _conv2d(layout, depth)
    if blocks < 2:
        emit.call(kernel, operands, args, emit.WIDE, flops=flops)
        return
    done = blocks * each * width
    rest = layout.channels - done
    steps = (0, layout.panel_size // width, 0 if shared_bias else 1, 1)
    cut = emit.cut(CHANNELS, done, width, *steps, speed=DENSE_SPEED)
    for first in range(0, layout.inner, depth):
        some = min(depth, layout.inner - first)
        x, w, bias, y = operands
        part = [_from(x, first), _from(w, first * width), bias, y]
        start = ADD if first else args[START]
        numbers = [*args[:INNER], some, *args[INNER + 1 : START], start, *args[START + 1 : FUNCTION]]
        numbers += args[FUNCTION:] if first + some == layout.inner else fused_args("")
        share = flops * some // layout.inner
        mine = [replace(o, extent=o.extent - rest * step) for o, step in zip(part, steps, strict=True)]
        mine, shortened = cut.apply(mine, blocks), cut.shorten(numbers, blocks)
        emit.call(kernel, mine, shortened, blocks, flops=share * done // layout.channels)
        if rest:
            mine = [_from(o, done * step) for o, step in zip(part, steps, strict=True)]
            numbers[CHANNELS] = rest
            emit.call(kernel, mine, numbers, emit.WIDE, flops=share * rest // layout.channels)


def _shares(panels: int, most: int) -> tuple[int, int]:
    """Return how many blocks, at most so many, share panels, and how many each takes: few are left over."""
    shares = [(blocks, panels // blocks) for blocks in range(2, min(most, panels) + 1)]
    return max(shares, key=lambda share: (share[0] * share[1], share[0]), default=(1, panels))


def _from(o: Operand, elements: int) -> Operand:
    """The same operand without its first elements."""
    return replace(o, offset=o.offset + elements, extent=o.extent - elements)


def lower_dense_input_grad(emit: Emitter, node: Node, op: DenseInputGrad) -> None:
    """dx = dy w^T, with the transposed weight packed anew."""
    dy, w = node.inputs
    source = filter_layout(w.sample)
    assert source is not None
    flipped = FilterLayout(1, 1, 1, source.channels, source.inner)
    filters = flip(emit, w, source, flipped, (0, 1), (0, 1), dy)
    args = (
        *_dense_args(emit.layout(dy).image, emit.layout(node.output).image, flipped, ZERO),
        *fused_args(""),
    )
    operands = [emit.image(dy), emit.whole(filters), emit.whole(filters), emit.image(node.output, write=True)]
    _emit_dense(emit, flipped, operands, args, shared_bias=True)


def lower_dense_weight_grad(emit: Emitter, node: Node, op: DenseWeightGrad) -> None:
    """dw = x^T dy: blocks of inputs over the whole batch, or one copy for each shard where it is small."""
    x, dy = node.inputs
    layout = filter_layout(node.output.sample)
    assert layout is not None
    name = f"conv2d_weight_grad.{layout.width}"
    flops = 2 * layout.inner * layout.channels
    args = (*_dense_args(emit.layout(x).image, emit.layout(dy).image, layout, ADD), layout.inner)
    operands = [emit.image(x), emit.image(dy)]
    if not _is_split(emit, layout, emit.layout(dy)):
        total = emit.gradient(node.output, emit.buffer_size(node.output))
        emit.call(name, [*operands, emit.whole(total, write=True)], args, emit.WIDE, flops=flops)
    else:
        _split_over_rows(emit, name, operands, node, layout, args, flops)
