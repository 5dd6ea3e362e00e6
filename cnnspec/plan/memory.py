"""Lifetimes to offsets: every buffer gets a place, and places are shared by those that are never alive together.

A value that lives inside one batch segment needs room for a group of samples only, in the workspace of a thread; all
others lie in the arena. Offsets are found greedily, largest first, as in Pisarchyk & Lee 2020, "Efficient memory
management for deep neural net inference", section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from .first_fit import Room
from .plan import (
    BATCHED,
    CACHE_BYTES,
    GIVEN,
    KEPT,
    LOCAL,
    OF_THREAD,
    PARAM,
    PARTIAL,
    SCRATCH,
    SHARDS,
    STATE,
    WIDE,
    Buffer,
    Segment,
)


def find_lifetimes(segments: Sequence[Segment]) -> dict[str, Buffer]:
    """Set ``first`` and ``last`` of each buffer to positions in the schedule, and return those that are used."""
    starts = list(accumulate((len(s.calls) for s in segments), initial=0))
    used: dict[str, Buffer] = {}
    begins: dict[str, int] = {}  # name -> the first segment that touches it
    ends: dict[str, int] = {}
    for number, segment in enumerate(segments):
        for position, call in enumerate(segment.calls, starts[number]):
            for b in (o.buffer for o in call.operands):
                if b.name not in used:
                    used[b.name], begins[b.name], b.first = b, number, position
                ends[b.name], b.last = number, position
    for name, b in used.items():
        begin, end = begins[name], ends[name]
        if b.pinned or b.kind in (PARAM, STATE):
            b.first, b.last = 0, starts[-1]
        elif b.kind == BATCHED and begin == end and segments[begin].by_sample:
            b.kind = LOCAL
        elif b.kind not in (LOCAL, SCRATCH):  # shards run apart: alive from the start of a segment to its end
            b.first, b.last = starts[begin], starts[end + 1] - 1
    return used


def copies(b: Buffer, batch: int) -> int:
    """How many copies of a buffer the arena holds."""
    return {BATCHED: batch, PARTIAL: SHARDS}.get(b.kind, 1)


def place_arena(buffers: Sequence[Buffer], batch: int, keep: set[str]) -> int:
    """Give offsets to all that lies in the arena; return its bytes. ``keep``: never share these."""
    placed = [b for b in buffers if b.kind not in (*OF_THREAD, PARAM, STATE, GIVEN)]
    end = max((b.last for b in placed), default=0)
    items = []
    for b in placed:
        first, last = (0, end) if b.name in keep else (b.first, b.last)
        items.append((b.nbytes * copies(b, batch), first, last, b))
    return _place(items)


def place_locals(segments: Sequence[Segment], batch: int) -> int:
    """Choose the group of each batch segment, give offsets to its locals; return bytes of a thread's workspace."""
    workspace = 0
    for segment in segments:
        touched = {o.buffer.name: o.buffer for c in segment.calls for o in c.operands}
        if not segment.by_sample:
            items = [(b.nbytes, b.first, b.last, b) for b in touched.values() if b.kind == SCRATCH]
            workspace = max(workspace, _place(items))
            continue
        local = [b for b in touched.values() if b.kind == LOCAL]
        alive = _place([(b.nbytes, b.first, b.last, b) for b in local])
        streamed = sum(b.nbytes for b in touched.values() if b.kind == BATCHED)
        per_sample = max(1, alive + streamed // max(1, len(segment.calls)) * 2)
        samples = -(-batch // SHARDS)
        segment.group = samples if segment.domain == WIDE else max(1, min(samples, CACHE_BYTES // per_sample))
        items = [(b.nbytes * segment.group, b.first, b.last, b) for b in local]
        items += [(b.nbytes, b.first, b.last, b) for b in touched.values() if b.kind in (SCRATCH, KEPT)]
        workspace = max(workspace, _place(items))
    return workspace


def _place(items: list[tuple[int, int, int, Buffer]]) -> int:
    """Set offsets, largest first, each at the lowest place free while it is alive; return the end of the last."""
    room = Room(time for _, first, last, _ in items for time in (first, last))
    total = 0
    for size, first, last, buffer in sorted(items, key=lambda item: (-item[0], item[1], item[3].name)):
        buffer.offset = room.take(size, first, last)
        total = max(total, buffer.offset + size)
    return total
