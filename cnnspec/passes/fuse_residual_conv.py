"""Sums of residual blocks in inference: added on a convolution's way back from Winograd's tiles."""

from __future__ import annotations

from typing import ClassVar

from ..ir.graph import Graph
from ..ops.conv import Conv
from .residual import sum_where_made


class FuseResidualConv:
    """add of a convolution by Winograd and one other value -> the convolution with ``plus``, and the add's activation.

    The same sum, so no bit differs; what the convolution would have written is not written and read. Valid where
    :func:`sum_where_made` says. Gradients would need the convolution's output, which is why this is for inference.
    """

    name: ClassVar[str] = "fuse-residual-conv"
    after: ClassVar[tuple[str, ...]] = ("fuse-activation", "choose-algorithm")

    def run(self, graph: Graph) -> Graph:
        return sum_where_made(graph, lambda op: isinstance(op, Conv) and op.algorithm.startswith("winograd"))
