"""What runs a plan: for each segment, its shards on a team of threads; for each shard, its calls.

Teams are OpenMP's, by the one entry that its C interface has: GOMP_parallel(function, data, threads, flags).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import FASTMATH, I64, kernel, load_i64, store_i64

# Columns of the tables. Segments: first call, last call, blocks (not above 0: samples), group, prepare, every shard.
# Calls: address of the kernel, first operand, operands, address of the arguments, when (plan.py: ALWAYS, FIRST, LAST).
# Operands: base, offset, bytes from sample to sample, from shard to shard, from thread to thread. All int64.
SEGMENT, CALL, OPERAND = 6, 5, 5
FIRST, LAST = 1, 2
MASK = 128  # bytes of a set of cores
POINTERS = 64  # words of a thread's row: the addresses of a call's operands
CLAIM = 64  # bytes from one thread's word of claims to the next: a cache line

# Words of a run's state.
FIELDS = (
    "segments", "count", "calls", "operands", "bases", "pointers", "spent", "calls_count",  # addresses and counts
    "n", "shards", "prepare", "profile", "threads",  # samples; parts of a batch; flags; most threads
    "run_parts", "parallel", "thread_number",  # addresses of walk.run_parts, GOMP_parallel, omp_get_thread_num
    "get_core", "set_cores", "cores",  # addresses of sched_getcpu, sched_setaffinity; of a mask for each core; or 0
    "claims",  # address of a word for each thread, CLAIM bytes apart: the next part of its run
    "segment", "parts", "team", "core",  # what the team works on, and the core of its first thread
)  # fmt: skip
(
    AT_SEGMENTS, COUNT, AT_CALLS, AT_OPERANDS, AT_BASES, AT_POINTERS, AT_SPENT, CALLS_COUNT, N, SHARDS, PREPARE,
    PROFILE, THREADS, RUN_PARTS, PARALLEL, THREAD_NUMBER, GET_CORE, SET_CORES, CORES, CLAIMS, NOW_SEGMENT, NOW_PARTS,
    NOW_TEAM, NOW_CORE,
) = range(0, 8 * len(FIELDS), 8)  # fmt: skip
STATE = types.void(types.int64)


@intrinsic
def call_kernel(typingctx: Any, address: Any, pointers: Any, arguments: Any, count: Any) -> Any:
    """Call the kernel at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = ir.PointerType(I64)
        kind = ir.FunctionType(ir.VoidType(), [pointer, pointer, I64])
        function = builder.inttoptr(args[0], ir.PointerType(kind))
        builder.call(function, [builder.inttoptr(args[1], pointer), builder.inttoptr(args[2], pointer), args[3]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


@intrinsic
def ticks(typingctx: Any) -> Any:
    """The CPU's time-stamp counter."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(I64, [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])

    return types.int64(), codegen


@intrinsic
def start_team(typingctx: Any, parallel: Any, function: Any, data: Any, threads: Any) -> Any:
    """GOMP_parallel: the function on so many threads, this one among them; it returns when all are done."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, unsigned = ir.PointerType(I64), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, pointer, unsigned, unsigned])
        entry = builder.inttoptr(args[0], ir.PointerType(kind))
        place, work = (builder.inttoptr(args[k], pointer) for k in (1, 2))
        builder.call(entry, [place, work, builder.trunc(args[3], unsigned), unsigned(0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


@intrinsic
def ask(typingctx: Any, address: Any) -> Any:
    """Call an int function without arguments: omp_get_thread_num, sched_getcpu."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        number = builder.call(builder.inttoptr(args[0], ir.PointerType(kind)), [])
        return builder.zext(number, I64)

    return types.int64(types.int64), codegen


@intrinsic
def set_cores(typingctx: Any, address: Any, mask: Any) -> Any:
    """sched_setaffinity of the calling thread to a mask of MASK bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, number = ir.PointerType(I64), ir.IntType(32)
        kind = ir.FunctionType(number, [number, I64, pointer])
        entry = builder.inttoptr(args[0], ir.PointerType(kind))
        builder.call(entry, [number(0), I64(MASK), builder.inttoptr(args[1], pointer)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def claim(typingctx: Any, address: Any) -> Any:
    """Add one to the word at an address, which other threads may do at the same time; return what it was before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(args[0], ir.PointerType(I64)), I64(1), "monotonic")

    return types.int64(types.int64), codegen


@njit(fastmath=FASTMATH, error_model="numpy")
def run_part(state, part, parts, thread):
    """Run one part of a segment: a shard of the batch, some samples at a time, or a block."""
    segment = load_i64(state + NOW_SEGMENT)
    first, last = load_i64(segment), load_i64(segment + 8)
    blocks, group = load_i64(segment + 16), load_i64(segment + 24)
    n, profile = load_i64(state + N), load_i64(state + PROFILE)
    bases, row = load_i64(state + AT_BASES), load_i64(state + AT_POINTERS) + thread * POINTERS * 8
    spent = load_i64(state + AT_SPENT) + thread * load_i64(state + CALLS_COUNT) * 8
    start, end, step = 0, n, n
    if blocks <= 0:
        start, end, step = part * n // parts, (part + 1) * n // parts, group
    begins = True
    while start < end or begins:
        count = min(step, end - start)
        for c in range(first, last):
            call = load_i64(state + AT_CALLS) + c * CALL * 8
            when = load_i64(call + 32)
            if when == FIRST:
                runs = begins
            elif when == LAST:
                runs = start + count >= end
            else:
                runs = count > 0
            if not runs:
                continue
            operand = load_i64(state + AT_OPERANDS) + load_i64(call + 8) * OPERAND * 8
            for k in range(load_i64(call + 16)):
                address = (
                    load_i64(bases + 8 * load_i64(operand))
                    + load_i64(operand + 8)
                    + start * load_i64(operand + 16)
                    + part * load_i64(operand + 24)
                    + thread * load_i64(operand + 32)
                )
                store_i64(row + 8 * k, address)
                operand += OPERAND * 8
            if profile != 0:
                before = ticks()
                call_kernel(load_i64(call), row, load_i64(call + 24), count)
                store_i64(spent + 8 * c, load_i64(spent + 8 * c) + ticks() - before)
            else:
                call_kernel(load_i64(call), row, load_i64(call + 24), count)
        start += step
        begins = False


@kernel("walk.run_parts", STATE)
def run_parts(state):
    """One thread of a team: its run of the parts, then what others have not begun of theirs.

    Cores are not equally fast where other programs run beside, and each thread's parts lie side by side, so that it
    finds in its cache what it wrote. No result depends on who ran a part.

    Systems wake a thread on the core of the one that wakes it. Where that would leave both on one core, while others
    idle, the thread moves away from it.
    """
    thread = ask(load_i64(state + THREAD_NUMBER))
    if thread > 0 and load_i64(state + GET_CORE) != 0:
        core = ask(load_i64(state + GET_CORE))
        if core == load_i64(state + NOW_CORE):
            set_cores(load_i64(state + SET_CORES), load_i64(state + CORES) + core * MASK)
    parts, team = load_i64(state + NOW_PARTS), load_i64(state + NOW_TEAM)
    for k in range(team):
        owner = (thread + k) % team
        next_part = load_i64(state + CLAIMS) + owner * CLAIM
        part = claim(next_part)
        while part < (owner + 1) * parts // team:
            run_part(state, part, parts, thread)
            part = claim(next_part)


@kernel("walk", STATE)
def walk(state):
    """Run a plan on n samples. ``state``: the address of FIELDS, in that order."""
    n, shards, threads = load_i64(state + N), load_i64(state + SHARDS), load_i64(state + THREADS)
    for s in range(load_i64(state + COUNT)):
        segment = load_i64(state + AT_SEGMENTS) + s * SEGMENT * 8
        if load_i64(segment + 32) != 0 and load_i64(state + PREPARE) == 0:
            continue
        blocks = load_i64(segment + 16)
        parts = blocks if blocks > 0 else shards if load_i64(segment + 40) != 0 else min(shards, n)
        team = min(threads, parts)
        store_i64(state + NOW_SEGMENT, segment)
        if team <= 1:
            for part in range(parts):
                run_part(state, part, parts, 0)
        else:
            store_i64(state + NOW_PARTS, parts)
            store_i64(state + NOW_TEAM, team)
            for thread in range(team):
                store_i64(load_i64(state + CLAIMS) + thread * CLAIM, thread * parts // team)
            if load_i64(state + GET_CORE) != 0:
                store_i64(state + NOW_CORE, ask(load_i64(state + GET_CORE)))
            start_team(load_i64(state + PARALLEL), load_i64(state + RUN_PARTS), state, team)


@kernel("read_ticks", STATE)
def read_ticks(place):
    """Write the time-stamp counter to an address."""
    store_i64(place, ticks())
