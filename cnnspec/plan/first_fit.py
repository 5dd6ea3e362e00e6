"""First fit: the lowest place for bytes that are in use for some time, above and below bytes that are in use then.

A segment tree over time. Each node has the bytes in use, as runs that are merged where they touch, so that a pile of a
thousand buffers is one run. A request reads two lists of O(log T) nodes instead of all buffers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator


class Runs:
    """Disjoint runs of bytes in order, none touching another."""

    __slots__ = ("ends", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Add a run, merged with those that it touches or overlaps."""
        i, j = bisect_left(self.ends, start), bisect_right(self.starts, end)
        if i < j:
            start, end = min(start, self.starts[i]), max(end, self.ends[j - 1])
        self.starts[i:j], self.ends[i:j] = (start,), (end,)

    def fit(self, start: int, size: int) -> int:
        """Return the lowest place at or above ``start`` that has ``size`` bytes free."""
        i = bisect_right(self.ends, start)
        while i < len(self.starts) and self.starts[i] < start + size:
            start = self.ends[i]
            i += 1
        return start


class Room:
    """Memory in use over time.

    Parameters
    ----------
    times : the first and last moments of all lives to come.
    """

    def __init__(self, times: Iterable[int]) -> None:
        self._rank = {time: rank for rank, time in enumerate(sorted(set(times)))}
        self._leaves = len(self._rank)
        self._inside: defaultdict[int, Runs] = defaultdict(Runs)  # node -> what is in use at any of its moments
        self._all_along: defaultdict[int, Runs] = defaultdict(Runs)  # taken for all its moments, not for its parent's

    def take(self, size: int, first: int, last: int) -> int:
        """Return the lowest place with ``size`` bytes free from moment ``first`` to ``last``; they are in use then."""
        nodes = list(self._cover(first, last))
        above = {node >> k for node in nodes for k in range(1, node.bit_length())}
        rivals = [self._inside[n] for n in nodes if n in self._inside]
        rivals += [self._all_along[n] for n in above if n in self._all_along]
        place, known = 0, -1
        while place != known:
            known = place
            for runs in rivals:
                place = runs.fit(place, size)
        for n in nodes:
            self._all_along[n].add(place, place + size)
        for n in above.union(nodes):
            self._inside[n].add(place, place + size)
        return place

    def _cover(self, first: int, last: int) -> Iterator[int]:
        """Yield the fewest nodes that have all moments from first to last, and no others. Node n has 2n and 2n + 1."""
        low, high = self._rank[first] + self._leaves, self._rank[last] + self._leaves + 1
        while low < high:
            if low & 1:
                yield low
                low += 1
            if high & 1:
                high -= 1
                yield high
            low, high = low >> 1, high >> 1
