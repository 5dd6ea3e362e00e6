"""Runs a plan: allocates its memory, turns its calls into tables of addresses, and walks them in one call."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ..abi.run_state import CLAIM, POINTERS, WORD, CallRow, OperandRow, RunState, SegmentRow
from ..errors import MachineError
from ..kernels import load
from ..plan.exchange import Exchange, exchanges
from ..plan.plan import (
    BATCH,
    BATCHED,
    GIVEN,
    ITEM,
    KEPT,
    OF_THREAD,
    PARAM,
    PARTIAL,
    SHARDS,
    STATE,
    Buffer,
    KernelCall,
    Operand,
    Plan,
)
from ..reading import free_memory
from . import threads

NUMPY = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u8": np.uint8}
ARENA, PARAMETERS, WORKSPACE, STATES, CALLERS = range(5)
SLACK = 1024  # bytes behind each memory: vectors may read (never write) a little past the end


LARGE = 2**30  # bytes from which on memory is compared with what is free: the system hands out more than it has


def allocate(nbytes: int) -> np.ndarray:
    """Return zeroed bytes that start on a cache line, with slack behind them; MachineError where there is no memory."""
    free = free_memory() if nbytes > LARGE else None
    if free is not None and nbytes > free:
        raise _no_memory(nbytes, f"{free / 2**30:,.1f} GiB free")
    try:
        raw = np.zeros(nbytes + SLACK + 64, np.uint8)
    except (MemoryError, ValueError) as error:  # ValueError: beyond all addresses
        raise _no_memory(nbytes, "") from error
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes + SLACK]


def _no_memory(nbytes: int, found: str) -> MachineError:
    return MachineError(
        "there is not enough memory for the net and its batch",
        expected=f"{nbytes / 2**30:,.1f} GiB",
        found=found,
        hint="a smaller batch or a smaller net needs less",
    )


def bits(value: int | float) -> int:
    """Return an argument as the int64 that kernels read: floats by their bits."""
    return struct.unpack("q", struct.pack("d", value))[0] if isinstance(value, float) else value


WALKERS = ("walk", "walk.run_parts")  # the kernels that call the others
TAKERS = ("take_samples.bytes.f32", "take_samples.f32")  # the kernels that make batches (data/normalize.py)


class State(ctypes.Structure):
    """The memory of a RunState, which the walker reads."""

    _fields_ = [(name, ctypes.c_int64) for name in RunState._fields]


def _table(rows: list[Any], row: Any) -> np.ndarray:
    """Return rows as int64[rows, fields]."""
    return np.array(rows, np.int64).reshape(-1, len(row._fields))


def _ends(chosen: range | None, count: int) -> tuple[int, int]:
    """Return first and end of a range of ``count`` things, all of them when None."""
    if chosen is None:
        return 0, count
    assert chosen.step == 1 and 0 <= chosen.start <= chosen.stop <= count
    return chosen.start, chosen.stop


class Runner:
    """One plan, ready to run.

    Parameters
    ----------
    plan : a verified plan.
    parameters : bytes shared with other plans of the same net, or None for memory of its own.
    threads_ : threads to use; None for all cores. Results do not depend on it.

    Attributes
    ----------
    draws : whether the plan draws random numbers, and so needs the samples' keys.
    shards : what a batch is cut into. As many for any number of threads where something is added up over samples.
    """

    def __init__(self, plan: Plan, parameters: np.ndarray | None = None, threads_: int | None = None) -> None:
        self.plan = plan
        self.threading = threads.choose(threads_)
        self.arena = allocate(plan.arena)
        self.parameters = allocate(plan.parameters) if parameters is None else parameters
        self.workspace = allocate(plan.workspace * self.threading.count)
        self.states = allocate(plan.states)
        self.draws = plan.reads("keys")
        adds_up = any(b.kind in (PARTIAL, KEPT) for b in plan.buffers.values())
        self.shards = SHARDS if adds_up else max(SHARDS, self.threading.count)  # no order of sums to keep
        self._takes = any(b.kind == GIVEN for b in plan.buffers.values())
        self._given: np.ndarray | None = None
        self._chosen: tuple[range | None, range | None] = None, None
        self._walk: Callable[..., None] | None = None
        self._images: dict[str, np.ndarray] = {}

    def compile(self) -> None:
        """Load the kernels (compiling those this machine has never seen) and build the tables."""
        if self._walk is not None:
            return
        addresses = load.load_kernels([*self.plan.kernels, *WALKERS])
        calls: list[CallRow] = []
        operands: list[OperandRow] = []
        segments: list[SegmentRow] = []
        arguments: list[int] = []
        starts = []
        for segment in self.plan.segments:
            first = len(calls)
            for call in segment.calls:
                starts.append(len(arguments))
                arguments.extend(bits(a) for a in call.args)
                calls.append(CallRow(addresses[call.kernel], len(operands), len(call.operands), 0, call.when))
                operands.extend(self._operand(segment.domain, call, o) for o in call.operands)
            flags = int(segment.prepare), int(segment.every_shard)
            segments.append(SegmentRow(first, len(calls), segment.domain, segment.group, *flags))
        self._arguments = np.array(arguments or [0], np.int64)
        self._calls = _table(calls, CallRow)
        places = self._arguments.ctypes.data + WORD * np.array(starts, np.int64)
        self._calls[:, CallRow._fields.index("arguments")] = places
        self._operands, self._segments = _table(operands, OperandRow), _table(segments, SegmentRow)
        memories = (self.arena, self.parameters, self.workspace, self.states)
        self._bases = np.array([*(m.ctypes.data for m in memories), 0], np.int64)
        self._pointers = np.zeros((self.threading.count, POINTERS), np.int64)
        self._claims = np.zeros((self.threading.count, CLAIM // WORD), np.int64)
        self.spent = np.zeros((self.threading.count, max(1, len(calls))), np.int64)
        self._state = State(
            segments=self._segments.ctypes.data,
            calls=self._calls.ctypes.data,
            operands=self._operands.ctypes.data,
            bases=self._bases.ctypes.data,
            pointers=self._pointers.ctypes.data,
            spent=self.spent.ctypes.data,
            calls_count=self.spent.shape[1],
            threads=self.threading.count,
            claims=self._claims.ctypes.data,
            run_parts=addresses["walk.run_parts"],
            **self.threading.entries._asdict(),
        )
        self._choose(None, None)
        self._place = ctypes.c_void_p(ctypes.addressof(self._state))
        self._walk = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(addresses["walk"])

    def _operand(self, domain: int, call: KernelCall, o: Operand) -> OperandRow:
        b = o.buffer
        item = ITEM[b.dtype]
        own = b.kind in OF_THREAD
        base = WORKSPACE if own else {PARAM: PARAMETERS, STATE: STATES, GIVEN: CALLERS}.get(b.kind, ARENA)
        sample = o.sample * item or (b.nbytes if b.kind == BATCHED and domain <= BATCH else 0)
        part = b.nbytes if b.kind == PARTIAL and not o.block else o.block * item
        thread = self.plan.workspace if own else 0
        return OperandRow(base, b.offset + o.offset * item, sample, part, thread)

    def give(self, x: np.ndarray | None) -> None:
        """Let the coming runs read the caller's samples [n, H, W, C], which must not change until the next are given.

        They are held until then; None lets them go.
        """
        self._given = None if x is None else np.require(x, NUMPY[self.plan.dtype], ["C", "A"])

    def run(
        self,
        n: int,
        *,
        prepare: bool = True,
        profile: bool = False,
        segments: range | None = None,
        shards: range | None = None,
    ) -> None:
        """Run the plan, or a part of it, on the first ``n`` samples of its inputs.

        Parameters
        ----------
        n : samples of the whole batch, also where only some shards run.
        prepare : also run the segments that depend on parameters alone.
        profile : count the ticks of each call.
        segments : the segments to run; all of them when None.
        shards : the shards to run in segments that are cut by samples; all of them when None. Segments that are cut
            into blocks run whole.
        """
        if self._walk is None:
            self.compile()
        assert self._walk is not None and 0 < n <= self.plan.batch
        if self._takes:
            assert self._given is not None and n <= len(self._given)
            self._bases[CALLERS] = self._given.ctypes.data
        state = self._state
        state.n, state.prepare, state.profile = n, prepare, profile
        if (segments, shards) != self._chosen:
            self._choose(segments, shards)
        if self.threading.count > 1:
            if not threads.Team.started:
                threads.Team.start(self.threading.count)
            state.threads = 1 if threads.Team.lost else self.threading.count
        self._walk(self._place)

    def _choose(self, segments: range | None, shards: range | None) -> None:
        state = self._state
        state.first_segment, state.end_segment = _ends(segments, len(self.plan.segments))
        state.shards = self.shards if shards is None else SHARDS
        state.first_shard, state.end_shard = _ends(shards, state.shards)
        self._chosen = segments, shards

    @cached_property
    def _exchanges(self) -> list[tuple[Exchange, ...]]:
        return exchanges(self.plan)

    def share(self, n: int, shards: range, *, prepare: bool = True) -> Iterator[tuple[Exchange, ...]]:
        """Run one rank's share of the plan, up to each barrier at which ranks exchange; the last ends the plan.

        At each barrier the rank must get from every other rank the parts of that rank's shards (:meth:`part`), before
        it goes on. All ranks meet at the same barriers. They have the same parameters, states, ``n`` and inputs without
        a batch; of inputs with a batch, a rank needs the samples of its own shards. All bits are then those of a run
        by one process.
        """
        start = 0
        for end, needed in enumerate(self._exchanges):
            if needed:
                self.run(n, prepare=prepare, segments=range(start, end), shards=shards)
                yield needed
                start = end
        self.run(n, prepare=prepare, segments=range(start, len(self.plan.segments)), shards=shards)

    def part(self, exchange: Exchange, n: int, shards: range) -> np.ndarray:
        """Return the part of some shards in a buffer to exchange, as an array that shares its memory."""
        offset, shape, strides = exchange.part(n, shards)
        flat = self.view(exchange.buffer).reshape(-1)
        return np.lib.stride_tricks.as_strided(flat[offset:], shape, [s * flat.itemsize for s in strides])

    def view(self, buffer: Buffer) -> np.ndarray:
        """Return a buffer as an array [copies, elements] that shares its memory; not one that lies elsewhere."""
        assert buffer.kind not in (*OF_THREAD, GIVEN), f"{buffer.name} lies in a workspace or is the caller's"
        memory = {PARAM: self.parameters, STATE: self.states}.get(buffer.kind, self.arena)
        copies = {BATCHED: self.plan.batch, PARTIAL: SHARDS}.get(buffer.kind, 1)
        raw = memory[buffer.offset : buffer.offset + buffer.nbytes * copies].view(NUMPY[buffer.dtype])
        return raw.reshape(copies, -1)

    def image(self, name: str) -> np.ndarray:
        """Return a batched value as an array [batch, H, W, C] that shares its memory, without the halo."""
        if name not in self._images:
            layout, flat = self.plan.layouts[name], self.view(self.plan.buffers[name])
            shape = flat.shape[0], layout.height, layout.width, layout.channels
            steps = (layout.row_stride * flat.itemsize, layout.pixel_stride * flat.itemsize, flat.itemsize)
            strides = flat.strides[0], *steps
            self._images[name] = np.lib.stride_tricks.as_strided(flat[:, layout.origin :], shape, strides)
        return self._images[name]
