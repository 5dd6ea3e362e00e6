"""Sums that gradients need: over batch and image to one number a channel, and over the image alone."""

from __future__ import annotations

from ..ir.fields import Shape
from ..ir.graph import Op, Results, Value, op


@op("channel_sum")
class ChannelSum(Op):
    """dy -> sum over batch, height and width: the gradient of a bias, [C]."""

    def results(self, *inputs: Value) -> Results:
        return [((inputs[0].sample[-1],), "f32")]


@op("spatial_sum")
class SpatialSum(Op):
    """[N, H, W, C] -> [N, 1, 1, C]: the gradient of a number that was spread over an image."""

    def infer(self, x: Shape) -> Shape:
        return (1, 1, x[2])
