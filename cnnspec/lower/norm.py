"""How batch normalisation becomes kernel calls: statistics over the whole batch, then one sweep over the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Node, Value
from ..layouts import filter_layout
from ..ops.activation import BOUNDS, fused_args
from ..ops.norm import (
    BatchNorm,
    BatchNormGrad,
    BatchStats,
    FoldBatchNorm,
    Normalize,
    NormalizeGrad,
    NormalizeGradEarly,
    NormalizeGradLate,
    NormalizeGradRest,
    NormalizeSums,
    Renormalize,
    RunningUpdate,
)
from ..plan.plan import SHARDS, Buffer, Operand
from .emitter import Emitter
from .registry import lowering
from .values import padded


@lowering(BatchStats, strided=True)
def lower_batch_stats(emit: Emitter, node: Node, op: BatchStats) -> None:
    """Emit mean and variance: merged group by group in each shard, then shard by shard (Chan et al. 1983)."""
    x = node.inputs[0]
    layout = emit.layout(x)
    size = padded(layout.channels)
    partial = emit.partial("stats", 2 * size + 1)
    args = (layout.height, layout.width, layout.channels, *emit.strides(x), size)
    emit.call("batch_stats", [emit.image(x), emit.whole(partial, write=True)], args)
    merged = [emit.whole(partial), *(emit.whole(v, write=True) for v in node.outputs)]
    emit.call("merge_stats", merged, (layout.channels, size, partial.elements, SHARDS), 1)


@lowering(RunningUpdate)
def lower_running_update(emit: Emitter, node: Node, op: RunningUpdate) -> None:
    running, batch = node.inputs
    operands = [emit.whole(batch), emit.whole(running, write=True)]
    emit.after_loss("running_update", operands, (running.sample_size, op.spatial, op.momentum))


def _scale_shift(emit: Emitter, channel: Sequence[Value], eps: float) -> Buffer:
    """Return scale and shift of each channel, [size], [size], from mean, var, weight and bias; computed once."""
    size = channel[0].sample_size
    affine, is_new = emit.once(f"affine:{':'.join(v.name for v in channel)}", 2 * padded(size))
    if is_new:
        operands = [emit.whole(v) for v in channel] + [emit.whole(affine, write=True)]
        emit.call("normalize_affine", operands, (size, padded(size), eps), 1)
    return affine


@lowering(BatchNorm, strided=True)
def lower_batch_norm(emit: Emitter, node: Node, op: BatchNorm) -> None:
    _, weight, bias, mean, var = node.inputs
    _emit_normalize(emit, node, op, (mean, var, weight, bias))


@lowering(BatchNormGrad, strided=True)
def lower_batch_norm_grad(emit: Emitter, node: Node, op: BatchNormGrad) -> None:
    """Emit the normalisation of dy with mean 0 and bias 0."""
    _, weight, var = node.inputs
    zeros = replace(var, name=emit.zeros(var.sample_size).name)
    _emit_normalize(emit, node, BatchNorm(op.eps), (zeros, var, weight, zeros))


@lowering(Normalize, strided=True)
def lower_normalize(emit: Emitter, node: Node, op: Normalize) -> None:
    _emit_normalize(emit, node, op, node.inputs[1:5], plus=node.inputs[5:])


@lowering(Renormalize, strided=True)
def lower_renormalize(emit: Emitter, node: Node, op: Renormalize) -> None:
    *inputs, after = node.inputs
    _emit_normalize(emit, node, op, inputs[1:], after=after)


def _emit_normalize(
    emit: Emitter,
    node: Node,
    op: BatchNorm | Normalize,
    channel: Sequence[Value],
    *,
    plus: Sequence[Value] = (),
    after: Value | None = None,
) -> None:
    """Emit scale and shift from mean, var, weight and bias, once, then y = f(x * scale + shift, plus another)."""
    x, y = node.inputs[0], node.output
    layout = emit.layout(x)
    affine = _scale_shift(emit, channel, op.eps)
    args = (layout.height, layout.width, layout.channels, *emit.strides(x), *emit.strides(y))
    operands = [emit.image(x), emit.whole(affine), emit.image(y, write=True), *(emit.image(v) for v in plus)]
    more = [n for v in plus for n in emit.strides(v)]
    waits = (emit.buffer(after),) if after else ()
    kernel = "affine.plus" if plus else "affine"
    emit.call(kernel, operands, (*args, padded(layout.channels), *fused_args(op.activation), *more), waits=waits)


@lowering(NormalizeSums, strided=True)
def lower_normalize_sums(emit: Emitter, node: Node, op: NormalizeSums) -> None:
    """Emit sum of dy and of dy * xhat: one partial sum for each shard, then their total."""
    dy, x, *channel = node.inputs
    partial, operands, args = _sums(emit, dy, x, channel[0])
    masked, mask, bound = _masked(emit, channel, op)
    emit.call(f"normalize_sums{masked}", [*operands, *mask], (*args, *bound))
    _merge_sums(emit, partial, channel[1], node.outputs, op.eps)


def _sums(emit: Emitter, dy: Value, x: Value, mean: Value) -> tuple[Buffer, list[Operand], tuple[int, ...]]:
    """Return partial sums, and the operands and arguments with which every kernel that adds to them begins."""
    layout = emit.layout(x)
    size = padded(layout.channels)
    partial = emit.partial("sums", 2 * size)
    args = (layout.height, layout.width, layout.channels, *emit.strides(dy), *emit.strides(x), size)
    return partial, [emit.image(dy), emit.image(x), emit.whole(mean), emit.whole(partial, write=True)], args


def _merge_sums(emit: Emitter, partial: Buffer, var: Value, totals: Sequence[Value], eps: float) -> None:
    channels = var.sample_size
    operands = [emit.whole(partial), emit.whole(var), *(emit.whole(v, write=True) for v in totals)]
    emit.call("merge_sums", operands, (channels, padded(channels), partial.elements, SHARDS, eps), 1)


def _masked(
    emit: Emitter, channel: Sequence[Value], op: NormalizeSums | NormalizeGrad | NormalizeGradEarly
) -> tuple[str, list[Operand], tuple[float, ...]]:
    """Return name, operands and arguments of a kernel that lets dy pass only inside the activation's bounds."""
    if not op.activation:
        return "", [], ()
    return ".masked", [emit.whole(_scale_shift(emit, channel, op.eps))], (BOUNDS[op.activation][1],)


@lowering(NormalizeGrad, strided=True)
def lower_normalize_grad(emit: Emitter, node: Node, op: NormalizeGrad) -> None:
    """Emit dx = A dy + B x + C: the three numbers of each channel once, then the image."""
    dy, x, mean, var, weight, bias, dbias, dweight, *plus = node.inputs
    layout = emit.layout(x)
    size = padded(layout.channels)
    factors = emit.scratch("factors", 3 * size)
    _find_factors(emit, (mean, var, weight, dbias, dweight), factors, layout.height * layout.width, op.eps)
    args = (
        layout.height, layout.width, layout.channels,
        *emit.strides(dy), *emit.strides(x), *emit.strides(node.output), size,
    )  # fmt: skip
    masked, mask, bound = _masked(emit, (mean, var, weight, bias), op)
    operands = [emit.image(dy), emit.image(x), emit.whole(factors), emit.image(node.output, write=True)]
    more = [n for v in plus for n in emit.strides(v)]
    kernel = f"affine2{masked}{'.plus' if plus else ''}"
    emit.call(kernel, [*operands, *mask, *(emit.image(v) for v in plus)], (*args, *bound, *more))


def _find_factors(emit: Emitter, channel: Sequence[Value], factors: Buffer, pixels: int, eps: float) -> None:
    """Emit A, B and C of each channel, [size] each."""
    operands = [emit.whole(v) for v in channel] + [emit.whole(factors, write=True)]
    channels = channel[0].sample_size
    emit.call("normalize_factors", operands, (channels, padded(channels), pixels, eps), 1)


@lowering(NormalizeGradEarly, strided=True)
def lower_normalize_grad_early(emit: Emitter, node: Node, op: NormalizeGradEarly) -> None:
    """Emit the sums of normalize_sums, and other + A dy in the same sweep."""
    dy, x, *channel, other = node.inputs
    total, *sums = node.outputs
    partial, operands, args = _sums(emit, dy, x, channel[0])
    masked, mask, bound = _masked(emit, channel, op)
    operands += [*mask, emit.image(other), emit.image(total, write=True)]
    more = (*emit.strides(other), *emit.strides(total))
    emit.call(f"normalize_sums{masked}.plus", operands, (*args, *bound, *more))
    _merge_sums(emit, partial, channel[1], sums, op.eps)


@lowering(NormalizeGradRest)
def lower_normalize_grad_rest(emit: Emitter, node: Node, op: NormalizeGradRest) -> None:
    """Emit A, B and C of each channel, and add others' B and C."""
    channel, more = node.inputs[:5], node.inputs[5:]
    channels = channel[0].sample_size
    factors = emit.buffer(node.output)
    factors.elements = 3 * padded(channels)
    _find_factors(emit, channel, factors, op.pixels, op.eps)
    for v in more:
        size = padded(v.sample_size // 3)
        operands = [emit.whole(v), emit.whole(factors, write=True)]
        emit.call("add_factors", operands, (channels, padded(channels), op.first, size), 1)


@lowering(NormalizeGradLate, strided=True)
def lower_normalize_grad_late(emit: Emitter, node: Node, op: NormalizeGradLate) -> None:
    """Emit early + B x + C: the sweep that normalises an image and adds another."""
    x, rest, early = node.inputs
    layout, size = emit.layout(x), padded(rest.sample_size // 3)
    factors = emit.from_element(rest, size + op.first, 2 * size - op.first)
    strides = (*emit.strides(x), *emit.strides(node.output))
    operands = [emit.image(x), factors, emit.image(node.output, write=True), emit.image(early)]
    args = (layout.height, layout.width, layout.channels, *strides, size, *fused_args(""), *emit.strides(early))
    emit.call("affine.plus", operands, args)


@lowering(FoldBatchNorm)
def lower_fold_batchnorm(emit: Emitter, node: Node, op: FoldBatchNorm) -> None:
    weight, *rest = node.inputs
    bias = rest.pop(0) if op.conv_bias else None
    lay = filter_layout(weight.sample, op.groups)
    channels = weight.sample[-1]
    if lay is None:  # depthwise: plain [kH * kW, C]
        args: tuple[int, ...] = (1, 1, weight.sample_size // channels, channels, channels, 0, channels)
    else:
        rows = lay.panel_size // lay.width
        args = (lay.groups, lay.panels, rows, lay.width, lay.panel_size, lay.group_size, lay.channels)
    folded = emit.buffer(node.outputs[0])
    folded.elements = emit.buffer(weight).elements
    operands = [emit.whole(weight), *(emit.whole(v) for v in ([bias] if bias else []))]
    operands += [emit.whole(v) for v in rest] + [emit.whole(v, write=True) for v in node.outputs]
    name = "fold_batchnorm" if bias else "fold_batchnorm.nobias"
    emit.call(name, operands, (*args, op.eps), 1)
