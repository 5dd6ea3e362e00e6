"""Lifetimes to offsets: every buffer gets a place, and places are shared by those that are never alive together.

A value that lives inside one batch segment needs room for a group of samples only, in the workspace of a thread; all
others lie in the arena. Offsets are found greedily, largest first, as in Pisarchyk & Lee 2020, "Efficient memory
management for deep neural net inference", section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    used: dict[str, Buffer] = {}
    spans: dict[str, tuple[int, int]] = {}
    position = 0
    for number, segment in enumerate(segments):
        for call in segment.calls:
            for operand in call.operands:
                b = operand.buffer
                if b.name not in used:
                    used[b.name] = b
                    b.first = position
                    spans[b.name] = (number, number)
                b.last = position
                spans[b.name] = (spans[b.name][0], number)
            position += 1
    bounds = _bounds(segments)
    for name, b in used.items():
        begin, end = spans[name]
        if b.kind == BATCHED and not b.pinned and begin == end and segments[begin].by_sample:
            b.kind = LOCAL
        elif b.kind not in (
            LOCAL,
            SCRATCH,
        ):  # shards run apart: a segment's buffers are all alive from its start to its end
            b.first, b.last = bounds[begin][0], bounds[end][1]
        if b.pinned or b.kind in (PARAM, STATE):
            b.first, b.last = 0, position
    return used


def _bounds(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    bounds, position = [], 0
    for segment in segments:
        bounds.append((position, position + len(segment.calls) - 1))
        position += len(segment.calls)
    return bounds


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
