"""The planner: whatever is alive at the same time lies apart, for any lifetimes and any net."""

from __future__ import annotations

import numpy as np
from activations import LINES
from golden import SPECS
from hypothesis import given, settings
from hypothesis import strategies as st
from running import Run

from cnnspec.autodiff import differentiate
from cnnspec.compiler import Compiler
from cnnspec.lower.compile import compile_plan
from cnnspec.passes.base import run_pipeline
from cnnspec.passes.build import build_graph
from cnnspec.passes.pipelines import FORWARD, INFERENCE, TRAINING
from cnnspec.plan.memory import place_arena
from cnnspec.plan.plan import BATCHED, KEPT, LOCAL, OF_THREAD, PARAM, PARTIAL, SHARDS, SHARED, Buffer, Plan

laws = settings(max_examples=100, derandomize=True, database=None)


@st.composite
def lifetimes(draw: st.DrawFn) -> list[Buffer]:
    found = []
    for i in range(draw(st.integers(1, 25))):
        first = draw(st.integers(0, 20))
        last = first + draw(st.integers(0, 8))
        kind = draw(st.sampled_from((BATCHED, SHARED, PARTIAL)))
        dtype = draw(st.sampled_from(("f32", "f64", "u8", "i64")))
        found.append(Buffer(f"b{i}", dtype, draw(st.integers(1, 300)), kind, first=first, last=last))
    return found


def copies(b: Buffer, batch: int) -> int:
    return {BATCHED: batch, PARTIAL: SHARDS}.get(b.kind, 1)


@laws
@given(buffers=lifetimes(), batch=st.integers(1, 9))
def test_no_two_live_buffers_overlap(buffers: list[Buffer], batch: int) -> None:
    arena = place_arena(buffers, batch, set())
    for i, a in enumerate(buffers):
        size = a.nbytes * copies(a, batch)
        assert a.offset % 64 == 0 and 0 <= a.offset <= arena - size
        for b in buffers[:i]:
            alive_together = a.first <= b.last and b.first <= a.last
            apart = a.offset + size <= b.offset or b.offset + b.nbytes * copies(b, batch) <= a.offset
            assert apart or not alive_together, (a, b)
    busiest = max(sum(b.nbytes * copies(b, batch) for b in buffers if b.first <= t <= b.last) for t in range(30))
    everything = sum(b.nbytes * copies(b, batch) for b in buffers)
    assert busiest <= arena <= everything


@laws
@given(buffers=lifetimes(), data=st.data())
def test_kept_buffers_are_never_shared(buffers: list[Buffer], data: st.DataObject) -> None:
    keep = {b.name for b in buffers if data.draw(st.booleans())}
    place_arena(buffers, 2, keep)
    for a in buffers:
        for b in buffers:
            if a is not b and a.name in keep:
                start, end = a.offset, a.offset + a.nbytes * copies(a, 2)
                assert end <= b.offset or b.offset + b.nbytes * copies(b, 2) <= start


def test_memory_is_shared_at_all() -> None:
    buffers = [Buffer(f"b{i}", "f32", 100, BATCHED, first=i, last=i + 1) for i in range(10)]
    assert place_arena(buffers, 4, set()) == 2 * 4 * buffers[0].nbytes


# ---- whole nets -------------------------------------------------------------------------------------
layers = st.sampled_from(
    [
        "conv 8 3x3 -> relu",
        "conv 32 3x3 -> relu -> conv 48 3x3",
        *(f"conv 5 3x3 stride=2 -> {line}" for line in LINES),
        "depthwise 3x3 -> bn",
        "maxpool 2 stride=1 pad=1",
        "dropout 0.3",
        "residual {\nconv 4 1x1 -> bn -> relu\n} project {\nconv 4 1x1\n}",
        "concat {\n| identity\n| conv 3 5x5\n| avgpool 3 stride=1 pad=1\n}",
        "multiply {\n| identity\n| sigmoid\n}",
    ]
)
bodies = st.lists(layers, min_size=1, max_size=6).map("\n".join)
nets = bodies.map(lambda body: f"input 8x9x3\n{body}\nflatten -> dense 5\n")


def plans(text: str, batch: int, dtype: str) -> list[Plan]:
    model = Compiler.from_text(text).model
    training = run_pipeline(differentiate(run_pipeline(build_graph(model, training=True), FORWARD)), TRAINING)
    inference = run_pipeline(build_graph(model, training=False), INFERENCE)
    return [compile_plan(graph, batch=batch, dtype=dtype) for graph in (training, inference)]


@settings(laws, max_examples=20)
@given(text=nets, batch=st.integers(1, 40), dtype=st.sampled_from(("f32", "f64")))
def test_plans_of_nets_keep_live_buffers_apart(text: str, batch: int, dtype: str) -> None:
    """Lifetimes are found anew here: a buffer is alive from the first to the last segment that touches it."""
    for plan in plans(text, batch, dtype):
        where: dict[str, list[int]] = {}
        calls: dict[str, list[int]] = {}
        groups: dict[str, int] = {}
        ends: dict[int, tuple[int, int]] = {}
        position = 0
        for number, segment in enumerate(plan.segments):
            ends[number] = position, position + len(segment.calls) - 1
            for call in segment.calls:
                for o in call.operands:
                    assert plan.buffers[o.buffer.name] is o.buffer
                    where.setdefault(o.buffer.name, []).append(number)
                    calls.setdefault(o.buffer.name, []).append(position)
                    groups[o.buffer.name] = segment.group
                position += 1
        always = {
            b.name for b in (*plan.inputs.values(), *plan.outputs.values(), *(b for b, _ in plan.gradients.values()))
        }
        spans = []
        for name, b in plan.buffers.items():
            first, last = (0, 10**9) if name in always or name not in where else (min(where[name]), max(where[name]))
            size = b.nbytes * (groups[name] if b.kind == LOCAL else copies(b, batch))
            space = "workspace" if b.kind in OF_THREAD else PARAM if b.kind == PARAM else "arena"
            if space == "workspace":
                assert first == last, f"{name} leaves its segment"
                first, last = ends[first] if b.kind == KEPT else (min(calls[name]), max(calls[name]))
            if b.kind == PARAM:
                first, last = 0, 10**9
            spans.append((space, first, last, b.offset, b.offset + size, name))
        limits = {"arena": plan.arena, "workspace": plan.workspace, PARAM: plan.parameters}
        for i, (space, first, last, start, end, name) in enumerate(spans):
            assert start >= 0 and end <= limits[space], name
            for other_space, other_first, other_last, other_start, other_end, other in spans[:i]:
                if space == other_space and first <= other_last and other_first <= last:
                    assert end <= other_start or other_end <= start, (name, other)


@settings(laws, max_examples=15)
@given(text=nets, dtype=st.sampled_from(("f32", "f64")))
def test_what_lay_in_memory_does_not_matter(text: str, dtype: str) -> None:
    """A run on memory full of NaN gives what a run on fresh memory gives, to the last bit."""
    model = Compiler.from_text(text).model
    graph = run_pipeline(differentiate(run_pipeline(build_graph(model, training=True), FORWARD)), TRAINING)
    rng = np.random.default_rng(5)
    arrays = {
        "x": rng.standard_normal((4, *model.input_shape)),
        "target": rng.integers(0, 5, (4, 1)),
        "keys": rng.integers(0, 2**62, (4, 1)),
        **{name: 0.3 * rng.standard_normal(p.shape) for name, p in model.params.items()},
    }
    fresh = Run(graph, dtype=dtype, batch=5).run(4, arrays)
    dirty = Run(graph, dtype=dtype, batch=5)
    keep = [b for b in dirty.plan.inputs.values() if b.offset >= 0]
    before = [dirty.runner.view(b).copy() for b in keep]
    dirty.runner.arena[:] = 255
    dirty.runner.workspace[:] = 255
    for b, content in zip(keep, before, strict=True):
        dirty.runner.view(b)[:] = content
    dirty.run(4, arrays)
    assert np.array_equal(dirty.get("logits", 4), fresh.get("logits", 4))
    assert np.isfinite(fresh.get("logits", 4)).all()
    for name in fresh.plan.gradients:
        assert np.array_equal(dirty.gradient(name, 4), fresh.gradient(name, 4)), name


def test_sharing_saves_memory() -> None:
    """Training keeps what gradients need; the rest shares room. Inference needs room for a few layers at a time."""
    text = (SPECS / "zoo" / "resnet20.cnn").read_text(encoding="utf-8")
    training, inference = plans(text, 32, "f32")
    apart = sum(b.nbytes * copies(b, 32) for b in training.buffers.values() if b.kind not in (*OF_THREAD, PARAM))
    assert training.arena < apart
    values = sum(b.nbytes for b in inference.buffers.values() if b.kind == LOCAL)
    group = max(s.group for s in inference.segments)
    assert inference.workspace < values * group
    assert inference.arena < training.arena
