"""The tables of a run, by name: the runner fills them, the walker (kernels/walk.py) reads them. All numbers are int64.

Each class below is one row. ``SEGMENT``, ``CALL``, ``OPERAND`` and ``RUN`` hold the place of each field, in bytes from
the start of its row; ``row_bytes`` says how far the next row is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

WORD = 8  # bytes
POINTERS = 64  # words of a thread's row: the addresses of a call's operands
CLAIM = 64  # bytes from one thread's word of claims to the next: a cache line
MASK = 128  # bytes of a set of cores


class SegmentRow(NamedTuple):
    """One segment of a plan."""

    first_call: int
    end_call: int
    blocks: int  # above 0: number of blocks; else the segment is cut by samples
    group: int  # samples at a time
    prepare: int  # 1 where it depends on parameters alone
    every_shard: int  # 1 where shards without samples run, too


class CallRow(NamedTuple):
    """One call of a kernel."""

    kernel: int  # address
    first_operand: int
    operands: int  # count
    arguments: int  # address
    when: int  # a When


class OperandRow(NamedTuple):
    """Where an operand of a call begins: a base, and bytes to add to it."""

    base: int  # number of the memory
    offset: int
    sample: int  # bytes from sample to sample
    part: int  # bytes from shard to shard, or from block to block
    thread: int  # bytes from thread to thread


class RunState(NamedTuple):
    """One run of a plan."""

    segments: int = 0  # address of the rows
    calls: int = 0  # address
    operands: int = 0  # address
    bases: int = 0  # address of the addresses of the memories
    pointers: int = 0  # address of POINTERS words for each thread
    spent: int = 0  # address of the ticks of each call, for each thread
    calls_count: int = 0
    n: int = 0  # samples
    first_segment: int = 0  # the segments to run: from this one
    end_segment: int = 0  # up to this one
    shards: int = 0  # the batch is cut into
    first_shard: int = 0  # the shards to run: from this one
    end_shard: int = 0  # up to this one
    prepare: int = 0  # 1: also segments that depend on parameters alone
    profile: int = 0  # 1: count the ticks of each call
    threads: int = 0  # most threads of a team
    run_parts: int = 0  # address of walk.run_parts
    parallel: int = 0  # address of GOMP_parallel
    thread_number: int = 0  # address of omp_get_thread_num
    get_core: int = 0  # address of sched_getcpu, or 0
    set_cores: int = 0  # address of sched_setaffinity, or 0
    cores: int = 0  # address of a mask for each core, or 0
    claims: int = 0  # address of a word for each thread, CLAIM bytes apart: the next part of its run
    # What the team works on, written by the walker.
    now_segment: int = 0  # address of the row
    now_parts: int = 0  # parts that the segment is cut into
    now_first: int = 0  # the parts to run: from this one
    now_count: int = 0  # parts to run
    now_team: int = 0  # threads
    now_core: int = 0  # core of the team's first thread


def row_bytes(row: type[NamedTuple]) -> int:
    """Return the bytes of one row of a table."""
    return WORD * len(row._fields)


def places(row: Any) -> Any:
    """Return the place of each field in a row, in bytes, by name."""
    return row(*range(0, row_bytes(row), WORD))


SEGMENT, CALL, OPERAND, RUN = map(places, (SegmentRow, CallRow, OperandRow, RunState))
SEGMENT_BYTES, CALL_BYTES, OPERAND_BYTES = map(row_bytes, (SegmentRow, CallRow, OperandRow))
