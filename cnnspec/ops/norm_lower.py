"""How batch normalisation becomes kernel calls: statistics over the whole batch, then one sweep over the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .activation import BOUNDS, fused_args
from .filters import filter_layout

if TYPE_CHECKING:
    from ..ir.graph import Node, Value
    from ..plan.lower import Emitter
    from ..plan.plan import Buffer, Operand


def lower_batch_stats(emit: Emitter, node: Node) -> None:
    """Emit mean and variance: merged group by group in each shard, then shard by shard (Chan et al. 1983)."""
    x = node.inputs[0]
    layout = emit.layout(x)
    size = emit.padded(layout.channels)
    partial = emit.partial("stats", 2 * size + 1)
    args = (layout.height, layout.width, layout.channels, *emit.strides(x), size)
    emit.call("batch_stats", [emit.image(x), emit.whole(partial, write=True)], args)
    merged = [emit.whole(partial), *(emit.whole(v, write=True) for v in node.outputs)]
    emit.call("merge_stats", merged, (layout.channels, size, partial.elements, emit.SHARDS), 1)


def lower_running_update(emit: Emitter, node: Node, momentum: float, spatial: int) -> None:
    running, batch = node.inputs
    operands = [emit.whole(batch), emit.whole(running, write=True)]
    emit.after_loss("running_update", operands, (running.sample_size, spatial, momentum))


def _scale_shift(emit: Emitter, channel: Sequence[Value], eps: float) -> Buffer:
    """Return scale and shift of each channel, [size], [size], from mean, var, weight and bias; computed once."""
    size = channel[0].sample_size
    affine, is_new = emit.once(f"affine:{':'.join(v.name for v in channel)}", 2 * emit.padded(size))
    if is_new:
        operands = [emit.whole(v) for v in channel] + [emit.whole(affine, write=True)]
        emit.call("normalize_affine", operands, (size, emit.padded(size), eps), 1)
    return affine


def lower_normalize(
    emit: Emitter,
    node: Node,
    channel: Sequence[Value],
    eps: float,
    *activation: int | float,
    plus: Sequence[Value] = (),
    after: Value | None = None,
) -> None:
    """Emit scale and shift from mean, var, weight and bias, once, then y = f(x * scale + shift, plus another)."""
    x, y = node.inputs[0], node.output
    layout = emit.layout(x)
    affine = _scale_shift(emit, channel, eps)
    args = (layout.height, layout.width, layout.channels, *emit.strides(x), *emit.strides(y))
    operands = [emit.image(x), emit.whole(affine), emit.image(y, write=True), *(emit.image(v) for v in plus)]
    more = [n for v in plus for n in emit.strides(v)]
    waits = (emit.buffer(after),) if after else ()
    kernel = "affine.plus" if plus else "affine"
    emit.call(kernel, operands, (*args, emit.padded(layout.channels), *activation, *more), waits=waits)


def lower_normalize_sums(emit: Emitter, node: Node, eps: float, activation: str) -> None:
    """Emit sum of dy and of dy * xhat: one partial sum for each shard, then their total."""
    dy, x, *channel = node.inputs
    partial, operands, args = _sums(emit, dy, x, channel[0])
    masked, mask, bound = _masked(emit, channel, eps, activation)
    emit.call(f"normalize_sums{masked}", [*operands, *mask], (*args, *bound))
    _merge_sums(emit, partial, channel[1], node.outputs, eps)


def _sums(emit: Emitter, dy: Value, x: Value, mean: Value) -> tuple[Buffer, list[Operand], tuple[int, ...]]:
    """Return partial sums, and the operands and arguments with which every kernel that adds to them begins."""
    layout = emit.layout(x)
    size = emit.padded(layout.channels)
    partial = emit.partial("sums", 2 * size)
    args = (layout.height, layout.width, layout.channels, *emit.strides(dy), *emit.strides(x), size)
    return partial, [emit.image(dy), emit.image(x), emit.whole(mean), emit.whole(partial, write=True)], args


def _merge_sums(emit: Emitter, partial: Buffer, var: Value, totals: Sequence[Value], eps: float) -> None:
    channels = var.sample_size
    operands = [emit.whole(partial), emit.whole(var), *(emit.whole(v, write=True) for v in totals)]
    emit.call("merge_sums", operands, (channels, emit.padded(channels), partial.elements, emit.SHARDS, eps), 1)


def _masked(
    emit: Emitter, channel: Sequence[Value], eps: float, activation: str
) -> tuple[str, list[Operand], tuple[float, ...]]:
    """Return name, operands and arguments of a kernel that lets dy pass only inside the activation's bounds."""
    if not activation:
        return "", [], ()
    return ".masked", [emit.whole(_scale_shift(emit, channel, eps))], (BOUNDS[activation][1],)


def lower_normalize_grad(emit: Emitter, node: Node, eps: float, activation: str) -> None:
    """Emit dx = A dy + B x + C: the three numbers of each channel once, then the image."""
    dy, x, mean, var, weight, bias, dbias, dweight, *plus = node.inputs
    layout = emit.layout(x)
    size = emit.padded(layout.channels)
    factors = emit.scratch("factors", 3 * size)
    _find_factors(emit, (mean, var, weight, dbias, dweight), factors, layout.height * layout.width, eps)
    args = (
        layout.height, layout.width, layout.channels,
        *emit.strides(dy), *emit.strides(x), *emit.strides(node.output), size,
    )  # fmt: skip
    masked, mask, bound = _masked(emit, (mean, var, weight, bias), eps, activation)
    operands = [emit.image(dy), emit.image(x), emit.whole(factors), emit.image(node.output, write=True)]
    more = [n for v in plus for n in emit.strides(v)]
    kernel = f"affine2{masked}{'.plus' if plus else ''}"
    emit.call(kernel, [*operands, *mask, *(emit.image(v) for v in plus)], (*args, *bound, *more))


def _find_factors(emit: Emitter, channel: Sequence[Value], factors: Buffer, pixels: int, eps: float) -> None:
    """Emit A, B and C of each channel, [size] each."""
    operands = [emit.whole(v) for v in channel] + [emit.whole(factors, write=True)]
    channels = channel[0].sample_size
    emit.call("normalize_factors", operands, (channels, emit.padded(channels), pixels, eps), 1)


def lower_normalize_grad_early(emit: Emitter, node: Node, eps: float, activation: str) -> None:
    """Emit the sums of normalize_sums, and other + A dy in the same sweep."""
    dy, x, *channel, other = node.inputs
    total, *sums = node.outputs
    partial, operands, args = _sums(emit, dy, x, channel[0])
    masked, mask, bound = _masked(emit, channel, eps, activation)
    operands += [*mask, emit.image(other), emit.image(total, write=True)]
    more = (*emit.strides(other), *emit.strides(total))
    emit.call(f"normalize_sums{masked}.plus", operands, (*args, *bound, *more))
    _merge_sums(emit, partial, channel[1], sums, eps)


def lower_normalize_grad_rest(emit: Emitter, node: Node, eps: float, pixels: int, first: int) -> None:
    """Emit A, B and C of each channel, and add others' B and C."""
    channel, more = node.inputs[:5], node.inputs[5:]
    channels = channel[0].sample_size
    factors = emit.buffer(node.output)
    factors.elements = 3 * emit.padded(channels)
    _find_factors(emit, channel, factors, pixels, eps)
    for v in more:
        size = emit.padded(v.sample_size // 3)
        operands = [emit.whole(v), emit.whole(factors, write=True)]
        emit.call("add_factors", operands, (channels, emit.padded(channels), first, size), 1)


def lower_normalize_grad_late(emit: Emitter, node: Node, first: int) -> None:
    """Emit early + B x + C: the sweep that normalises an image and adds another."""
    x, rest, early = node.inputs
    layout, size = emit.layout(x), emit.padded(rest.sample_size // 3)
    factors = emit.from_element(rest, size + first, 2 * size - first)
    strides = (*emit.strides(x), *emit.strides(node.output))
    operands = [emit.image(x), factors, emit.image(node.output, write=True), emit.image(early)]
    args = (layout.height, layout.width, layout.channels, *strides, size, *fused_args(""), *emit.strides(early))
    emit.call("affine.plus", operands, args)


def lower_fold_batchnorm(emit: Emitter, node: Node, eps: float, conv_bias: bool, groups: int) -> None:
    weight, *rest = node.inputs
    bias = rest.pop(0) if conv_bias else None
    lay = filter_layout(weight.sample, groups)
    channels = weight.sample[-1]
    if lay is None:  # depthwise: plain [kH * kW, C]
        args: tuple[int | float, ...] = (
            1,
            1,
            weight.sample_size // channels,
            channels,
            channels,
            0,
            channels,
        )
    else:
        args = (
            lay.groups,
            lay.panels,
            lay.panel_size // lay.width,
            lay.width,
            lay.panel_size,
            lay.group_size,
            lay.channels,
        )
    folded = emit.buffer(node.outputs[0])
    folded.elements = emit.buffer(weight).elements
    operands = [emit.whole(weight), *(emit.whole(v) for v in ([bias] if bias else []))]
    operands += [emit.whole(v) for v in rest] + [emit.whole(v, write=True) for v in node.outputs]
    name = "fold_batchnorm" if bias else "fold_batchnorm.nobias"
    emit.call(name, operands, (*args, eps), 1)
