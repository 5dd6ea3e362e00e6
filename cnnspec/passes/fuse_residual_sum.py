"""Sums of residual blocks: added where batch norm makes one of the terms, instead of in a sweep of their own."""

from __future__ import annotations

from typing import ClassVar

from ..ir.graph import Graph
from ..ops.activation import BOUNDS
from ..ops.norm import Normalize
from .residual import sum_where_made


class FuseResidualSum:
    """add of a normalize and one other value -> normalize with ``plus``, which takes over the add's activation.

    The same multiply-add, sum and bounds, so no bit differs; but the normalised image, which nothing else reads, never
    goes through memory. Gradients read the normalize's input and the sum, which both remain. Valid where
    :func:`sum_where_made` says, and the activation of the add only keeps numbers between bounds.
    """

    name: ClassVar[str] = "fuse-residual-sum"
    after: ClassVar[tuple[str, ...]] = ("recompute",)  # whose second computation has no sum

    def run(self, graph: Graph) -> Graph:
        return sum_where_made(graph, lambda op: type(op) is Normalize, ("", *BOUNDS))
