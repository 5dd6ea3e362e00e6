"""How the sums that gradients need become kernel calls."""

from __future__ import annotations

from ..ir.graph import Node
from ..ops.reduce import ChannelSum, SpatialSum
from .emitter import Emitter
from .registry import lowering
from .values import padded, size_of


@lowering(SpatialSum)
def lower_spatial_sum(emit: Emitter, node: Node, op: SpatialSum) -> None:
    x = node.inputs[0]
    emit.call("spatial_sum", dict(x=x, y=node.output), size_of(emit.layout(x)))


@lowering(ChannelSum)
def lower_channel_sum(emit: Emitter, node: Node, op: ChannelSum) -> None:
    """Emit the gradient of a bias: added up in one copy for each shard."""
    dy = node.inputs[0]
    layout = emit.layout(dy)
    total = emit.gradient(node.output, padded(layout.channels))
    emit.call("channel_sum", dict(dy=dy, db=total), size_of(layout))
