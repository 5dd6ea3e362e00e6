"""Scheduling: every call runs once, after what it needs, with a barrier where one is needed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.plan.plan import (
    BATCH,
    BATCHED,
    CACHE_BYTES,
    KEPT,
    PARAM,
    PARTIAL,
    SHARED,
    WIDE,
    Buffer,
    KernelCall,
    Operand,
    Segment,
)
from cnnspec.plan.schedule import cut_by_size, schedule

laws = settings(max_examples=200, derandomize=True, database=None)


@st.composite
def programs(draw: st.DrawFn) -> list[KernelCall]:
    """Draw calls that read and write a few buffers, in an order that is right as it stands."""
    kinds = st.sampled_from((BATCHED, SHARED, PARTIAL))
    sizes = st.sampled_from((8, CACHE_BYTES))  # elements: the second more than a cache holds
    buffers = [Buffer(f"b{i}", "f32", draw(sizes), draw(kinds)) for i in range(6)] + [Buffer("w", "f32", 8, PARAM)]
    calls = []
    for i in range(draw(st.integers(1, 14))):
        domain = draw(st.sampled_from((BATCH, BATCH, WIDE, 1, 8, 16)))
        reads = draw(st.lists(st.sampled_from(buffers), max_size=3))
        writable = [b for b in buffers if b.kind == BATCHED or (domain > 0 and b.kind != PARAM)] or buffers[:1]
        writes = draw(st.lists(st.sampled_from(writable), min_size=1, max_size=2))
        operands = [Operand(b, 0, 8) for b in reads] + [Operand(b, 0, 8, 0, True) for b in writes]
        waits = tuple(draw(st.lists(st.sampled_from(buffers), max_size=1)))
        calls.append(KernelCall(f"k{i}", tuple(operands), (), domain, waits=waits))
    return calls


def is_large(o: Operand) -> bool:
    return not o.write and o.buffer.nbytes > CACHE_BYTES


def conflict(earlier: KernelCall, later: KernelCall) -> bool:
    """Whether two calls must keep their order: one writes what the other touches, or waits for."""
    a_writes, b_writes = {b.name for b in earlier.writes}, {b.name for b in later.writes}
    a_touches = a_writes | {o.buffer.name for o in earlier.operands} | {b.name for b in earlier.waits}
    b_touches = b_writes | {o.buffer.name for o in later.operands} | {b.name for b in later.waits}
    return bool(a_writes & b_touches or b_writes & a_touches)


@laws
@given(programs())
def test_order_and_barriers(calls: list[KernelCall]) -> None:
    segments = schedule(calls)
    place = {c.kernel: (s, i) for s, segment in enumerate(segments) for i, c in enumerate(segment.calls)}
    assert len(place) == sum(len(s.calls) for s in segments) == len(calls), "each call once"
    for segment in segments:
        assert {c.domain for c in segment.calls} == {segment.domain}
        if segment.domain > 1:
            large = [c for c in segment.calls if any(is_large(o) for o in c.operands)]
            assert len(large) <= 1, "blocks that all read the same large memory take turns"
    for j, later in enumerate(calls):
        for earlier in calls[:j]:
            if conflict(earlier, later):
                assert place[earlier.kernel] < place[later.kernel], (earlier.kernel, later.kernel)
                if later.domain > 1:
                    assert place[earlier.kernel][0] < place[later.kernel][0], "blocks need a barrier"


@laws
@given(programs())
def test_only_what_depends_on_parameters_alone_is_prepared(calls: list[KernelCall]) -> None:
    """A prepared segment must give the same each time: it reads parameters and what prepared segments wrote."""
    fixed: set[str] = set()
    for segment in schedule(calls):
        written: set[str] = set()
        for call in segment.calls:
            if segment.prepare:
                for b in call.reads:
                    assert (
                        b.kind == PARAM
                        or b.name in fixed
                        or b.name in {x.name for c in segment.calls for x in c.writes}
                    )
            written |= {b.name for b in call.writes}
        if segment.prepare:
            fixed |= written


def test_batch_calls_share_a_segment() -> None:
    x, y, z = (Buffer(name, "f32", 8, BATCHED) for name in "xyz")
    calls = [
        KernelCall("a", (Operand(x, 0, 8), Operand(y, 0, 8, 0, True)), (), BATCH),
        KernelCall("b", (Operand(y, 0, 8), Operand(z, 0, 8, 0, True)), (), BATCH),
    ]
    (segment,) = schedule(calls)
    assert [c.kernel for c in segment.calls] == ["a", "b"]


def test_segments_are_cut_by_size_but_not_where_a_shard_keeps_something() -> None:
    small, large = Buffer("small", "f32", 16, BATCHED), Buffer("large", "f32", 100_000, BATCHED)
    kept = Buffer("sums", "f32", 16, KEPT)

    def parts(*more: Buffer) -> int:
        writes = [[small, *more], [large, *more]]
        calls = [KernelCall("k", tuple(Operand(b, 0, 16, 0, True) for b in found), (), BATCH) for found in writes]
        return len(cut_by_size([Segment(BATCH, calls)], samples=8))

    assert parts() == 2
    assert parts(kept) == 1
