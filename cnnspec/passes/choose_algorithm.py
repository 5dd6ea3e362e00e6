"""Choice of algorithm: direct or Winograd for convolutions and gradients, or windows added up for input gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..ir.fields import Shape
from ..ir.graph import Graph, Node
from ..layouts import overlap_pixels, panel_width, tile_cost
from ..ops.conv import Conv, ConvInputGrad, ConvWeightGrad

# Largest transformed filters [bytes] that stay in the second-level cache beside the tiles. The weight gradient has a
# copy of them for each shard, so its limit is lower. Larger filters run in stages: first all tiles are transformed,
# then each panel of output channels is multiplied. The kernels in stages need whole vectors of channels and whole
# panels of output channels. Other large convolutions stay direct.
MOST_BYTES, MOST_BYTES_GRADIENT = 4_800_000, 1_200_000
LEAST_CHANNELS = 12  # of input and of output
ADDING_COST = 96  # cost of adding one vector of a window [lanes multiplied]; measured: 64 to 100


class ChooseAlgorithm:
    """conv, conv_input_grad and conv_weight_grad -> the same op with ``algorithm`` set to another value than direct.

    ``winograd``: F(4x4, 3x3), Lavin & Gray 2016. Valid for 3x3 filters of stride 1, no dilation and no groups. Equal up
    to rounding: the relative error is about 2e-6, and 1e-6 for the direct method. Gain: a quarter of the
    multiplications. The transforms cost the same for each channel, so fewer than 12 channels of input or output
    stay direct (measured, benchmarks/NOTES.md), and so do outputs under 4x4 pixels or narrow panels of filters.

    ``winograd staged``: the same where the transformed filters exceed the second-level cache.

    ``overlap``: of input gradients only. Each pixel of dy [N, H, W, C_out] makes a window of dx, and overlapping
    windows are added. Valid for stride 1, no dilation and no groups. Equal up to rounding. Gain: no multiplications by
    the zeros of a halo around dy, and vectors filled by (column of the filter, input channel): for few input channels.
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
    """Return ``winograd`` or ``winograd staged``, or "" where the direct method is kept."""
    if op.kernel_size != (3, 3) or op.stride != (1, 1) or op.dilation != (1, 1) or op.groups != 1:
        return ""
    if isinstance(op, ConvWeightGrad):
        x, dy = (v.sample for v in node.inputs)
        most = MOST_BYTES_GRADIENT
    else:
        x, dy = node.inputs[0].sample, node.output.sample
        most = MOST_BYTES
    channels = (x[2], dy[2])
    if min(channels) < LEAST_CHANNELS or panel_width(dy[2]) < 16 or min(dy[:2]) < 4:
        return ""
    staged = 36 * 4 * x[2] * dy[2] > most  # 36 floats of 4 bytes for each pair of channels
    if staged and (any(c % 16 for c in channels) or dy[2] % panel_width(dy[2])):  # whole panels
        return ""
    return "winograd staged" if staged else "winograd"


def _is_overlap_faster(op: ConvInputGrad, dy: Shape) -> bool:
    """Whether adding overlapping windows of dx costs less than a direct convolution of dy [H, W, C_out] with its halo.

    Both costs are counted in lanes of vectors that tiles multiply, unused lanes included. Windows also cost their sums.
    """
    if op.stride != (1, 1) or op.dilation != (1, 1) or op.groups != 1:
        return False
    (h, w, c), (kh, kw) = op.input_shape, op.kernel_size
    pixels = overlap_pixels(dy[1])
    windows = kh * dy[2] * dy[0] * -(-dy[1] // pixels) * pixels * tile_cost(kw * c)
    return windows + ADDING_COST * h * w * kw * -(-c // 8) < kh * dy[2] * h * w * kw * tile_cost(c)
