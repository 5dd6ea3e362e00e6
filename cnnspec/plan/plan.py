"""The plan: kernel calls, by name, on buffers at offsets. It prints as text; the runner makes a table of it.

Work is cut the same way whatever the number of threads, so results are the same to the last bit:

- a *batch* segment cuts the samples into ``SHARDS`` shards; each shard goes through all calls of the segment a few
  samples (``group``) at a time, so that what they hand on stays in the cache;
- a *block* segment cuts something else (filters, parameters) into blocks, each of which sees the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ..abi import When, signature_of
from ..layouts import ImageLayout

SHARDS = 8  # fixed: the order of all sums follows from it; plans without sums may be cut finer (runtime/runner.py)
ALIGN = 64  # bytes; a cache line and a vector
CACHE_BYTES = 512 * 1024  # what a group may touch: half of the second-level cache of the machines measured

# Domains of calls; n > 0 stands for n blocks.
BATCH = 0  # cut by samples, a few at a time
WIDE = -1  # cut by samples, a whole shard at a time: dense layers, whose rows are samples

ITEM = {"f32": 4, "f64": 8, "i32": 4, "i64": 8, "u8": 1}

# Kinds of buffers: where a buffer lives, and its copies.
BATCHED = "batched"  # arena, one copy for each sample
LOCAL = "local"  # workspace of a thread, one copy for each sample of a group
SCRATCH = "scratch"  # workspace of a thread, for one call
KEPT = "kept"  # workspace of a thread, from a shard's first group to its last
SHARED = "shared"  # arena, one copy
PARTIAL = "partial"  # arena, one copy for each shard
PARAM = "param"  # memory of the parameters
STATE = "state"  # memory of the optimizer's states
GIVEN = "given"  # array of the caller
OF_THREAD = (LOCAL, SCRATCH, KEPT)  # in workspaces


@dataclass
class Buffer:
    """A piece of memory. ``elements`` counts one sample (batched, local), one shard (partial) or all (others).

    The planner sets ``kind`` of batched values to local where it can, and ``offset`` (bytes; for locals in the
    workspace). ``first`` and ``last`` are the positions in the schedule between which it is alive.
    """

    name: str
    dtype: str
    elements: int
    kind: str
    pinned: bool = False  # read or written by the host: alive all the time
    offset: int = -1
    first: int = -1
    last: int = -1

    @property
    def nbytes(self) -> int:
        """Bytes of one copy, a multiple of ALIGN."""
        return -(-self.elements * ITEM[self.dtype] // ALIGN) * ALIGN


@dataclass(frozen=True)
class Operand:
    """What a call reads or writes: a buffer from ``offset`` on, ``extent`` elements of it (one sample, one block).

    ``block`` is how many elements further each block (or shard) of a block segment starts. ``sample`` is how many
    elements further each sample of a batch segment starts in a shared buffer. There a sample's elements lie in pieces
    of ``sample`` elements; ``repeats`` says how many pieces, as nested (count, elements from one to the next).
    """

    buffer: Buffer
    offset: int = 0
    extent: int = 0
    block: int = 0
    write: bool = False
    sample: int = 0
    repeats: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class KernelCall:
    """One call of a kernel. ``domain``: BATCH, WIDE or a number of blocks; ``backward``: for reports only.

    ``operands`` and ``args`` are namedtuples with the names of the kernel's signature (cnnspec/abi/kernels.py).
    """

    kernel: str
    operands: tuple[Operand, ...]
    args: Any
    domain: int
    layer: str = ""
    backward: bool = False
    flops: int = 0  # for one sample
    waits: tuple[Buffer, ...] = ()  # buffers that must be written before, though the call does not read them
    when: When = When.ALWAYS

    @property
    def reads(self) -> Iterator[Buffer]:
        yield from (o.buffer for o in self.operands if not o.write)
        yield from self.waits

    @property
    def writes(self) -> Iterator[Buffer]:
        return (o.buffer for o in self.operands if o.write)


@dataclass
class Segment:
    """Calls that run without a barrier between them. ``group``: samples at a time (batch segments)."""

    domain: int
    calls: list[KernelCall] = field(default_factory=list)
    group: int = 1
    prepare: bool = False  # depends on parameters alone, or on nothing: inference runs it once

    @property
    def by_sample(self) -> bool:
        return self.domain <= BATCH

    @property
    def every_shard(self) -> bool:
        """Whether shards run even without samples: what they would add up is then zero."""
        return any(c.when != When.ALWAYS for c in self.calls)


@dataclass
class Plan:
    """A schedule with memory laid out.

    Attributes
    ----------
    batch : most samples a run may have.
    dtype : ``f32`` or ``f64``, the type of all floating buffers.
    segments : in order.
    buffers : all of them, by name.
    layouts : layout of each batched value, by value name.
    arena, workspace : bytes, shared and for each thread.
    inputs, outputs : graph input or result -> buffer.
    gradients : parameter name -> (buffer, copies that must be added).
    """

    batch: int
    dtype: str
    segments: list[Segment]
    buffers: dict[str, Buffer]
    layouts: dict[str, ImageLayout]
    arena: int
    workspace: int
    inputs: dict[str, Buffer]
    outputs: dict[str, Buffer]
    gradients: dict[str, tuple[Buffer, int]] = field(default_factory=dict)
    parameters: int = 0  # bytes of all parameters
    states: int = 0  # bytes of the optimizer's states

    @property
    def kernels(self) -> list[str]:
        """Names of the kernels it needs, in order of first use."""
        return list(dict.fromkeys(c.kernel for s in self.segments for c in s.calls))

    def reads(self, name: str) -> bool:
        """Whether any call reads the input of this name."""
        wanted = self.inputs.get(name)
        return any(b is wanted for s in self.segments for c in s.calls for b in c.reads)

    def __str__(self) -> str:
        lines = [
            f"plan batch={self.batch} dtype={self.dtype} arena={self.arena} bytes "
            f"workspace={self.workspace} bytes a thread parameters={self.parameters} bytes states={self.states} bytes"
        ]
        for i, s in enumerate(self.segments):
            cut = f"batch shards={SHARDS} group={s.group}" if s.by_sample else f"blocks={s.domain}"
            lines.append(f"segment {i} {cut}{' prepare' if s.prepare else ''}")
            lines += [_line(c) for c in s.calls]
        return "\n".join(lines) + "\n"


def _line(c: KernelCall) -> str:
    """Return a call as one line: WRITTEN = KERNEL READ [ARGUMENTS], each by its name in the kernel's signature."""
    signature = signature_of(c.kernel)
    operands = [(f"{field.name}:{_show(o)}", o) for field, o in zip(signature.operands, c.operands, strict=True)]
    reads = " ".join(text for text, o in operands if not o.write)
    writes = " ".join(text for text, o in operands if o.write)
    args = " ".join(f"{field.name}={_number(a)}" for field, a in zip(signature.arguments, c.args, strict=True))
    when = "" if c.when == When.ALWAYS else f" {c.when.name.lower()}"
    return f"  {writes} = {c.kernel} {reads} [{args}]{when}{f'  ; {c.layer}' if c.layer else ''}"


def _show(o: Operand) -> str:
    where = f"{o.buffer.kind}@{o.buffer.offset}" if o.buffer.offset >= 0 else o.buffer.kind
    inside = f"+{o.offset}" if o.offset else ""
    return f"{o.buffer.name}({where}{inside})"


def _number(a: int | float) -> str:
    if isinstance(a, IntEnum):
        return a.name.lower()
    return f"{a:g}" if isinstance(a, float) else str(a)
