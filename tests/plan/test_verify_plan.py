"""The plan's verifier refuses every plan that is broken in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from cnnspec.abi import pack
from cnnspec.autodiff import differentiate
from cnnspec.compiler import Compiler
from cnnspec.errors import InternalError
from cnnspec.lower.compile import compile_plan
from cnnspec.model.settings import SGD
from cnnspec.passes.build import build_graph
from cnnspec.plan.plan import BATCH, BATCHED, KEPT, LOCAL, PARAM, SHARED, Buffer, KernelCall, Operand, Plan, Segment
from cnnspec.plan.verify import verify_plan

TEXT = "input 8x8x3\nconv 8 3x3 -> bn -> tanh\nconv 8 3x3 -> tanh\nmaxpool 2\nflatten -> dense 4\n"


@pytest.fixture
def plan() -> Plan:
    graph = differentiate(build_graph(Compiler.from_text(TEXT).model, training=True))
    return compile_plan(graph, batch=20, optimizer=SGD(momentum=0.9))


def fill(operand: Operand, domain: int) -> KernelCall:
    """Return a call that fills an operand with zeros."""
    return KernelCall("fill.f32", *pack("fill.f32", {"y": operand}, {"elements": operand.extent, "value": 0.0}), domain)


def replace_operand(plan: Plan, fits: Callable[[Segment, KernelCall, Operand], bool], **changes: object) -> Operand:
    """Change the first operand that fits, in place."""
    for segment in plan.segments:
        for i, call in enumerate(segment.calls):
            for j, o in enumerate(call.operands):
                if fits(segment, call, o):
                    new = dataclasses.replace(o, **changes)  # type: ignore[arg-type]
                    operands = call.operands._replace(**{call.operands._fields[j]: new})
                    segment.calls[i] = dataclasses.replace(call, operands=operands)
                    return o
    raise AssertionError("no operand fits")


def test_a_plan_as_compiled_passes(plan: Plan) -> None:
    verify_plan(plan)


def replace_call(plan: Plan, family: str, **changes: object) -> None:
    """Change the first call of a kernel, in place."""
    segment, i = next((s, i) for s in plan.segments for i, c in enumerate(s.calls) if c.kernel.startswith(f"{family}."))
    segment.calls[i] = dataclasses.replace(segment.calls[i], **changes)  # type: ignore[arg-type]


def call_of(plan: Plan, family: str) -> KernelCall:
    return next(c for s in plan.segments for c in s.calls if c.kernel.startswith(f"{family}."))


def test_arguments_of_another_kernel(plan: Plan) -> None:
    replace_call(plan, "maxpool", args=call_of(plan, "maxpool_grad").args)
    with pytest.raises(InternalError, match=r"the arguments of maxpool\.2x2.* are height .* not height"):
        verify_plan(plan)


def test_operands_without_names(plan: Plan) -> None:
    replace_call(plan, "maxpool", operands=tuple(call_of(plan, "maxpool").operands))
    with pytest.raises(InternalError, match=r"the operands of maxpool\.2x2.* are not named, not x y"):
        verify_plan(plan)


def test_an_operand_that_is_read_where_the_kernel_writes(plan: Plan) -> None:
    operands = call_of(plan, "maxpool").operands
    replace_call(plan, "maxpool", operands=operands._replace(y=dataclasses.replace(operands.y, write=False)))
    with pytest.raises(InternalError, match=r"maxpool\.2x2.* writes y as f32, and .* is read"):
        verify_plan(plan)


def test_an_operand_of_another_type(plan: Plan) -> None:
    operands = call_of(plan, "maxpool").operands
    replace_call(plan, "maxpool", operands=operands._replace(indices=operands.y))
    with pytest.raises(InternalError, match=r"maxpool\.2x2.* writes indices as u8, and .* of f32"):
        verify_plan(plan)


@pytest.mark.parametrize(("name", "value"), [("momentum", 1), ("nesterov", 1.0)])
def test_an_argument_of_another_type(plan: Plan, name: str, value: float) -> None:
    """A float is passed by its bits, so a whole number in its place would be another number."""
    replace_call(plan, "sgd", args=call_of(plan, "sgd").args._replace(**{name: value}))
    with pytest.raises(InternalError, match=f"{name} of sgd.f32 is (float|whole), not {value}"):
        verify_plan(plan)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    "changes", [{"offset": -1}, {"extent": 0}, {"extent": -4}, {"extent": 10**6}, {"offset": 10**6}]
)
def test_an_operand_outside_its_buffer(plan: Plan, write: bool, changes: dict[str, int]) -> None:
    replace_operand(plan, lambda s, c, o: o.write is write, **changes)
    with pytest.raises(InternalError, match="touches elements"):
        verify_plan(plan)


def test_the_last_sample_outside_a_shared_buffer() -> None:
    """Samples at a distance of their own: all but the last lie inside."""
    shared = Buffer("tiles", "f32", 20 * 16 + 4, SHARED, offset=0)

    def with_samples(distance: int) -> Plan:
        call = fill(Operand(shared, 4, 16, 0, True, distance), BATCH)
        return Plan(20, "f32", [Segment(BATCH, [call])], {"tiles": shared}, {}, shared.nbytes, 0, {}, {})

    verify_plan(with_samples(16))
    with pytest.raises(InternalError, match="touches elements"):
        verify_plan(with_samples(17))
    with pytest.raises(InternalError, match="shards of fill"):
        verify_plan(with_samples(0))


def test_pieces_of_a_sample_in_a_shared_buffer() -> None:
    """Ranks exchange these pieces: none may be missing."""
    shared = Buffer("tiles", "f32", 20 * 4 + 3 * 100, SHARED, offset=0)

    def with_pieces(*repeats: tuple[int, int]) -> Plan:
        call = fill(Operand(shared, 0, 304, 0, True, 4, repeats), BATCH)
        return Plan(20, "f32", [Segment(BATCH, [call])], {"tiles": shared}, {}, shared.nbytes, 0, {}, {})

    verify_plan(with_pieces((4, 100)))
    verify_plan(with_pieces((2, 200), (2, 100)))
    with pytest.raises(InternalError, match="pieces of a sample of tiles are missing"):
        verify_plan(with_pieces((3, 100)))


def test_what_a_shard_keeps_stays_in_its_segment() -> None:
    """Another thread may run the shard in the next segment."""
    kept = Buffer("sums", "f32", 64, KEPT, offset=0)
    calls = [fill(Operand(kept, 0, 64, 0, True), BATCH) for _ in range(2)]

    def with_segments(*segments: Segment) -> Plan:
        return Plan(20, "f32", list(segments), {"sums": kept}, {}, 0, kept.nbytes, {}, {})

    verify_plan(with_segments(Segment(BATCH, calls)))
    with pytest.raises(InternalError, match="from one segment to another"):
        verify_plan(with_segments(Segment(BATCH, calls[:1]), Segment(BATCH, calls[1:])))


def test_the_last_block_outside_its_buffer(plan: Plan) -> None:
    """The first block lies inside; the last would end one element behind the buffer."""
    fits = lambda s, c, o: s.domain > 1 and o.block > 0 and o.buffer.kind == PARAM  # noqa: E731
    old = next(o for s in plan.segments for c in s.calls for o in c.operands if fits(s, c, o))
    replace_operand(plan, fits, block=old.block + 1)
    with pytest.raises(InternalError, match="touches elements"):
        verify_plan(plan)


def test_shards_that_all_write_one_buffer(plan: Plan) -> None:
    shared = next(b for b in plan.buffers.values() if b.kind == SHARED)
    replace_operand(plan, lambda s, c, o: s.domain == BATCH and o.write, buffer=shared, offset=0, extent=1)
    with pytest.raises(InternalError, match="all write"):
        verify_plan(plan)


@pytest.mark.parametrize("kind", [BATCHED, PARAM, LOCAL])
def test_a_place_off_the_cache_line(plan: Plan, kind: str) -> None:
    b = next(b for b in plan.buffers.values() if b.kind == kind)
    b.offset += 4
    with pytest.raises(InternalError, match=r"ends at byte|overlap"):
        verify_plan(plan)


@pytest.mark.parametrize("kind", [BATCHED, PARAM, LOCAL])
def test_a_place_behind_the_end(plan: Plan, kind: str) -> None:
    b = next(b for b in plan.buffers.values() if b.kind == kind)
    b.offset = 64 * 10**6
    with pytest.raises(InternalError, match=f"{b.name} ends at byte"):
        verify_plan(plan)


@pytest.mark.parametrize("kind", [PARAM, "arena", LOCAL])
def test_live_buffers_that_overlap(plan: Plan, kind: str) -> None:
    def overlap_in_time(a: Buffer, b: Buffer) -> bool:
        return a is not b and a.first <= b.last and b.first <= a.last

    group = [b for b in plan.buffers.values() if b.kind == kind or (kind == "arena" and b.kind not in (LOCAL, PARAM))]
    a, b = next((a, b) for a in group for b in group if overlap_in_time(a, b) and a.nbytes >= b.nbytes)
    b.offset = a.offset
    with pytest.raises(InternalError, match="are alive and overlap"):
        verify_plan(plan)


def test_blocks_that_need_a_barrier(plan: Plan) -> None:
    b = Buffer("extra", "f32", 64, SHARED, offset=plan.arena, first=0, last=10**6)
    plan.buffers["extra"] = b
    plan.arena += b.nbytes
    write = fill(Operand(b, 0, 64, 0, True), 8)
    both = {"x": Operand(b, 0, 64), "y": Operand(b, 0, 64, 0, True)}
    read = KernelCall("join.f32", *pack("join.f32", both, {"start": 0, "elements": 64}), 8)
    plan.segments.append(Segment(8, [write]))
    plan.segments.append(Segment(8, [read]))
    verify_plan(plan)
    plan.segments[-2:] = [Segment(8, [write, read])]
    with pytest.raises(InternalError, match="needs a barrier before it"):
        verify_plan(plan)


def test_a_value_read_before_it_is_made(plan: Plan) -> None:
    plan.segments.reverse()
    with pytest.raises(InternalError, match="before it is made"):
        verify_plan(plan)


def test_a_value_that_nobody_makes(plan: Plan) -> None:
    """The call that writes it is gone."""
    written = [(s, c, b) for s in plan.segments for c in s.calls for b in c.writes if b.kind == BATCHED]
    segment, call, buffer = written[0]
    segment.calls.remove(call)
    assert any(buffer in c.reads for s in plan.segments for c in s.calls)
    with pytest.raises(InternalError, match=f"reads {buffer.name} before it is made"):
        verify_plan(plan)


@pytest.mark.parametrize("kind", [BATCHED, PARAM, LOCAL])
def test_a_buffer_without_a_place(plan: Plan, kind: str) -> None:
    next(b for b in plan.buffers.values() if b.kind == kind).offset = -1
    with pytest.raises(InternalError, match="has no place in memory"):
        verify_plan(plan)
