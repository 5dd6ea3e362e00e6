"""How the sums that gradients need become kernel calls."""

from __future__ import annotations

from ..ir.graph import Node
from ..ops.reduce import ChannelSum, SpatialSum
from .emitter import Emitter
from .registry import lowering
from .values import padded, size_of


@lowering(SpatialSum)
def lower_spatial_sum(emit: Emitter, node: Node, op: SpatialSum) -> None:
    x, y = node.inputs[0], node.output
    layout = emit.layout(x)
    args = dict(**size_of(layout), **emit.strides(x=x), y_sample_stride=emit.layout(y).image)
    emit.call("spatial_sum", dict(x=emit.image(x), y=emit.image(y, write=True)), args)


@lowering(ChannelSum)
def lower_channel_sum(emit: Emitter, node: Node, op: ChannelSum) -> None:
    """Emit the gradient of a bias: added up in one copy for each shard."""
    dy = node.inputs[0]
    layout = emit.layout(dy)
    total = emit.gradient(node.output, padded(layout.channels))
    args = dict(**size_of(layout), **emit.strides(dy=dy))
    emit.call("channel_sum", dict(dy=emit.image(dy), db=emit.whole(total, write=True)), args)
