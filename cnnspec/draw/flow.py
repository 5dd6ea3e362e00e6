"""The structure of a picture: what stands below each other, what side by side, and which edges run beside.

A net is nearly a chain. Boxes and frames stand below each other in the order of the picture, on one axis. The branches
of a join stand side by side where nothing else enters or leaves them. All other edges run in lanes beside the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .picture import Frame, Picture


@dataclass
class Chain:
    """Parts below each other on one axis: numbers of boxes, frames, branches. ``entry`` is the box read from above.

    ``lanes`` are edges that run beside it, from a box of it, or from its entry, to a box of it.
    """

    first: int
    stop: int
    entry: int
    parts: list[Part] = field(default_factory=list)
    lanes: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Framed:
    """A chain in a frame."""

    frame: Frame
    chain: Chain


@dataclass
class Branches:
    """Chains side by side, all of which read ``entry`` and end in the box ``join``."""

    entry: int
    join: int
    chains: list[Chain]


Part = int | Framed | Branches


def flow_of(picture: Picture) -> Chain:
    """Return the structure of a picture, all its edges placed."""
    return _Flow(picture).whole()


class _Flow:
    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        n = len(picture.boxes)
        self.inputs: list[list[int]] = [[] for _ in range(n)]
        self.readers: list[list[int]] = [[] for _ in range(n)]
        for source, target in picture.edges:
            self.inputs[target].append(source)
            self.readers[source].append(target)
        self.fork = self.dominators()
        self.drawn: set[tuple[int, int]] = set()  # edges that need no lane
        self.home: list[Chain] = [None] * n  # type: ignore[list-item]
        self.around: dict[int, Chain] = {}  # by id of a chain: the one that holds it

    def dominators(self) -> list[int]:
        """Return for each box the last one before it that all ways from the input lead through.

        Cooper, Harvey & Kennedy 2001, "A simple, fast dominance algorithm"; one sweep, as boxes stand in order.
        """
        found = [0] * len(self.inputs)
        for box, sources in enumerate(self.inputs):
            if not sources:
                continue
            meet = sources[0]
            for other in sources[1:]:
                while meet != other:
                    if meet > other:
                        meet = found[meet]
                    else:
                        other = found[other]
            found[box] = meet
        return found

    def whole(self) -> Chain:
        root = self.picture.root
        chain = self.chain(root, root.parts, root.first, root.stop, -1)
        for edge in self.picture.edges:
            if edge not in self.drawn:
                self.lane(*edge)
        return chain

    def chain(self, frame: Frame, parts: Sequence[int | Frame], first: int, stop: int, entry: int) -> Chain:
        """Return the chain of some parts of a frame, which hold the boxes ``first`` to ``stop - 1``."""
        made = Chain(first, stop, entry)
        place = {_first(part): i for i, part in enumerate(parts)}
        at = len(parts)
        found: list[Part] = []
        while at:
            at -= 1
            part = parts[at]
            if isinstance(part, Frame):
                inner = self.chain(
                    part, part.parts, part.first, part.stop, part.first - 1 if part.first > first else entry
                )
                self.around[id(inner)] = made
                found.append(Framed(part, inner))
                continue
            found.append(part)
            self.home[part] = made
            branches = self.branches(frame, parts, place, made, at)
            if branches is not None:
                side, at = branches
                for each in side.chains:
                    self.around[id(each)] = made
                found.append(side)
        made.parts = found[::-1]
        self.straight(made)
        return made

    def branches(
        self, frame: Frame, parts: Sequence[int | Frame], place: dict[int, int], chain: Chain, at: int
    ) -> tuple[Branches, int] | None:
        """Return the branches of the join ``parts[at]``, and the place of their first part; None where it has none."""
        join = parts[at]
        assert isinstance(join, int)
        fork = self.fork[join]
        if len(self.inputs[join]) < 2 or (fork < chain.first and fork != chain.entry):
            return None
        start = max(fork + 1, chain.first)
        ends = sorted(end for end in self.inputs[join] if end >= start)
        if len(ends) < 2 or ends[-1] != join - 1:
            return None
        begins = [start, *(end + 1 for end in ends[:-1])]
        if any(begin not in place for begin in begins):
            return None  # a frame lies across
        for begin, end in zip(begins, ends, strict=True):
            if not self.is_closed(begin, end, fork, join):
                return None
        chains = []
        places = [place[begin] for begin in begins]
        for begin, end, i, j in zip(begins, ends, places, [*places[1:], at], strict=True):
            chains.append(self.chain(frame, parts[i:j], begin, end + 1, fork))
            self.drawn.update(((fork, begin), (end, join)))
        return Branches(fork, join, chains), places[0]

    def is_closed(self, begin: int, end: int, fork: int, join: int) -> bool:
        """Whether a branch reads the fork only, first with its first box, and only its end is read, by the join."""
        if fork not in self.inputs[begin] or self.readers[end] != [join]:
            return False
        for box in range(begin, end + 1):
            if any(source != fork and not begin <= source < box for source in self.inputs[box]):
                return False
            if box < end and any(reader > end for reader in self.readers[box]):
                return False
        return True

    def straight(self, chain: Chain) -> None:
        """Note the edges from one part of a chain to the next, which run on the axis."""
        before = chain.entry if chain.entry == chain.first - 1 else -1
        for part in chain.parts:
            if isinstance(part, Branches):
                before = -1
                continue
            if before >= 0:
                self.drawn.add((before, _first(part)))
            before = part if isinstance(part, int) else part.chain.stop - 1

    def lane(self, source: int, target: int) -> None:
        """Let an edge run beside the innermost chain that holds both its ends, or that it enters from above."""
        chain = self.home[target]
        while not (chain.first <= source or source == chain.entry):
            chain = self.around[id(chain)]
        chain.lanes.append((source, target))


def _first(part: int | Frame | Framed) -> int:
    """Return the number of the first box of a part."""
    return part if isinstance(part, int) else part.first if isinstance(part, Frame) else part.chain.first
