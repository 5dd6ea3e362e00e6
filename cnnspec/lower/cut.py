"""One image on several threads: calls cut into blocks of output rows, of panels of output channels, or of channels.

The blocks depend on the call alone, never on the threads, so the bits of a result do not either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..plan.plan import Operand

MOST = 8  # blocks
WORTH = 2.0  # least microseconds of a block: what a barrier costs


def worthwhile(flops: int, speed: int) -> int:
    """Return the most blocks that so many operations are worth, at so many GFLOP/s."""
    return min(MOST, max(1, int(flops / (1000 * speed * WORTH))))


@dataclass(frozen=True)
class Cut:
    """How a call may be cut.

    Attributes
    ----------
    place : which argument counts the rows (or channels) that are shared out.
    size : that argument.
    unit : rows that must stay together.
    steps : for each operand, elements from one row to the next; 0 for what all blocks share.
    speed : GFLOP/s that the kernel reaches, roughly.
    """

    place: int
    size: int
    unit: int
    steps: tuple[int, ...]
    speed: int = 100

    def blocks(self, flops: int) -> int:
        """Return into how many equal blocks a call of so many operations is cut; 1 where it is not worth it."""
        units, rest = divmod(self.size, self.unit)
        if rest:
            return 1
        return max(b for b in range(1, worthwhile(flops, self.speed) + 1) if units % b == 0)

    def shorten(self, args: Sequence[int | float], blocks: int) -> list[int | float]:
        """Return the arguments of one block."""
        return [*args[: self.place], self.size // blocks, *args[self.place + 1 :]]

    def apply(self, operands: Sequence[Operand], blocks: int) -> list[Operand]:
        """Return the operands, each with its distance from block to block."""
        cut = []
        for o, step in zip(operands, (*self.steps, *[0] * len(operands)), strict=False):
            far = step * (self.size // blocks)
            cut.append(replace(o, block=far, extent=o.extent - far * (blocks - 1)) if far else o)
        return cut
