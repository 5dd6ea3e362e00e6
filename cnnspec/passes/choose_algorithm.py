"""Choice of algorithm: which convolutions run on Winograd's transformed tiles, and which gradients by windows."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.fields import Shape
from ..ir.graph import Graph, Node
from ..layouts import overlap_pixels, panel_width, tile_cost
from ..ops.conv import Conv, ConvInputGrad, ConvWeightGrad

# Bytes of transformed filters that the second-level cache still holds beside the tiles; the gradient has a copy of them
# for each shard. Beyond, the work goes in stages: all tiles first, then panel by panel of output channels. Stages want
# whole vectors and whole panels of channels: others that large stay direct.
LARGEST, LARGEST_GRADIENT = 4_800_000, 1_200_000
LEAST = 12  # channels
ADDING = 96  # what adding one vector of a window costs, in lanes multiplied; measured, 64 to 100


class ChooseAlgorithm:
    """3x3 convolutions of stride 1 with enough channels -> ``algorithm='winograd'``, forward and both gradients.

    The same sums in another order, with a quarter of the multiplications: equal up to rounding (relative error about
    2e-6 where the direct method has 1e-6). The rule is measured, see benchmarks/NOTES.md: the transforms cost the same
    for each channel, so with fewer than 12 channels on one side they eat the gain.

    Input gradients of other convolutions of stride 1 with few input channels -> ``algorithm='overlap'``, where that
    costs less: the same products, added in another order.
    """

    name: ClassVar[str] = "choose-algorithm"
    after: ClassVar[tuple[str, ...]] = ("fold-batchnorm", "fuse-activation", "dead-code")

    def run(self, graph: Graph) -> Graph:
        return graph.with_nodes(self._choose(node) for node in graph.nodes)

    def _choose(self, node: Node) -> Node:
        op = node.op
        if not isinstance(op, Conv | ConvInputGrad | ConvWeightGrad):
            return node
        algorithm = _winograd(op, node)
        if not algorithm and isinstance(op, ConvInputGrad) and _is_overlap_faster(op, node.inputs[0].sample):
            algorithm = "overlap"
        return replace(node, op=replace(op, algorithm=algorithm)) if algorithm else node


def _winograd(op: Conv | ConvInputGrad | ConvWeightGrad, node: Node) -> str:
    """Return the form of Winograd's method that suits, "" for none."""
    if op.kernel_size != (3, 3) or op.stride != (1, 1) or op.dilation != (1, 1) or op.groups != 1:
        return ""
    if isinstance(op, ConvWeightGrad):
        x, dy = (v.sample for v in node.inputs)
        largest = LARGEST_GRADIENT
    else:
        x, dy = node.inputs[0].sample, node.output.sample
        largest = LARGEST
    channels = (x[2], dy[2])
    if min(channels) < LEAST or panel_width(dy[2]) < 16 or min(dy[:2]) < 4:
        return ""
    staged = 36 * 4 * x[2] * dy[2] > largest
    if staged and (any(c % 16 for c in channels) or dy[2] % panel_width(dy[2])):  # whole panels
        return ""
    return "winograd staged" if staged else "winograd"


def _is_overlap_faster(op: ConvInputGrad, dy: Shape) -> bool:
    """Whether windows that overlap cost less than a convolution of dy, with its halo, by the flipped filters.

    Both costs are lanes that tiles multiply, idle ones included; windows must be added up as well.
    """
    if op.stride != (1, 1) or op.dilation != (1, 1) or op.groups != 1:
        return False
    (h, w, c), (kh, kw) = op.input_shape, op.kernel_size
    pixels = overlap_pixels(dy[1])
    windows = kh * dy[2] * dy[0] * -(-dy[1] // pixels) * pixels * tile_cost(kw * c)
    return windows + ADDING * h * w * kw * -(-c // 8) < kh * dy[2] * h * w * kw * tile_cost(c)
