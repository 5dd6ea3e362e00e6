"""How functions of single numbers become kernel calls: activations, sums, products, dropout."""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Node
from ..ops.activation import Activation, ActivationGrad, activation_args
from ..ops.dropout import RandomDrop
from ..ops.merge import Add, Multiply
from .cut import Cut
from .emitter import MAP_SPEED, Emitter
from .registry import lowering


def emit_map(emit: Emitter, kernel: str, node: Node, *args: int | float) -> None:
    """Emit a kernel that works number by number on values of one shape, in the longest rows there are."""
    values = [*node.inputs, node.output]
    layouts = [emit.layout(v) for v in values]
    first = layouts[0]
    if all(x.halo == (0, 0) for x in layouts) and not emit.one_image:
        rows, inner = 1, first.height * first.width * first.channels
    else:
        rows, inner = first.height, first.width * first.channels
    cut = Cut(0, rows, 1, tuple(layout.row for layout in layouts), MAP_SPEED)
    strides = [n for x in layouts for n in (x.image, x.row)]
    operands = [emit.image(v) for v in node.inputs] + [emit.image(node.output, write=True)]
    emit.call(kernel, operands, (rows, inner, *strides, *args), cut=cut, work=rows * inner)


@lowering(Activation)
def lower_activation(emit: Emitter, node: Node, op: Activation) -> None:
    emit_map(emit, "activation", node, *activation_args(op.kind))


@lowering(ActivationGrad)
def lower_activation_grad(emit: Emitter, node: Node, op: ActivationGrad) -> None:
    if op.plus:
        emit_map(emit, f"{op.kind}_grad.plus", node)
    else:
        emit_map(emit, "activation_grad", node, *activation_args(op.kind))


@lowering(Add)
def lower_add(emit: Emitter, node: Node, op: Add) -> None:
    """Emit the sum of two or more values, pair by pair; the last applies the activation."""
    total, *others = node.inputs
    for other in others:
        activation = activation_args(op.activation if other is others[-1] else "")
        emit_map(emit, "add", replace(node, inputs=(total, other)), *activation)
        total = node.output


@lowering(Multiply)
def lower_multiply(emit: Emitter, node: Node, op: Multiply) -> None:
    a, b = node.inputs
    if a.sample == b.sample:
        emit_map(emit, "multiply", node)
        return
    if a.sample_size < b.sample_size:
        a, b = b, a
    x = emit.layout(a)
    args = (x.height, x.width, x.channels, *emit.strides(a), emit.layout(b).image, *emit.strides(node.output))
    emit.call("scale_channels", [emit.image(a), emit.image(b), emit.image(node.output, write=True)], args)


@lowering(RandomDrop)
def lower_random_drop(emit: Emitter, node: Node, op: RandomDrop) -> None:
    x, keys = node.inputs
    layout = emit.layout(x)
    strides = (*emit.strides(x)[:2], *emit.strides(node.output)[:2], emit.layout(keys).image)
    operands = [emit.image(x), emit.image(keys), emit.image(node.output, write=True)]
    args = (layout.height, layout.width * layout.channels, *strides, op.rate, op.stream)
    emit.call("random_drop", operands, args)
