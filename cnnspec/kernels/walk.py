"""The one compiled function that runs a plan: for each segment, its shards in parallel; for each shard, its calls."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import get_thread_id, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import I64

# Columns of the tables. Segments: first call, last call, blocks (not above 0: samples), group, prepare.
# Calls: address of the kernel, first operand, operands, address of the arguments.
# Operands: base, offset, bytes from sample to sample, from shard to shard, from thread to thread.
POINTERS = 24  # most operands of a call


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


@njit(cache=True)
def now():
    """Return the time-stamp counter."""
    return ticks()


@njit(parallel=True, cache=True, nogil=True)
def walk(segments, calls, operands, bases, n, shards, prepare, pointers, spent, profile):
    """Run a plan on ``n`` samples.

    segments : int64[S, 5]; calls : int64[C, 4]; operands : int64[O, 5]; bases : int64[B] addresses;
    shards : parts that a batch is cut into; prepare : whether segments marked so run too; pointers : int64[T, >= 24],
    a row a thread; spent : int64[T, C], ticks of each call, added up when ``profile`` is not 0.
    """
    for s in range(segments.shape[0]):
        if segments[s, 4] != 0 and prepare == 0:
            continue
        first, last, blocks, group = segments[s, 0], segments[s, 1], segments[s, 2], segments[s, 3]
        by_sample = blocks <= 0
        parts = min(shards, n) if by_sample else blocks
        for part in prange(parts):
            thread = get_thread_id()
            row = pointers[thread].ctypes.data
            begin, end, step = 0, n, n
            if by_sample:
                begin, end, step = part * n // parts, (part + 1) * n // parts, group
            start = begin
            while start < end:
                count = min(step, end - start)
                for c in range(first, last):
                    for k in range(calls[c, 2]):
                        o = calls[c, 1] + k
                        pointers[thread, k] = (
                            bases[operands[o, 0]]
                            + operands[o, 1]
                            + start * operands[o, 2]
                            + part * operands[o, 3]
                            + thread * operands[o, 4]
                        )
                    if profile != 0:
                        before = ticks()
                        call_kernel(calls[c, 0], row, calls[c, 3], count)
                        spent[thread, c] += ticks() - before
                    else:
                        call_kernel(calls[c, 0], row, calls[c, 3], count)
                start += step
