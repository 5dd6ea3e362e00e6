"""Two lists brought side by side: which entry of the one is which of the other, in order."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

MOST = 1000  # differences up to which a longest common subsequence is sought; the work grows with their square

T = TypeVar("T")
Pairs = list[tuple[int, int]]


def align(old: Sequence[T], new: Sequence[T], keys: Sequence[Callable[[T], Hashable]]) -> Pairs:
    """Return the places (in old, in new) of entries that belong together, both rising.

    ``keys`` go from strict to lax: each pairs, between the pairs of those before it, what has equal keys.
    """
    pairs: Pairs = []
    for key in keys:
        a, b = [key(x) for x in old], [key(x) for x in new]
        gaps = list(between(pairs, len(old), len(new)))
        for (i, i_end), (j, j_end) in gaps:
            pairs += [(i + x, j + y) for x, y in common(a[i:i_end], b[j:j_end])]
        pairs.sort()
    return pairs


def between(pairs: Pairs, n: int, m: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield the ranges of both lists that lie between neighbouring pairs, before the first and behind the last."""
    for (i, j), (i_end, j_end) in pairwise([(-1, -1), *pairs, (n, m)]):
        yield (i + 1, i_end), (j + 1, j_end)


def common(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs:
    """Return the places of a longest common subsequence; of a long one where very much differs.

    Of several as long, it is one that pairs what stands early: a repeat of five rounds instead of four has a fifth.
    """
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    inner = _longest(a[start:], b[start:])
    if inner is None:
        inner = _rising(a[start:], b[start:])
    return [*((i, i) for i in range(start)), *((start + i, start + j) for i, j in inner)]


def _longest(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs | None:
    """Return the places of a longest common subsequence; None where more than MOST entries have no partner.

    ``reach[k]`` is how far the paths of so many differences come on the diagonal k, where x - y = k (Myers 1986,
    "An O(ND) difference algorithm and its variations", section 2).
    """
    if not a or not b:
        return []
    n, m = len(a), len(b)
    reach, steps = {1: 0}, []
    for differences in range(min(n + m, MOST) + 1):
        steps.append(reach.copy())
        for k in range(-differences, differences + 1, 2):
            x = _next(reach, k, differences)
            y = x - k
            while x < n and y < m and a[x] == b[y]:
                x, y = x + 1, y + 1
            reach[k] = x
            if x >= n and y >= m:
                return _walked(steps, x, y)
    return None


def _next(reach: dict[int, int], k: int, differences: int) -> int:
    """Return where the diagonal k is entered: from above, or from the left, whichever is further on."""
    down = k == -differences or (k != differences and reach[k - 1] < reach[k + 1])
    return reach[k + 1] if down else reach[k - 1] + 1


def _walked(steps: list[dict[int, int]], x: int, y: int) -> Pairs:
    """Walk back from the end, and return the places where the way went along a diagonal."""
    pairs = []
    for differences, reach in reversed(list(enumerate(steps))):
        k = x - y
        begin = _next(reach, k, differences)
        while x > begin and x > 0 and y > 0:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        down = k == -differences or (k != differences and reach[k - 1] < reach[k + 1])
        x, y = (x, y - 1) if down else (x - 1, y)
    return pairs[::-1]


def _rising(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs:
    """Pair the first of each key with the first, the second with the second; return a longest rising part of it."""
    places = {key: j for j, key in enumerate(_numbered(b))}
    pairs = [(i, places[key]) for i, key in enumerate(_numbered(a)) if key in places]
    last: list[int] = []  # the smallest end of a rising part of each length
    ends: list[int] = []  # and which pair it is
    before = [-1] * len(pairs)
    for place, (_, j) in enumerate(pairs):
        length = bisect_left(last, j)
        before[place] = ends[length - 1] if length else -1
        last[length : length + 1] = [j]
        ends[length : length + 1] = [place]
    found, place = [], ends[-1] if ends else -1
    while place >= 0:
        found.append(pairs[place])
        place = before[place]
    return found[::-1]


def _numbered(keys: Sequence[Hashable]) -> Iterator[tuple[Hashable, int]]:
    """Yield each key with how often it stood before."""
    seen: Counter[Hashable] = Counter()
    for key in keys:
        yield key, seen[key]
        seen[key] += 1
