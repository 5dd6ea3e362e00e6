"""The proof that a plan touches only what is its own. A wrong offset would be a crash, so it runs before every plan."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from heapq import heappop, heappush

from ..abi import signature_of
from ..errors import InternalError
from .memory import copies
from .plan import (
    BATCHED,
    GIVEN,
    ITEM,
    KEPT,
    LOCAL,
    OF_THREAD,
    PARAM,
    PARTIAL,
    STATE,
    Buffer,
    KernelCall,
    Operand,
    Plan,
    Segment,
)
from .schedule import dependences

Faults = Iterator[str]


def verify_plan(plan: Plan) -> None:
    """Raise InternalError unless calls fit their kernels, operands lie inside their buffers, and order is kept."""
    for fault in _faults(plan):
        raise InternalError(f"invalid plan: {fault}; please report this")


def _faults(plan: Plan) -> Faults:
    for segment in plan.segments:
        for call in segment.calls:
            yield from _fits(plan, call)
            for operand in call.operands:
                yield from _inside(plan, segment, call, operand)
    yield from _evenly_spaced(plan)
    for kind, limit in ((LOCAL, plan.workspace), (PARAM, plan.parameters), (STATE, plan.states), ("", plan.arena)):
        group = [b for b in plan.buffers.values() if b.offset >= 0 and _memory(b) == kind]
        yield from _apart(plan, group, limit)
    yield from _kept_together(plan)
    yield from _ordered(plan)


def _memory(b: Buffer) -> str:
    """The memory a buffer lies in: workspace (as LOCAL), parameters, states, the caller's, or the arena (as "")."""
    return LOCAL if b.kind in OF_THREAD else b.kind if b.kind in (PARAM, STATE, GIVEN) else ""


def _fits(plan: Plan, call: KernelCall) -> Faults:
    """A call's operands and arguments have the names and kinds of its kernel's signature."""
    signature = signature_of(call.kernel)
    for what, expected, found in (
        ("operands", signature.operands, call.operands),
        ("arguments", signature.arguments, call.args),
    ):
        names, wanted = getattr(found, "_fields", ()), tuple(field.name for field in expected)
        if names != wanted:
            yield f"the {what} of {call.kernel} are {' '.join(names) or 'not named'}, not {' '.join(wanted)}"
    for field, o in zip(signature.operands, call.operands, strict=True):
        if o.write != field.write or o.buffer.dtype != (field.kind or plan.dtype):
            yield (
                f"{call.kernel} {'writes' if field.write else 'reads'} {field.name} as "
                f"{field.kind or plan.dtype}, and {o.buffer.name} of {o.buffer.dtype} is "
                f"{'written' if o.write else 'read'}"
            )
    for field, a in zip(signature.arguments, call.args, strict=True):
        if isinstance(a, float) != (field.kind == "float"):
            yield f"{field.name} of {call.kernel} is {field.kind or 'whole'}, not {a!r}"


def _inside(plan: Plan, segment: Segment, call: KernelCall, o: Operand) -> Faults:
    if o.buffer.offset < 0:
        yield f"{o.buffer.name} has no place in memory"
    end = o.offset + o.extent
    end += o.sample * (plan.batch - 1)
    if not segment.by_sample and (o.block or o.buffer.kind != PARTIAL):
        end += o.block * (segment.domain - 1)
    if o.offset < 0 or o.extent <= 0 or end > o.buffer.elements:
        yield (
            f"{call.kernel} of layer {call.layer or '-'} touches elements {o.offset} to {end} of "
            f"{o.buffer.name}, which has {o.buffer.elements}"
        )
    if o.sample and o.extent > o.sample + sum((count - 1) * far for count, far in o.repeats):
        yield f"pieces of a sample of {o.buffer.name} are missing"
    shared = o.buffer.kind not in (BATCHED, *OF_THREAD, PARTIAL) and not o.sample
    if segment.by_sample and o.write and shared:
        yield f"shards of {call.kernel} all write {o.buffer.name}"


def _evenly_spaced(plan: Plan) -> Faults:
    """Kernels step from sample to sample by the layout, the walker from group to group by the buffer."""
    for name, layout in plan.layouts.items():
        b = plan.buffers.get(name)
        if b and b.kind in (BATCHED, LOCAL) and layout.sample_stride * ITEM[b.dtype] != b.nbytes:
            yield (
                f"samples of {name} lie {b.nbytes} bytes apart, and kernels step {layout.sample_stride * ITEM[b.dtype]}"
            )


def _apart(plan: Plan, buffers: list[Buffer], limit: int) -> Faults:
    """In order of their first moments: those alive are disjoint, so the next one need miss its neighbours only."""
    groups: dict[str, int] = {}  # most samples of a group that touch a local buffer
    for segment in plan.segments:
        for o in (o for call in segment.calls for o in call.operands if o.buffer.kind == LOCAL):
            groups[o.buffer.name] = max(segment.group, groups.get(o.buffer.name, 0))
    alive: list[tuple[int, int, str]] = []  # start, end, name, in order
    ends: list[tuple[int, tuple[int, int, str]]] = []  # a heap: last moment of each that is alive
    for b in sorted(buffers, key=lambda b: b.first):
        number = groups[b.name] if b.kind == LOCAL else copies(b, plan.batch)
        span = b.offset, b.offset + b.nbytes * number, b.name
        if b.offset % 64 or span[1] > limit or b.elements * ITEM[b.dtype] > b.nbytes:
            yield f"{b.name} ends at byte {span[1]} of {limit}"
        while ends and ends[0][0] < b.first:
            old = heappop(ends)[1]
            del alive[bisect_left(alive, old)]
        at = bisect_left(alive, span)
        for start, end, other in alive[max(0, at - 1) : at + 1]:
            if span[0] < end and start < span[1]:
                yield f"{b.name} and {other} are alive and overlap"
        alive.insert(at, span)
        heappush(ends, (b.last, span))


def _kept_together(plan: Plan) -> Faults:
    """What a thread keeps for one shard must not be needed by two segments: another thread may run the second."""
    segments: dict[str, int] = {}
    for number, segment in enumerate(plan.segments):
        for b in (o.buffer for call in segment.calls for o in call.operands if o.buffer.kind == KEPT):
            if segments.setdefault(b.name, number) != number:
                yield f"{b.name} is kept from one segment to another"


def _ordered(plan: Plan) -> Faults:
    """Nothing may be read before it is made, and blocks of one segment must not depend on each other.

    A single block runs in order, so its calls may.
    """
    made = {b.name for b in plan.inputs.values()}
    made |= {b.name for b in plan.buffers.values() if b.kind in (PARAM, GIVEN)}
    for segment in plan.segments:
        for call in segment.calls:
            for b in call.reads:
                if b.name not in made:
                    yield f"{call.kernel} reads {b.name} before it is made"
            made.update(b.name for b in call.writes)
        if segment.domain > 1:
            for call, before in zip(segment.calls, dependences(segment.calls), strict=True):
                if before:
                    yield f"{call.kernel} needs a barrier before it"
