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
    NormalizeGradCoefficients,
    NormalizeGradComplete,
    NormalizeGradInputs,
    NormalizeGradPartial,
    NormalizeSums,
    Renormalize,
    RunningUpdate,
)
from ..plan.plan import SHARDS, Buffer
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
    emit.call("batch_stats", dict(x=x, partial=partial), dict(**size_of(layout), padded_channels=size))
    mean, var = node.outputs
    shards = dict(channels=layout.channels, padded_channels=size, shard_stride=partial.elements, shards=SHARDS)
    emit.call("merge_stats", dict(partial=partial, mean=mean, var=var), shards, 1)


@lowering(RunningUpdate)
def lower_running_update(emit: Emitter, node: Node, op: RunningUpdate) -> None:
    running, batch = node.inputs
    args = dict(channels=running.sample_size, pixels=op.spatial, momentum=op.momentum)
    emit.after_loss("running_update", dict(batch=batch, running=running), args)


def _scale_shift(emit: Emitter, channel: Sequence[Value], eps: float) -> Buffer:
    """Return scale and shift of each channel, [size], [size], from mean, var, weight and bias; computed once."""
    size = channel[0].sample_size
    scale_shift, is_new = emit.once(f"affine:{':'.join(v.name for v in channel)}", 2 * padded(size))
    if is_new:
        operands = dict(zip(("mean", "var", "weight", "bias"), channel, strict=True), scale_shift=scale_shift)
        emit.call("normalize_affine", operands, dict(channels=size, padded_channels=padded(size), eps=eps), 1)
    return scale_shift


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
    _emit_normalize(emit, node, op, node.inputs[1:5], addend=node.inputs[5:])


@lowering(Renormalize, strided=True)
def lower_renormalize(emit: Emitter, node: Node, op: Renormalize) -> None:
    *inputs, after = node.inputs
    _emit_normalize(emit, node, op, inputs[1:], waits=(emit.buffer(after),))


def _emit_normalize(
    emit: Emitter,
    node: Node,
    op: BatchNorm | Normalize,
    channel: Sequence[Value],
    *,
    addend: Sequence[Value] = (),
    waits: tuple[Buffer, ...] = (),
) -> None:
    """Emit scale and shift from mean, var, weight and bias, once, then y = f(x * scale + shift + addend)."""
    layout = emit.layout(node.inputs[0])
    scale_shift = _scale_shift(emit, channel, op.eps)
    args = dict(**size_of(layout), padded_channels=padded(layout.channels), **function_of(op.activation))
    operands = dict(x=node.inputs[0], scale_shift=scale_shift, y=node.output, **_addend(addend))
    emit.call("affine.addend" if addend else "affine", operands, args, waits=waits)


def _addend(values: Sequence[Value]) -> dict[str, Value]:
    """Return the operand of a node that adds its last input: one value, or none."""
    return dict(zip(("addend",), values, strict=False))


@lowering(NormalizeSums, strided=True)
def lower_normalize_sums(emit: Emitter, node: Node, op: NormalizeSums) -> None:
    """Emit sum of dy and of dy * xhat: one partial sum for each shard, then their total."""
    _emit_sums(emit, op, node.inputs, node.outputs)


@lowering(NormalizeGradPartial, strided=True)
def lower_normalize_grad_partial(emit: Emitter, node: Node, op: NormalizeGradPartial) -> None:
    """Emit the sums of normalize_sums, and addend + A dy in the same sweep."""
    *inputs, addend = node.inputs
    total, *sums = node.outputs
    _emit_sums(emit, op, inputs, sums, addend=addend, total=total)


def _emit_sums(
    emit: Emitter,
    op: NormalizeSums | NormalizeGradPartial,
    inputs: Sequence[Value],
    sums: Sequence[Value],
    **images: Value,
) -> None:
    """Emit the sums [C] of dy and dy * xhat. ``images``: none, or ``addend`` and ``total`` = addend + A dy."""
    dy, x, *channel = inputs
    layout = emit.layout(x)
    size = padded(layout.channels)
    partial = emit.partial("sums", 2 * size)
    masked, mask, bound = _masked(emit, channel, op)
    operands = dict(dy=dy, x=x, mean=channel[0], partial=partial, **mask, **images)
    kernel = f"bn_backward_reduce{masked}{'.addend' if images else ''}"
    emit.call(kernel, operands, dict(**size_of(layout), padded_channels=size, **bound))
    shards = dict(padded_channels=size, shard_stride=partial.elements, shards=SHARDS)
    totals = dict(partial=partial, var=channel[1], dbias=sums[0], dweight=sums[1])
    emit.call("bn_backward_merge", totals, dict(channels=layout.channels, **shards, eps=op.eps), 1)


def _masked(
    emit: Emitter, channel: Sequence[Value], op: NormalizeSums | NormalizeGrad | NormalizeGradPartial
) -> tuple[str, dict[str, Buffer], dict[str, float]]:
    """Return the word, operand and argument of a kernel that lets dy pass only inside the activation's bounds."""
    if not op.activation:
        return "", {}, {}
    bounds = bounds_of(op.activation)
    assert bounds is not None and bounds[0] == 0, "the kernel's mask begins at 0"
    return ".masked", {"scale_shift": _scale_shift(emit, channel, op.eps)}, {"bound": bounds[1]}


@lowering(NormalizeGrad, strided=True)
def lower_normalize_grad(emit: Emitter, node: Node, op: NormalizeGrad) -> None:
    """Emit dx = A dy + B x + C: the three numbers of each channel once, then the image."""
    given = NormalizeGradInputs(*node.inputs)
    layout = emit.layout(given.x)
    size = padded(layout.channels)
    coefficients = emit.scratch("coefficients", 3 * size)
    channel = (given.mean, given.var, given.weight, given.dbias, given.dweight)
    _emit_coefficients(emit, channel, coefficients, layout.height * layout.width, op.eps)
    masked, mask, bound = _masked(emit, (given.mean, given.var, given.weight, given.bias), op)
    images = dict(dy=given.dy, x=given.x, dx=node.output, **_addend(node.inputs[8:]))
    kernel = f"bn_backward_apply{masked}{'.addend' if op.addend else ''}"
    args = dict(**size_of(layout), padded_channels=size, **bound)
    emit.call(kernel, dict(**images, coefficients=coefficients, **mask), args)


def _emit_coefficients(emit: Emitter, channel: Sequence[Value], coefficients: Buffer, pixels: int, eps: float) -> None:
    """Emit A, B and C of each channel, [size] each."""
    names = ("mean", "var", "weight", "dbias", "dweight")
    operands = dict(zip(names, channel, strict=True), coefficients=coefficients)
    channels = channel[0].sample_size
    args = dict(channels=channels, padded_channels=padded(channels), pixels=pixels, eps=eps)
    emit.call("bn_backward_coefficients", operands, args, 1)


@lowering(NormalizeGradCoefficients)
def lower_normalize_grad_coefficients(emit: Emitter, node: Node, op: NormalizeGradCoefficients) -> None:
    """Emit A, B and C of each channel, and add others' B and C."""
    channel, more = node.inputs[:5], node.inputs[5:]
    channels = channel[0].sample_size
    coefficients = emit.buffer(node.output)
    coefficients.elements = 3 * padded(channels)
    _emit_coefficients(emit, channel, coefficients, op.pixels, op.eps)
    for v in more:
        sizes = dict(padded_channels=padded(channels), more_padded_channels=padded(v.sample_size // 3))
        args = dict(channels=channels, first=op.channel_offset, **sizes)
        emit.call("add_coefficients", dict(more=v, coefficients=coefficients), args, 1)


@lowering(NormalizeGradComplete, strided=True)
def lower_normalize_grad_complete(emit: Emitter, node: Node, op: NormalizeGradComplete) -> None:
    """Emit partial + B x + C: the sweep that normalises an image and adds another."""
    x, coefficients, partial = node.inputs
    size = padded(coefficients.sample_size // 3)
    scale_shift = emit.operand(coefficients, at=size + op.channel_offset, extent=2 * size - op.channel_offset)
    operands = dict(x=x, scale_shift=scale_shift, y=node.output, addend=partial)
    emit.call("affine.addend", operands, dict(**size_of(emit.layout(x)), padded_channels=size, **function_of("")))


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
    emit.buffer(node.outputs[0]).elements = emit.buffer(weight).elements
    names = ("w", *(["b"] if op.conv_bias else []), "weight", "bias", "mean", "var", "folded_w", "folded_b")
    operands = dict(zip(names, (*node.inputs, *node.outputs), strict=True))
    emit.call("fold_batchnorm" if op.conv_bias else "fold_batchnorm.nobias", operands, dict(**args, eps=op.eps), 1)
