"""Kernel calls -> segments, in an order that respects every dependence. Between segments is a barrier of all threads.

Call B depends on an earlier call A where one of the two writes a buffer that the other reads or writes. A batch call
works on the samples of one shard. A batch call B may therefore share the segment of a batch call A that it depends on:
the thread of a shard runs A, then B. A block call reads the whole batch, so all calls that it depends on must be in
earlier segments. Calls of a segment have the same domain (plan.py): BATCH, WIDE, or a number of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

from .plan import BATCH, BATCHED, CACHE_BYTES, KEPT, PARAM, PARTIAL, SHARED, KernelCall, Segment

MUCH = 4  # a segment is cut where its images become MUCH times smaller or larger, in bytes


def schedule(calls: Sequence[KernelCall]) -> list[Segment]:
    """Return all calls as segments, chosen greedily.

    While a block call is ready, the next segment has the ready block calls of its domain. Otherwise it has batch calls,
    as many as can follow each other without a block call in between.
    """
    after = dependences(calls)
    left = list(range(len(calls)))
    done: set[int] = set()
    segments: list[Segment] = []
    while left:
        ready = [i for i in left if after[i] <= done]
        blocks = [i for i in ready if calls[i].domain > BATCH]
        picked = _pick(calls, after, left, done, calls[(blocks or ready)[0]].domain)
        segments.append(Segment(calls[picked[0]].domain, [calls[i] for i in picked]))
        done.update(picked)
        left = [i for i in left if i not in done]
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
    sizes = [max((o.buffer.nbytes for o in c.operands if o.buffer.kind == BATCHED), default=0) for c in segment.calls]
    kept = [{o.buffer.name for o in c.operands if o.buffer.kind == KEPT} for c in segment.calls]
    cuts, start = [0], 0
    for i in range(1, len(sizes)):
        if set().union(*kept[:i]) & set().union(*kept[i:]):
            continue
        before, behind = max(sizes[start:i]), max(sizes[i:])
        grows, shrinks = max(sizes[:i]) * MUCH <= sizes[i], behind * MUCH <= before
        if (grows or shrinks) and CACHE_BYTES // (2 * max(before, behind, 1)) < samples:
            cuts.append(i)
            start = i
    ends = [*cuts[1:], len(sizes)]
    return [Segment(BATCH, segment.calls[a:b]) for a, b in zip(cuts, ends, strict=True)]


def dependences(calls: Sequence[KernelCall]) -> list[set[int]]:
    """Return for each call the indices of the earlier calls that it depends on.

    Two calls depend on each other where one writes a buffer that the other reads, writes or waits for.
    """
    writers: dict[str, list[int]] = {}
    readers: dict[str, list[int]] = {}
    after: list[set[int]] = []
    for i, call in enumerate(calls):
        before: set[int] = set()
        for b in call.reads:
            before.update(writers.get(b.name, ()))
        for b in call.writes:
            before.update(writers.get(b.name, ()))
            before.update(readers.get(b.name, ()))
        before.discard(i)
        after.append(before)
        for b in call.reads:
            readers.setdefault(b.name, []).append(i)
        for b in call.writes:
            writers.setdefault(b.name, []).append(i)
    return after


def _pick(
    calls: Sequence[KernelCall], after: Sequence[set[int]], left: Sequence[int], done: set[int], domain: int
) -> list[int]:
    """Return the calls of one domain for the next segment, as indices out of ``left``.

    ``done``: the calls of all earlier segments. Batch calls, and block calls of a single block, may depend on calls
    picked before them. Other block calls depend on ``done`` alone. At most one call of a segment streams (_streams): a
    second one would evict from the cache the data that the next block of the first reads again.
    """
    chained = domain <= 1
    now = set(done)
    picked: list[int] = []
    for i in left:
        crowds = not chained and _streams(calls[i]) and any(_streams(calls[k]) for k in picked)
        if calls[i].domain != domain or crowds:
            continue
        if after[i] <= (now if chained else done):
            picked.append(i)
            now.add(i)
    return picked


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
