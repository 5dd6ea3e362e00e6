"""The walker: it runs the segments of a plan in order, each on a team of threads, with a barrier behind each.

A segment is a list of kernel calls that is cut into parts (plan/plan.py). The parts of a batch segment are shards, runs
of samples: every call goes over them, ``group`` samples at a time. The parts of a block segment are its blocks, and a
call gets the whole batch for each. Threads run parts, and no result depends on which thread runs which part.

All tables are rows of int64 (abi/run_state.py). Addresses and strides are bytes. The kernels below have names without
a dtype: they are the same for all plans. Teams are OpenMP's, by the one entry of its C interface:
GOMP_parallel(function, data, threads, flags).
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils

from ..abi import When
from ..abi.run_state import (
    CALL,
    CALL_BYTES,
    CLAIM,
    MASK,
    OPERAND,
    OPERAND_BYTES,
    POINTERS,
    RUN,
    SEGMENT,
    SEGMENT_BYTES,
    WORD,
)
from ._jit import FASTMATH, I64, emits, kernel, load_i64, store_i64

FIRST, LAST = int(When.FIRST), int(When.LAST)
STATE = types.void(types.int64)  # signature of the walker's kernels: one address


@emits(types.void, types.int64, types.int64, types.int64, types.int64)
def call_kernel(builder, address, pointers, arguments, count):
    """Call the kernel at ``address`` on ``count`` samples.

    ``pointers``: address of the addresses of its operands. ``arguments``: address of its int64 arguments.
    """
    pointer = ir.PointerType(I64)
    kind = ir.FunctionType(ir.VoidType(), [pointer, pointer, I64])
    function = builder.inttoptr(address, ir.PointerType(kind))
    builder.call(function, [builder.inttoptr(pointers, pointer), builder.inttoptr(arguments, pointer), count])


@emits(types.int64)
def ticks(builder):
    """The CPU's time-stamp counter."""
    kind = ir.FunctionType(I64, [])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])


@emits(types.void, types.int64, types.int64, types.int64, types.int64)
def start_team(builder, parallel, function, data, threads):
    """Call ``function(data)`` on ``threads`` threads, the calling one among them, and wait until all have returned.

    ``parallel``: address of GOMP_parallel. ``function``, ``data``: addresses.
    """
    pointer, unsigned = ir.PointerType(I64), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer, pointer, unsigned, unsigned])
    entry = builder.inttoptr(parallel, ir.PointerType(kind))
    place, work = (builder.inttoptr(at, pointer) for at in (function, data))
    builder.call(entry, [place, work, builder.trunc(threads, unsigned), unsigned(0)])


@emits(types.int64, types.int64)
def call_int(builder, address):
    """Return the result of the C function ``int f(void)`` at an address: omp_get_thread_num, sched_getcpu."""
    kind = ir.FunctionType(ir.IntType(32), [])
    number = builder.call(builder.inttoptr(address, ir.PointerType(kind)), [])
    return builder.zext(number, I64)


@emits(types.void, types.int64, types.int64)
def set_cores(builder, address, mask):
    """Let the calling thread run on a set of cores only.

    ``address``: of sched_setaffinity. ``mask``: address of MASK bytes, one bit a core.
    """
    pointer, number = ir.PointerType(I64), ir.IntType(32)
    kind = ir.FunctionType(number, [number, I64, pointer])
    entry = builder.inttoptr(address, ir.PointerType(kind))
    builder.call(entry, [number(0), I64(MASK), builder.inttoptr(mask, pointer)])


@emits(types.int64, types.int64)
def claim(builder, address):
    """Add 1 to the int64 at an address, atomically; return its value before."""
    return builder.atomic_rmw("add", builder.inttoptr(address, ir.PointerType(I64)), I64(1), "monotonic")


@njit(fastmath=FASTMATH, error_model="numpy")
def run_part(state, part, parts, thread):
    """Run the calls of the current segment (``now_segment``) for part ``part`` of ``parts``, as thread ``thread``.

    state: address of a RunState. A shard holds samples part * n // parts to (part + 1) * n // parts - 1. Calls marked
    FIRST and LAST run once, also in a shard without samples. An operand begins at
    base + offset + start * sample + part * part_stride + thread * thread_stride, where ``start`` is the first sample of
    the group, 0 in block segments.
    """
    segment = load_i64(state + RUN.now_segment)
    first, last = load_i64(segment + SEGMENT.first_call), load_i64(segment + SEGMENT.end_call)
    blocks, group = load_i64(segment + SEGMENT.blocks), load_i64(segment + SEGMENT.group)
    n, profile = load_i64(state + RUN.n), load_i64(state + RUN.profile)
    bases, row = load_i64(state + RUN.bases), load_i64(state + RUN.pointers) + thread * POINTERS * WORD
    spent = load_i64(state + RUN.spent) + thread * load_i64(state + RUN.calls_count) * WORD
    start, end, step = 0, n, n  # samples
    if blocks <= 0:
        start, end, step = part * n // parts, (part + 1) * n // parts, group
    begins = True
    while start < end or begins:  # one round even without samples
        count = min(step, end - start)
        for c in range(first, last):
            call = load_i64(state + RUN.calls) + c * CALL_BYTES
            when = load_i64(call + CALL.when)
            if when == FIRST:
                runs = begins
            elif when == LAST:
                runs = start + count >= end
            else:
                runs = count > 0
            if not runs:
                continue
            operand = load_i64(state + RUN.operands) + load_i64(call + CALL.first_operand) * OPERAND_BYTES
            for k in range(load_i64(call + CALL.operands)):
                address = (
                    load_i64(bases + WORD * load_i64(operand + OPERAND.base))
                    + load_i64(operand + OPERAND.offset)
                    + start * load_i64(operand + OPERAND.sample)
                    + part * load_i64(operand + OPERAND.part)
                    + thread * load_i64(operand + OPERAND.thread)
                )
                store_i64(row + WORD * k, address)
                operand += OPERAND_BYTES
            kernel_address, arguments = load_i64(call + CALL.kernel), load_i64(call + CALL.arguments)
            if profile != 0:
                before = ticks()
                call_kernel(kernel_address, row, arguments, count)
                store_i64(spent + WORD * c, load_i64(spent + WORD * c) + ticks() - before)
            else:
                call_kernel(kernel_address, row, arguments, count)
        start += step
        begins = False


@kernel("walk.run_parts", STATE)
def run_parts(state):
    """Run parts of the current segment as one thread of a team: first its own, then those that others have not begun.

    state: address of a RunState. Thread t of T owns parts first + t * count // T to first + (t + 1) * count // T - 1.
    They are contiguous, so that a thread finds in its cache the samples that it wrote in the last segment. Threads take
    over parts because other programs may slow one core (docs/adr/0012).

    An operating system may wake a thread on the core of the thread that wakes it. The woken thread then moves to
    another core.
    """
    thread = call_int(load_i64(state + RUN.thread_number))
    if thread > 0 and load_i64(state + RUN.get_core) != 0:
        core = call_int(load_i64(state + RUN.get_core))
        if core == load_i64(state + RUN.now_core):
            set_cores(load_i64(state + RUN.set_cores), load_i64(state + RUN.cores) + core * MASK)
    parts, team = load_i64(state + RUN.now_parts), load_i64(state + RUN.now_team)
    first, count = load_i64(state + RUN.now_first), load_i64(state + RUN.now_count)
    for k in range(team):
        owner = (thread + k) % team  # k = 0: this thread's own parts
        next_part = load_i64(state + RUN.claims) + owner * CLAIM
        part = claim(next_part)
        while part < first + (owner + 1) * count // team:
            run_part(state, part, parts, thread)
            part = claim(next_part)


@kernel("walk", STATE)
def walk(state):
    """Run segments first_segment to end_segment - 1 of a plan on n samples.

    state: address of a RunState. Block segments run whole. Batch segments run shards first_shard to end_shard - 1 of
    ``shards``. Segments marked ``prepare`` are left out unless the state asks for them. Where all shards run and n is
    smaller, each sample is one part, unless the segment has calls for shards without samples (``every_shard``). A
    smaller range of shards keeps the full cut, so that a sample belongs to the same shard in every segment.
    """
    n, shards, threads = load_i64(state + RUN.n), load_i64(state + RUN.shards), load_i64(state + RUN.threads)
    first_shard, end_shard = load_i64(state + RUN.first_shard), load_i64(state + RUN.end_shard)
    for s in range(load_i64(state + RUN.first_segment), load_i64(state + RUN.end_segment)):
        segment = load_i64(state + RUN.segments) + s * SEGMENT_BYTES
        if load_i64(segment + SEGMENT.prepare) != 0 and load_i64(state + RUN.prepare) == 0:
            continue
        parts = load_i64(segment + SEGMENT.blocks)
        first, end = 0, parts
        if parts <= 0:
            parts, first, end = shards, first_shard, end_shard
            if end - first == shards and load_i64(segment + SEGMENT.every_shard) == 0:
                parts = min(shards, n)
                end = parts
        count = end - first
        team = min(threads, count)
        store_i64(state + RUN.now_segment, segment)
        if team <= 1:
            for part in range(first, end):
                run_part(state, part, parts, 0)
        else:
            store_i64(state + RUN.now_parts, parts)
            store_i64(state + RUN.now_first, first)
            store_i64(state + RUN.now_count, count)
            store_i64(state + RUN.now_team, team)
            for thread in range(team):
                store_i64(load_i64(state + RUN.claims) + thread * CLAIM, first + thread * count // team)
            if load_i64(state + RUN.get_core) != 0:
                store_i64(state + RUN.now_core, call_int(load_i64(state + RUN.get_core)))
            start_team(load_i64(state + RUN.parallel), load_i64(state + RUN.run_parts), state, team)


@kernel("read_ticks", STATE)
def read_ticks(place):
    """Write the CPU's time-stamp counter (int64) to the address ``place``."""
    store_i64(place, ticks())
