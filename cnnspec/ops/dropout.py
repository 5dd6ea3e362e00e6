"""Dropout: while training, numbers are put to zero at random."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.fields import attr
from ..ir.graph import Builder, Node, Value, layer, op
from .shapes import SameShape


@layer("dropout")
class Dropout(SameShape):
    """While training, put each number to zero with probability ``rate`` and divide the others by 1 - rate.

    The numbers are chosen by a function of seed, epoch, sample and layer alone, so any run can be replayed. In
    inference dropout does nothing. Srivastava et al. 2014.
    """

    rate: float = attr(
        "float", "share of numbers put to zero, in [0, 1)", positional=True, default=0.5, min=0, max=0.999
    )

    def build(self, b: Builder, xs: Sequence[Value], params: Sequence[Value], training: bool) -> Value:
        if not training or self.rate == 0:
            return xs[0]
        b.randoms += 1
        return b.add(RandomDrop(self.rate, b.randoms), xs[0], b.keys)


@op("random_drop")
class RandomDrop(SameShape):
    """x, keys [N, 1] -> x with a share of its numbers at zero; a sample's mask depends on its key and on ``stream``.

    The op is linear in x, so its gradient applies the same mask to dy.
    """

    rate: float = attr("float")
    stream: int = attr("int")

    def vjp(self, b: Builder, node: Node, dy: Value) -> list[Value | None]:
        return [b.add(self, dy, node.inputs[1]), None]
