"""Graph -> Plan: lower, add the optimizer, schedule, place, verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..ir.fields import phases_of
from ..ir.graph import STEP_STRIDE, Graph
from ..ir.optimizer import Optimizer
from ..plan.memory import find_lifetimes, place_arena, place_locals
from ..plan.plan import PARAM, SHARDS, SHARED, STATE, Buffer, KernelCall, Kind, Operand, Plan, Segment
from ..plan.schedule import cut_by_size, schedule
from ..plan.verify import verify_plan
from .emitter import Emitter

CHUNKS = 16  # blocks that parameters are cut into


def compile_plan(
    graph: Graph,
    *,
    batch: int,
    dtype: str = "f32",
    optimizer: Optimizer | None = None,
    parameters: Mapping[str, int] | None = None,
    given: Sequence[str] = (),
) -> Plan:
    """Return the plan of a graph.

    Parameters
    ----------
    batch : most samples of a run.
    dtype : ``f32``, or ``f64`` for gradient checks.
    optimizer : the one that ends each step; needs outputs ``grad:NAME`` in the graph.
    parameters : byte offset of each parameter, for plans that share them; laid out here when None.
    given : inputs that are copied from arrays of the caller; the others are written into the plan's own memory.
    """
    emit = Emitter(graph, dtype, batch, given)
    emit.lower()
    outputs = {name: emit.buffer(v) for name, v in graph.outputs.items() if not name.startswith("grad:")}
    gradients = {}
    for name, v in graph.outputs.items():
        if name.startswith("grad:"):
            b = emit.buffer(v)
            gradients[name.removeprefix("grad:")] = (b, emit.copies(b.name))
    known = None if "loss" in graph.outputs or not emit.guarded else emit.zeros(1)
    calls = [*emit.constant, *emit.calls]
    if "loss" in graph.outputs:
        known = outputs["totals"] = _add_totals(emit, graph)
    totals = Segment(1, emit.calls[len(calls) - len(emit.constant) :])
    if known is not None:
        totals.calls += [made(emit.operand(known)) for made in emit.guarded]
    updates = Segment(CHUNKS, _updates(emit, gradients, outputs["totals"], optimizer) if optimizer else [])
    for b in outputs.values():
        b.pinned = True
    if optimizer is None:
        for b, _ in gradients.values():
            b.pinned = True
    segments = cut_by_size(schedule(calls), -(-batch // SHARDS))
    segments += [s for s in (totals, updates) if s.calls]
    used = find_lifetimes(segments)
    end = sum(len(s.calls) for s in segments)
    for b in emit.buffers.values():
        if b.pinned and b.name not in used:
            used[b.name] = b
            b.first, b.last = 0, end
    prepared: set[str] = set()
    if not gradients:
        prepared = {o.buffer.name for s in segments if s.prepare for c in s.calls for o in c.operands if o.write}
    arena = place_arena(list(used.values()), batch, prepared)
    workspace = place_locals(segments, batch)
    space = _place_in_order(used, PARAM, parameters)
    states = _place_in_order(used, STATE)
    inputs = {v.name: emit.buffers[v.name] for v in graph.inputs}
    plan = Plan(
        batch,
        dtype,
        segments,
        used,
        emit.layouts,
        arena,
        workspace,
        inputs,
        outputs,
        gradients,
        space,
        states,
    )
    verify_plan(plan)
    return plan


def _add_totals(emit: Emitter, graph: Graph) -> Buffer:
    """Emit the sum of losses and hits, one number each for the host."""
    loss, correct = graph.outputs["loss"], graph.outputs["correct"]
    totals = emit.scratch("totals", 64, SHARED)
    emit.call("finish_loss", dict(loss=loss, correct=correct, totals=totals), {}, 1)
    return totals


def _updates(
    emit: Emitter, gradients: dict[str, tuple[Buffer, int]], totals: Buffer, optimizer: Optimizer
) -> list[KernelCall]:
    """Return one call for each parameter, all cut into the same number of blocks, so that they share one segment."""
    calls = []
    params = {name: p.param for name, p in emit.graph.params.items() if p.param.trainable}
    phases, step = phases_of(params.values()), emit.buffers["step"]  # each phase has its own numbers of a step
    for name, (gradient, number) in gradients.items():
        w = emit.buffers[name]
        block = w.elements // CHUNKS
        states = {state: emit.state(f"{name}@{state}", w.elements) for state in optimizer.states}
        numbers = STEP_STRIDE * phases.index(params[name].first_epoch)
        operands = dict(
            gradients=Operand(gradient, 0, block, block),
            w=Operand(w, 0, block, block),
            **{state: Operand(b, 0, block, block) for state, b in states.items()},
            totals=totals,
            step=Operand(step, numbers, STEP_STRIDE) if numbers else step,
        )
        args = dict(elements=block, copy_stride=w.elements, copies=number, **optimizer.numbers)
        call = emit.made(optimizer.kernel, operands, args, CHUNKS)
        calls.append(replace(call, layer=name.rpartition(".")[0], backward=True))
    return calls


def _place_in_order(buffers: dict[str, Buffer], kind: Kind, offsets: Mapping[str, int] | None = None) -> int:
    """Give parameters or states their places, one after another unless given; return the bytes of all."""
    end = 0
    for name, b in buffers.items():
        if b.kind == kind:
            b.offset = end if offsets is None else offsets[name]
            end = max(end, b.offset + b.nbytes)
    return end
