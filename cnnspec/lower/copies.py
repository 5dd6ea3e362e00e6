"""How ops that only move numbers become copies, or nothing where a value can lie in the memory of another."""

from __future__ import annotations

from ..ir.graph import Node, Value
from ..ops.merge import Concat, Join, Slice
from ..ops.reshape import Flatten, Reshape
from .emitter import Emitter
from .registry import lowering
from .values import size_of, strides_of


@lowering(Concat, strided=True)
def lower_concat(emit: Emitter, node: Node, op: Concat) -> None:
    start = 0
    for x in node.inputs:
        if not emit.is_slice(x, node.output):
            _copy_channels(emit, x, node.output, 0, start, x.sample[-1])
        start += x.sample[-1]


@lowering(Slice, strided=True)
def lower_slice(emit: Emitter, node: Node, op: Slice) -> None:
    if not emit.is_slice(node.output, node.inputs[0]):
        _copy_channels(emit, node.inputs[0], node.output, op.start, 0, op.stop - op.start)


def _copy_channels(emit: Emitter, source: Value, target: Value, start: int, to: int, count: int) -> None:
    """Copy ``count`` channels from channel ``start`` of one value to channel ``to`` of another."""
    x, y = emit.layout(source), emit.layout(target)
    operands = dict(x=emit.operand(source, at=x.origin + start), y=emit.operand(target, at=y.origin + to))
    strides = emit.strides("x", source) | emit.strides("y", target)
    emit.call("copy", operands, dict(height=x.height, width=x.width, channels=count, **strides))


@lowering(Join)
def lower_join(emit: Emitter, node: Node, op: Join) -> None:
    start = 0
    for v in node.inputs:  # a call each: the operands of one are limited
        emit.call("join", dict(x=v, y=node.output), dict(start=start, elements=v.sample_size), 1)
        start += v.sample_size


@lowering(Flatten, Reshape)
def lower_reshape(emit: Emitter, node: Node, op: Flatten | Reshape) -> None:
    """Give the same numbers another shape: free where no halo lies between them."""
    x, y = node.inputs[0], node.output
    if emit.layout(x).halo == emit.halo(y) == (0, 0):
        emit.alias(y, x)
        return
    names = ("x", "y") if len(x.sample) == 3 else ("y", "x")  # of the image, and of the vector
    image, flat = (emit.layout({"x": x, "y": y}[name]) for name in names)
    rows = strides_of(names[1], flat.sample_stride, image.width * image.channels, image.channels)
    emit.call("copy", dict(x=x, y=y), dict(**size_of(image), **rows))
