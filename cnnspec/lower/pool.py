"""How poolings and their gradients become kernel calls."""

from __future__ import annotations

from ..ir.graph import Node
from ..ops.pool import AvgPool, AvgPoolGrad, MaxPool, MaxPoolGrad
from .cut import Cut
from .emitter import Emitter
from .registry import lowering

NARROW = 8  # channels up to which pooling takes narrow vectors; kernels/pool.py
POOL_SPEED = 4  # numbers of an image a nanosecond
CACHE_LINE = 16  # numbers: two threads should not write to one


@lowering(MaxPool, AvgPool, strided=True)
def lower_pool(emit: Emitter, node: Node, op: MaxPool | AvgPool) -> None:
    kernel, stride, pads = op.geometry(node.inputs[0].sample)
    _emit_pool(emit, node, *kernel, *stride, *pads)


@lowering(MaxPoolGrad, AvgPoolGrad)
def lower_pool_grad(emit: Emitter, node: Node, op: MaxPoolGrad | AvgPoolGrad) -> None:
    _emit_pool(emit, node, *op.kernel_size, *op.stride, *op.padding)


def _emit_pool(emit: Emitter, node: Node, *args: int) -> None:
    """Emit a pooling kernel or its gradient; the image is what the window slides over."""
    kernel = node.op.name
    made = [v for v in node.outputs if v is node.output or emit.is_read(v)]
    values = [*node.inputs, *made]
    big, small = (values[-1], values[0]) if kernel.endswith("_grad") else (values[0], node.output)
    x, y = emit.layout(big), emit.layout(small)
    if args == (2, 2, 2, 2, 0, 0) and (x.height, x.width) == (2 * y.height, 2 * y.width) and "max" in kernel:
        kernel += ".2x2.narrow" if x.channels <= NARROW else ".2x2"
    if len(made) < len(node.outputs):  # nobody asks which place of a window was the largest
        kernel += ".values"
    strides = [n for v in values for n in emit.strides(v)]
    operands = [emit.image(v) for v in node.inputs] + [emit.image(v, write=True) for v in made]
    cut = Cut(2, x.channels, CACHE_LINE, (1,) * len(operands), POOL_SPEED)
    args = (x.height, x.width, x.channels, y.height, y.width, *args, *strides)
    emit.call(kernel, operands, args, cut=cut, work=x.height * x.width * x.channels)
