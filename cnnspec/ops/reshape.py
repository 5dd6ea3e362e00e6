"""Layers that move numbers without changing them: flatten and identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Op, Shape, attr, layer, op

if TYPE_CHECKING:
    from ..ir.graph import Builder, Node, Value


@layer("flatten")
class Flatten(Op):
    """Read an image row by row, pixel by pixel, channel by channel, as one flat vector of H*W*C numbers."""

    def infer(self, x: Shape) -> Shape:
        n = 1
        for d in x:
            n *= d
        return (n,)

    def vjp(self, b: Builder, node: Node, *dys: Value | None) -> list[Value | None]:
        assert dys[0] is not None
        return [b.add(Reshape(node.inputs[0].sample), dys[0])]


@op("reshape")
class Reshape(Op):
    """The same numbers under another shape."""

    shape: Shape = attr("size")

    def infer(self, x: Shape) -> Shape:
        return self.shape


@layer("identity")
class Identity(Op):
    """The input itself: the short way in ``concat``, ``multiply`` and ``add``."""

    def infer(self, x: Shape) -> Shape:
        return x

    def build(self, b: Builder, xs: object, params: object, training: bool) -> Value:
        return xs[0]  # type: ignore[index]
