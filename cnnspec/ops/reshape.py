"""Layers that move numbers without changing them: flatten and identity."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..ir.fields import Shape, attr
from ..ir.graph import Builder, Node, Op, Value, layer, op
from .shapes import SameShape


@layer("flatten")
class Flatten(Op):
    """Read an image row by row, pixel by pixel, channel by channel, as one flat vector of H*W*C numbers."""

    def infer(self, x: Shape) -> Shape:
        return (math.prod(x),)

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        return [b.add(Reshape(node.inputs[0].sample), dy)]


@op("reshape")
class Reshape(Op):
    """The same numbers under another shape."""

    shape: Shape = attr("size")

    def infer(self, x: Shape) -> Shape:
        return self.shape


@layer("identity")
class Identity(SameShape):
    """The input itself: the short way in ``concat``, ``multiply`` and ``add``."""

    def build(self, b: Builder, xs: Sequence[Value], params: Sequence[Value], training: bool) -> Value:
        return xs[0]
