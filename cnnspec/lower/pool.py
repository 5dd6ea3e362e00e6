"""How poolings and their gradients become kernel calls."""

from __future__ import annotations

from ..abi.constants import POOL_NARROW
from ..ir.fields import Pair
from ..ir.graph import Node, Value
from ..ops.pool import AvgPool, AvgPoolGrad, MaxPool, MaxPoolGrad
from .cut import Cut
from .emitter import Emitter
from .registry import lowering
from .values import size_of

POOL_SPEED = 4  # numbers of an image a nanosecond
CACHE_LINE = 16  # numbers: two threads should not write to one


@lowering(MaxPool, AvgPool, strided=True)
def lower_pool(emit: Emitter, node: Node, op: MaxPool | AvgPool) -> None:
    values = dict(zip(("x", "y", "indices"), (*node.inputs, *node.outputs), strict=False))
    if "indices" in values and not emit.is_read(values["indices"]):  # no gradient asks which pixel was the largest
        del values["indices"]
    _emit_pool(emit, node, values, "x", "y", op.geometry(node.inputs[0].sample))


@lowering(MaxPoolGrad, AvgPoolGrad)
def lower_pool_grad(emit: Emitter, node: Node, op: MaxPoolGrad | AvgPoolGrad) -> None:
    names = ("dy", "indices", "dx") if isinstance(op, MaxPoolGrad) else ("dy", "dx")
    values = dict(zip(names, (*node.inputs, *node.outputs), strict=True))
    _emit_pool(emit, node, values, "dx", "dy", (op.kernel_size, op.stride, op.padding))


def _emit_pool(
    emit: Emitter, node: Node, values: dict[str, Value], image: str, pooled: str, geometry: tuple[Pair, Pair, Pair]
) -> None:
    """Emit a pooling kernel or its gradient on ``values``, by operand; a window slides over ``image``.

    ``geometry``: size, stride and padding of the window, (rows, columns) each.
    """
    kernel, (size, stride, padding) = node.op.name, geometry
    x, y = emit.layout(values[image]), emit.layout(values[pooled])
    halves = size == stride == (2, 2) and padding == (0, 0) and (x.height, x.width) == (2 * y.height, 2 * y.width)
    if halves and "max" in kernel:
        kernel += ".2x2.narrow" if x.channels <= POOL_NARROW else ".2x2"
    if image == "x" and len(values) <= len(node.outputs):
        kernel += ".values"
    args = dict(
        **size_of(x), out_height=y.height, out_width=y.width,
        kernel_height=size[0], kernel_width=size[1], stride_height=stride[0], stride_width=stride[1],
        padding_height=padding[0], padding_width=padding[1],
    )  # fmt: skip
    cut = Cut("channels", x.channels, CACHE_LINE, dict.fromkeys(values, 1), POOL_SPEED)
    emit.call(kernel, values, args, cut=cut, work=x.height * x.width * x.channels)
