"""One image on several threads: calls cut into blocks of output rows, of panels of output channels, or of channels.

The blocks depend on the call alone, never on the threads, so the bits of a result do not either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..plan.plan import Operand

MOST = 8  # blocks
WORTH = 2.0  # least microseconds of a block: what a barrier costs


def worthwhile(flops: int, speed: int) -> int:
    """Return the most blocks that ``flops`` operations are worth, at ``speed`` GFLOP/s."""
    return min(MOST, max(1, int(flops / (1000 * speed * WORTH))))


@dataclass(frozen=True)
class Cut:
    """How a call may be cut.

    Attributes
    ----------
    argument : name of the argument that counts the rows (or channels) that are shared out.
    size : that argument.
    unit : rows that must stay together.
    steps : by operand, elements from one row to the next; operands that are not named are shared by all blocks.
    speed : GFLOP/s that the kernel reaches, roughly.
    """

    argument: str
    size: int
    unit: int
    steps: Mapping[str, int]
    speed: int = 100

    def blocks(self, flops: int) -> int:
        """Return into how many equal blocks a call of ``flops`` operations is cut; 1 where none is worth it."""
        units, rest = divmod(self.size, self.unit)
        if rest:
            return 1
        return max(b for b in range(1, worthwhile(flops, self.speed) + 1) if units % b == 0)

    def shorten(self, args: Mapping[str, int | float], blocks: int) -> dict[str, int | float]:
        """Return the arguments of one block."""
        return {**args, self.argument: self.size // blocks}

    def apply(self, operands: Mapping[str, Operand], blocks: int) -> dict[str, Operand]:
        """Return the operands, each with its distance from block to block."""
        cut = dict(operands)
        for name, step in self.steps.items():
            far, o = step * (self.size // blocks), operands[name]
            if far:
                cut[name] = replace(o, block=far, extent=o.extent - far * (blocks - 1))
        return cut
