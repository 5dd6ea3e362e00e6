"""Kernel calls -> segments, in an order that respects every dependence. Between segments is a barrier of all threads.

Call B depends on an earlier call A where one of the two writes a buffer that the other reads or writes. A batch call
works on the samples of one shard. A batch call B may therefore share the segment of a batch call A that it depends on:
the thread of a shard runs A, then B. A block call reads the whole batch, so all calls that it depends on must be in
earlier segments. Calls of a segment have the same domain (plan.py): BATCH, WIDE, or a number of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import accumulate

from .plan import BATCH, BATCHED, CACHE_BYTES, KEPT, PARAM, PARTIAL, SHARED, KernelCall, Segment

MUCH = 4  # a segment is cut where its images become MUCH times smaller or larger, in bytes


def schedule(calls: Sequence[KernelCall]) -> list[Segment]:
    """Return all calls as segments, chosen greedily.

    While a block call is ready, the next segment has the ready block calls of its domain. Otherwise it has batch calls,
    as many as can follow each other without a block call in between. At most one call of a segment streams (_streams):
    a second one would evict from the cache the data that the next block of the first reads again.
    """
    waiting: list[int] = []  # for each call, how many that it depends on are not yet in a segment
    followers: list[list[int]] = [[] for _ in calls]
    ready: dict[int, list[int]] = {}  # domain -> heap of the calls that wait for no other
    for i, before in enumerate(dependences(calls)):
        waiting.append(len(before))
        for k in before:
            followers[k].append(i)
        if not before:
            heappush(ready.setdefault(calls[i].domain, []), i)

    def release(i: int) -> None:
        for follower in followers[i]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heappush(ready.setdefault(calls[follower].domain, []), follower)

    segments: list[Segment] = []
    while ready:
        domain = min(ready, key=lambda d: (d <= BATCH, ready[d][0]))
        chained = domain <= 1  # the calls may depend on each other: batch calls, and block calls of a single block
        picked: list[int] = []
        crowded: list[int] = []
        streaming = False
        heap = ready[domain]
        while heap:
            i = heappop(heap)
            streams = not chained and _streams(calls[i])
            if streams and streaming:
                crowded.append(i)
                continue
            streaming |= streams
            picked.append(i)
            if chained:
                release(i)
        del ready[domain]
        if crowded:
            ready[domain] = crowded
        if not chained:
            for i in picked:
                release(i)
        segments.append(Segment(domain, [calls[i] for i in picked]))
    _mark_prepare(segments)
    return segments


def cut_by_size(segments: Sequence[Segment], samples: int) -> list[Segment]:
    """Return the segments, with batch segments cut where the images of all later calls are MUCH smaller.

    A group has as many samples as the largest image of its segment allows. Calls on smaller images gain from a segment
    of their own: with more samples in a group, filters are read less often, and fewer rows of a tile are idle. A
    segment is also cut in front of an image MUCH larger than all before it. ``samples``: the samples of one shard; a
    cut is made only where a group of the larger images has fewer.
    """
    return [part for s in segments for part in (_parts(s, samples) if s.domain == BATCH else [s])]


def _parts(segment: Segment, samples: int) -> list[Segment]:
    """Return the batch segment cut into segments; calls that share a KEPT buffer stay in the same one."""
    calls = segment.calls
    sizes = [max((o.buffer.nbytes for o in c.operands if o.buffer.kind == BATCHED), default=0) for c in calls]
    largest_from = list(accumulate(reversed(sizes), max))[::-1]
    last_use = {o.buffer.name: i for i, c in enumerate(calls) for o in c.operands if o.buffer.kind == KEPT}
    cuts = [0]
    largest = before = kept_to = 0  # the largest image so far, and since the last cut; the last call of what is kept
    for i, (call, size, behind) in enumerate(zip(calls, sizes, largest_from, strict=True)):
        grows, shrinks = largest * MUCH <= size, behind * MUCH <= before
        few = CACHE_BYTES // (2 * max(before, behind, 1)) < samples
        if i and i > kept_to and (grows or shrinks) and few:
            cuts.append(i)
            before = 0
        largest, before = max(largest, size), max(before, size)
        kept_to = max([kept_to, *(last_use.get(o.buffer.name, 0) for o in call.operands)])
    ends = [*cuts[1:], len(sizes)]
    return [Segment(BATCH, calls[a:b]) for a, b in zip(cuts, ends, strict=True)]


def dependences(calls: Sequence[KernelCall]) -> list[set[int]]:
    """Return for each call the indices of earlier calls that it depends on.

    Two calls depend on each other where one writes a buffer that the other reads, writes or waits for. Left out are
    calls that another one in the set depends on: all before the last that writes the buffer.
    """
    writer: dict[str, int] = {}
    readers: dict[str, list[int]] = {}  # since the last writer
    after: list[set[int]] = []
    for i, call in enumerate(calls):
        read, written = [b.name for b in call.reads], [b.name for b in call.writes]
        before = {writer[name] for name in (*read, *written) if name in writer}
        for name in read:
            readers.setdefault(name, []).append(i)
        for name in written:
            before.update(readers.pop(name, ()))
            writer[name] = i
        before.discard(i)
        after.append(before)
    return after


def _streams(call: KernelCall) -> bool:
    """Whether all blocks of a call read the same buffer, and it is larger than CACHE_BYTES."""
    return any(not o.write and not o.block and o.buffer.nbytes > CACHE_BYTES for o in call.operands)


def _mark_prepare(segments: list[Segment]) -> None:
    """Mark the block segments that inference runs once: all their calls depend on parameters alone.

    Each call writes shared or partial buffers, or clears the halo of an image, which stays zero.
    """
    fixed: set[str] = set()  # names of buffers that depend on parameters alone
    for segment in segments:
        if segment.by_sample:
            continue
        touched = [b for c in segment.calls for b in c.reads]
        written = [b for c in segment.calls for b in c.writes]
        names = {b.name for b in written}
        if all(b.kind == PARAM or b.name in fixed or b.name in names for b in touched) and all(
            b.kind in (SHARED, PARTIAL)
            for c in segment.calls
            for b in c.writes
            if not c.kernel.startswith("clear_halo")
        ):
            segment.prepare = True
            fixed |= {b.name for b in written if b.kind in (SHARED, PARTIAL)}
