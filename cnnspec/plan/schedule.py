"""Calls -> segments: what may run without a barrier is put together, in an order that respects every dependence.

A batch call runs sample by sample, so it may follow another in the same segment even where it reads what that one
writes. A block call sees the whole batch: whatever it needs must have been finished by a barrier. Those whose blocks
all read the same large memory take turns.
"""

from __future__ import annotations

from collections.abc import Sequence

from .plan import BATCH, BATCHED, CACHE_BYTES, KEPT, PARAM, PARTIAL, SHARED, KernelCall, Segment

MUCH = 4  # times: how much smaller images must be for a cut


def schedule(calls: Sequence[KernelCall]) -> list[Segment]:
    """Return the calls as segments: block calls as soon as they can run, else batch calls as far as they can go."""
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
    """Return the segments, those of samples cut where images become much smaller (or larger) for good.

    A segment takes as many samples at a time as its largest image allows. Behind the last large one, more samples go
    together: filters are then read less often, and few rows of a tile stay idle. ``samples``: of one shard.
    """
    return [part for s in segments for part in (_parts(s, samples) if s.domain == BATCH else [s])]


def _parts(segment: Segment, samples: int) -> list[Segment]:
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
    """Return for each call the earlier calls that must come before it: one of the two writes what both touch."""
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
    """Return the calls of a domain that can run now. Batch calls and single blocks may follow each other.

    At most one call of a segment has blocks that all read the same buffer larger than a cache: two such calls in turn
    would evict each other's data between blocks.
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
    """Whether each block reads something, the same for all, that no cache of a core holds."""
    return any(not o.write and not o.block and o.buffer.nbytes > CACHE_BYTES for o in call.operands)


def _mark_prepare(segments: list[Segment]) -> None:
    """Mark segments whose calls depend on parameters alone, or clear what stays clear: inference runs them once."""
    fixed: set[str] = set()
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
