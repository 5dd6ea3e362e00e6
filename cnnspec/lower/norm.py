"""How batch normalisation becomes kernel calls: statistics over the whole batch, then one sweep over the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..activations import bounds_of
from ..ir.graph import Node, Value
from ..layouts import filter_layout
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
from .functions import function_of
from .registry import lowering
from .values import padded, size_of


@lowering(BatchStats, strided=True)
def lower_batch_stats(emit: Emitter, node: Node, op: BatchStats) -> None:
    """Emit mean and variance: merged group by group in each shard, then shard by shard (Chan et al. 1983)."""
    x = node.inputs[0]
    layout = emit.layout(x)
    size = padded(layout.channels)
    partial = emit.partial("stats", 2 * size + 1)
    args = dict(**size_of(layout), **emit.strides(x=x), padded_channels=size)
    emit.call("batch_stats", dict(x=emit.image(x), partial=emit.whole(partial, write=True)), args)
    mean, var = (emit.whole(v, write=True) for v in node.outputs)
    shards = dict(channels=layout.channels, padded_channels=size, shard_stride=partial.elements, shards=SHARDS)
    emit.call("merge_stats", dict(partial=emit.whole(partial), mean=mean, var=var), shards, 1)


@lowering(RunningUpdate)
def lower_running_update(emit: Emitter, node: Node, op: RunningUpdate) -> None:
    running, batch = node.inputs
    operands = dict(batch=emit.whole(batch), running=emit.whole(running, write=True))
    args = dict(channels=running.sample_size, pixels=op.spatial, momentum=op.momentum)
    emit.after_loss("running_update", operands, args)


def _scale_shift(emit: Emitter, channel: Sequence[Value], eps: float) -> Buffer:
    """Return scale and shift of each channel, [size], [size], from mean, var, weight and bias; computed once."""
    size = channel[0].sample_size
    affine, is_new = emit.once(f"affine:{':'.join(v.name for v in channel)}", 2 * padded(size))
    if is_new:
        mean, var, weight, bias = (emit.whole(v) for v in channel)
        operands = dict(mean=mean, var=var, weight=weight, bias=bias, scale_shift=emit.whole(affine, write=True))
        emit.call("normalize_affine", operands, dict(channels=size, padded_channels=padded(size), eps=eps), 1)
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
    _emit_normalize(emit, node, op, node.inputs[1:5], addend=node.inputs[5] if op.plus else None)


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
    addend: Value | None = None,
    after: Value | None = None,
) -> None:
    """Emit scale and shift from mean, var, weight and bias, once, then y = f(x * scale + shift + addend)."""
    x, y = node.inputs[0], node.output
    layout = emit.layout(x)
    affine = _scale_shift(emit, channel, op.eps)
    args = dict(
        **size_of(layout),
        **emit.strides(x=x, y=y, **_given(addend=addend)),
        padded_channels=padded(layout.channels),
        **function_of(op.activation),
    )
    operands = dict(
        x=emit.image(x),
        scale_shift=emit.whole(affine),
        y=emit.image(y, write=True),
        **{name: emit.image(v) for name, v in _given(addend=addend).items()},
    )
    waits = (emit.buffer(after),) if after else ()
    emit.call("affine.addend" if addend else "affine", operands, args, waits=waits)


def _given(**values: Value | None) -> dict[str, Value]:
    """Return the values that there are."""
    return {name: v for name, v in values.items() if v is not None}


@lowering(NormalizeSums, strided=True)
def lower_normalize_sums(emit: Emitter, node: Node, op: NormalizeSums) -> None:
    """Emit sum of dy and of dy * xhat: one partial sum for each shard, then their total."""
    dy, x, *channel = node.inputs
    partial, operands, args = _sums(emit, dy, x, channel[0])
    masked, mask, bound = _masked(emit, channel, op)
    emit.call(f"bn_backward_reduce{masked}", dict(**operands, **mask), dict(**args, **bound))
    _merge_sums(emit, partial, channel[1], node.outputs, op.eps)


def _sums(emit: Emitter, dy: Value, x: Value, mean: Value) -> tuple[Buffer, dict[str, Operand], dict[str, int]]:
    """Return partial sums [2][padded channels], and the operands and arguments of every kernel that adds to them."""
    layout = emit.layout(x)
    size = padded(layout.channels)
    partial = emit.partial("sums", 2 * size)
    args = dict(**size_of(layout), **emit.strides(dy=dy, x=x), padded_channels=size)
    operands = dict(
        dy=emit.image(dy), x=emit.image(x), mean=emit.whole(mean), partial=emit.whole(partial, write=True)
    )  # fmt: skip
    return partial, operands, args


def _merge_sums(emit: Emitter, partial: Buffer, var: Value, totals: Sequence[Value], eps: float) -> None:
    channels = var.sample_size
    dbias, dweight = (emit.whole(v, write=True) for v in totals)
    operands = dict(partial=emit.whole(partial), var=emit.whole(var), dbias=dbias, dweight=dweight)
    args = dict(
        channels=channels, padded_channels=padded(channels), shard_stride=partial.elements, shards=SHARDS, eps=eps
    )  # fmt: skip
    emit.call("bn_backward_merge", operands, args, 1)


def _masked(
    emit: Emitter, channel: Sequence[Value], op: NormalizeSums | NormalizeGrad | NormalizeGradEarly
) -> tuple[str, dict[str, Operand], dict[str, float]]:
    """Return the word, operand and argument of a kernel that lets dy pass only inside the activation's bounds."""
    if not op.activation:
        return "", {}, {}
    scale_shift = emit.whole(_scale_shift(emit, channel, op.eps))
    bounds = bounds_of(op.activation)
    assert bounds is not None and bounds[0] == 0, "the kernel's mask begins at 0"
    return ".masked", {"scale_shift": scale_shift}, {"bound": bounds[1]}


@lowering(NormalizeGrad, strided=True)
def lower_normalize_grad(emit: Emitter, node: Node, op: NormalizeGrad) -> None:
    """Emit dx = A dy + B x + C: the three numbers of each channel once, then the image."""
    dy, x, mean, var, weight, bias, dbias, dweight, *plus = node.inputs
    layout = emit.layout(x)
    size = padded(layout.channels)
    factors = emit.scratch("factors", 3 * size)
    addend = _given(addend=plus[0] if plus else None)
    _find_factors(emit, (mean, var, weight, dbias, dweight), factors, layout.height * layout.width, op.eps)
    masked, mask, bound = _masked(emit, (mean, var, weight, bias), op)
    operands = dict(
        dy=emit.image(dy),
        x=emit.image(x),
        coefficients=emit.whole(factors),
        dx=emit.image(node.output, write=True),
        **mask,
        **{name: emit.image(v) for name, v in addend.items()},
    )
    args = dict(
        **size_of(layout), **emit.strides(dy=dy, x=x, dx=node.output, **addend), padded_channels=size, **bound
    )  # fmt: skip
    emit.call(f"bn_backward_apply{masked}{'.addend' if plus else ''}", operands, args)


def _find_factors(emit: Emitter, channel: Sequence[Value], factors: Buffer, pixels: int, eps: float) -> None:
    """Emit A, B and C of each channel, [size] each."""
    names = ("mean", "var", "weight", "dbias", "dweight")
    operands = {name: emit.whole(v) for name, v in zip(names, channel, strict=True)}
    operands["coefficients"] = emit.whole(factors, write=True)
    channels = channel[0].sample_size
    args = dict(channels=channels, padded_channels=padded(channels), pixels=pixels, eps=eps)
    emit.call("bn_backward_coefficients", operands, args, 1)


@lowering(NormalizeGradEarly, strided=True)
def lower_normalize_grad_early(emit: Emitter, node: Node, op: NormalizeGradEarly) -> None:
    """Emit the sums of normalize_sums, and other + A dy in the same sweep."""
    dy, x, *channel, other = node.inputs
    total, *sums = node.outputs
    partial, operands, args = _sums(emit, dy, x, channel[0])
    masked, mask, bound = _masked(emit, channel, op)
    operands |= dict(**mask, addend=emit.image(other), total=emit.image(total, write=True))
    strides = emit.strides(addend=other, total=total)
    emit.call(f"bn_backward_reduce{masked}.addend", operands, dict(**args, **bound, **strides))
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
        operands = dict(more=emit.whole(v), coefficients=emit.whole(factors, write=True))
        args = dict(
            channels=channels, padded_channels=padded(channels), first=op.first, more_padded_channels=size
        )  # fmt: skip
        emit.call("add_coefficients", operands, args, 1)


@lowering(NormalizeGradLate, strided=True)
def lower_normalize_grad_late(emit: Emitter, node: Node, op: NormalizeGradLate) -> None:
    """Emit early + B x + C: the sweep that normalises an image and adds another."""
    x, rest, early = node.inputs
    layout, size = emit.layout(x), padded(rest.sample_size // 3)
    factors = emit.from_element(rest, size + op.first, 2 * size - op.first)
    operands = dict(
        x=emit.image(x), scale_shift=factors, y=emit.image(node.output, write=True), addend=emit.image(early)
    )  # fmt: skip
    strides = emit.strides(x=x, y=node.output, addend=early)
    emit.call("affine.addend", operands, dict(**size_of(layout), **strides, padded_channels=size, **function_of("")))


@lowering(FoldBatchNorm)
def lower_fold_batchnorm(emit: Emitter, node: Node, op: FoldBatchNorm) -> None:
    weight = node.inputs[0]
    lay = filter_layout(weight.sample, op.groups)
    channels = weight.sample[-1]
    if lay is None:  # depthwise: plain [kH * kW, C], as one panel
        args = dict(
            groups=1, panels=1, rows=weight.sample_size // channels,
            panel_width=channels, panel_stride=channels, group_stride=0, channels=channels,
        )  # fmt: skip
    else:
        args = dict(
            groups=lay.groups, panels=lay.panels, rows=lay.panel_size // lay.width,
            panel_width=lay.width, panel_stride=lay.panel_size, group_stride=lay.group_size, channels=lay.channels,
        )  # fmt: skip
    folded = emit.buffer(node.outputs[0])
    folded.elements = emit.buffer(weight).elements
    names = ("w", *(["b"] if op.conv_bias else []), "weight", "bias", "mean", "var")
    operands = {name: emit.whole(v) for name, v in zip(names, node.inputs, strict=True)}
    for name, v in zip(("folded_w", "folded_b"), node.outputs, strict=True):
        operands[name] = emit.whole(v, write=True)
    emit.call("fold_batchnorm" if op.conv_bias else "fold_batchnorm.nobias", operands, dict(**args, eps=op.eps), 1)
