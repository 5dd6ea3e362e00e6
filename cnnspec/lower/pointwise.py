"""How functions of single numbers become kernel calls: activations, sums, products, dropout."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Node, Value
from ..ops.activation import Activation, ActivationGrad
from ..ops.dropout import RandomDrop
from ..ops.merge import Add, Multiply
from .cut import Cut
from .emitter import MAP_SPEED, Emitter
from .functions import activation_of
from .registry import lowering
from .values import size_of


def emit_map(emit: Emitter, kernel: str, args: Mapping[str, int | float], *, out: str, **values: Value) -> None:
    """Emit a kernel that works number by number on values of one shape, in the longest rows there are.

    ``values``: by the names of the kernel's operands; ``out``: the one that it writes.
    """
    layouts = {name: emit.layout(v) for name, v in values.items()}
    first = layouts[out]
    if all(x.halo == (0, 0) for x in layouts.values()) and not emit.one_image:
        rows, inner = 1, first.height * first.width * first.channels
    else:
        rows, inner = first.height, first.width * first.channels
    cut = Cut("rows", rows, 1, {name: x.row_stride for name, x in layouts.items()}, MAP_SPEED)
    emit.call(kernel, values, dict(rows=rows, row_elements=inner, **args), cut=cut, work=rows * inner)


@lowering(Activation)
def lower_activation(emit: Emitter, node: Node, op: Activation) -> None:
    emit_map(emit, "activation", activation_of(op.kind), out="y", x=node.inputs[0], y=node.output)


@lowering(ActivationGrad)
def lower_activation_grad(emit: Emitter, node: Node, op: ActivationGrad) -> None:
    dy, v, *addend = node.inputs
    if op.addend:
        emit_map(emit, f"{op.kind}_grad.addend", {}, out="dx", dy=dy, y=v, addend=addend[0], dx=node.output)
    else:
        emit_map(emit, "activation_grad", activation_of(op.kind), out="dx", dy=dy, v=v, dx=node.output)


@lowering(Add)
def lower_add(emit: Emitter, node: Node, op: Add) -> None:
    """Emit the sum of two or more values, pair by pair; the last applies the activation."""
    total, *others = node.inputs
    for other in others:
        activation = activation_of(op.activation if other is others[-1] else "")
        emit_map(emit, "add", activation, out="y", x=total, z=other, y=node.output)
        total = node.output


@lowering(Multiply)
def lower_multiply(emit: Emitter, node: Node, op: Multiply) -> None:
    a, b = node.inputs
    if a.sample == b.sample:
        emit_map(emit, "multiply", {}, out="y", x=a, z=b, y=node.output)
        return
    if a.sample_size < b.sample_size:
        a, b = b, a
    emit.call("scale_channels", dict(x=a, z=b, y=node.output), size_of(emit.layout(a)))


@lowering(RandomDrop)
def lower_random_drop(emit: Emitter, node: Node, op: RandomDrop) -> None:
    x, keys = node.inputs
    layout = emit.layout(x)
    args = dict(rows=layout.height, row_elements=layout.width * layout.channels, rate=op.rate, stream=op.stream)
    emit.call("random_drop", dict(x=x, keys=keys, y=node.output), args)
