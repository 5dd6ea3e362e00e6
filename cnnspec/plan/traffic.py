"""Bytes that kernel calls must move, from the extents of their operands: the lower side of a roofline."""

from __future__ import annotations

from collections.abc import Iterable

from .plan import BATCH, BATCHED, GIVEN, ITEM, KEPT, LOCAL, PARTIAL, SCRATCH, SHARDS, Buffer, KernelCall, Operand


def traffic(calls: Iterable[KernelCall], samples: int) -> int:
    """Return the least bytes that calls move on ``samples`` samples: each byte is read once and written once.

    Each byte of a buffer counts once where any call reads it, and once where any writes it; the tiles that a kernel
    keeps for itself (scratch) do not count. Halos do, and so do pixels between those that a stride visits.
    """
    spans: dict[tuple[str, bool], tuple[Buffer, list[tuple[int, int]]]] = {}
    for call in calls:
        for o in call.operands:
            if o.buffer.kind not in (SCRATCH, KEPT):
                spans.setdefault((o.buffer.name, o.write), (o.buffer, []))[1].extend(_spans(call, o))
    return sum(_length(found) * ITEM[b.dtype] * _copies(b, samples) for b, found in spans.values())


def _spans(call: KernelCall, o: Operand) -> list[tuple[int, int]]:
    """The elements of one copy that an operand touches: one stretch, or one for each block."""
    blocks = call.domain if call.domain > BATCH and o.block else 1
    return [(o.offset + i * o.block, o.offset + i * o.block + o.extent) for i in range(blocks)]


def _length(spans: list[tuple[int, int]]) -> int:
    """How many elements lie in any of the stretches."""
    total = reached = 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _copies(b: Buffer, samples: int) -> int:
    return {BATCHED: samples, LOCAL: samples, GIVEN: samples, PARTIAL: SHARDS}.get(b.kind, 1)
