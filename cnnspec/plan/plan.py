"""The plan: segments of kernel calls on buffers at offsets. It prints as text, and the runner makes tables of it.

A segment is a list of calls without a barrier between them. Its work is cut into parts that threads run:

- a *batch* segment cuts the batch into ``SHARDS`` shards, runs of samples. Each shard goes through all calls of the
  segment, ``group`` samples at a time, so that the images that one call hands to the next stay in the cache;
- a *block* segment cuts rows of an image, output channels or parameters into blocks. Each block reads the whole batch.

The cut does not depend on the number of threads. Neither does the order of any sum, nor a bit of a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

from ..abi import When, signature_of
from ..layouts import ImageLayout

SHARDS = 8  # fixed: the order of all sums follows from it; plans without sums may be cut finer (runtime/runner.py)
ALIGN = 64  # bytes: a cache line
CACHE_BYTES = 512 * 1024  # most bytes that a group touches: half of the second-level cache of the machines measured

ITEM = {"f32": 4, "f64": 8, "i32": 4, "i64": 8, "u8": 1}  # bytes of an element


class Domain(IntEnum):
    """What a call is cut into; a number above 0 is a count of blocks."""

    BATCH = 0  # shards, one group of samples at a time
    WIDE = -1  # shards, all samples of a shard at a time: dense layers, whose matrix rows are samples


class Kind(str, Enum):
    """The memory that a buffer lies in, and the number of its copies.

    The arena, the parameters and the states are shared by all threads; each thread has a workspace of its own.
    """

    BATCHED = "batched"  # arena, one copy a sample
    LOCAL = "local"  # workspace, one copy a sample of a group: a value that no other segment reads
    SCRATCH = "scratch"  # workspace, one copy, for the length of one call
    KEPT = "kept"  # workspace, one copy, from a shard's first group to its last
    SHARED = "shared"  # arena, one copy
    PARTIAL = "partial"  # arena, one copy a shard: sums over samples, which a later call adds up
    PARAM = "param"  # parameters, one copy
    STATE = "state"  # the optimizer's states, one copy
    GIVEN = "given"  # memory of the caller, one copy, which holds all samples

    __str__ = str.__str__


BATCH, WIDE = Domain
BATCHED, LOCAL, SCRATCH, KEPT, SHARED, PARTIAL, PARAM, STATE, GIVEN = Kind
OF_THREAD = (LOCAL, SCRATCH, KEPT)  # the kinds in workspaces


@dataclass(slots=True)
class Buffer:
    """A piece of memory of one kind, of which other buffers may use the bytes before and after its life.

    Attributes
    ----------
    elements : of one copy.
    kind : set to LOCAL by plan/memory.py where a BATCHED value lives in one segment only.
    offset : bytes from the start of its memory to its first copy; -1 until plan/memory.py sets it.
    first, last : positions in the sequence of all calls: the first and the last call in its life.
    """

    name: str
    dtype: str
    elements: int
    kind: Kind
    pinned: bool = False  # the host reads or writes it: alive all the time
    offset: int = -1
    first: int = -1
    last: int = -1

    @property
    def nbytes(self) -> int:
        """Bytes of one copy, a multiple of ALIGN."""
        return -(-self.elements * ITEM[self.dtype] // ALIGN) * ALIGN


@dataclass(frozen=True, slots=True)
class Operand:
    """A part of a buffer that a call reads or writes. All numbers are elements of the buffer's dtype.

    Attributes
    ----------
    offset : the first element, of the first sample and the first block.
    extent : elements from the first to behind the last that the call touches for one sample or one block.
    block : elements from block to block in a block segment; 0 where all blocks share the part, and for PARTIAL buffers,
        of which each block has a copy.
    sample : elements from sample to sample in a SHARED or GIVEN buffer; 0 for other kinds, whose copies are samples.
    repeats : where a sample of a SHARED buffer is not one run of elements but pieces of ``sample`` elements: how many
        pieces there are, as nested pairs (count, elements from one to the next).
    """

    buffer: Buffer
    offset: int = 0
    extent: int = 0
    block: int = 0
    write: bool = False
    sample: int = 0
    repeats: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class KernelCall:
    """One call of a kernel, for each group of samples or each block of its segment.

    ``operands`` and ``args`` are namedtuples with the names of the kernel's signature (cnnspec/abi/kernels.py).
    ``domain`` is BATCH, WIDE or a number of blocks. ``layer``, ``backward`` and ``flops`` are for reports only.
    """

    kernel: str
    operands: tuple[Operand, ...]
    args: Any
    domain: int
    layer: str = ""
    backward: bool = False
    flops: int = 0  # floating-point operations for one sample
    waits: tuple[Buffer, ...] = ()  # buffers that the call does not read, but that must be written before it
    when: When = When.ALWAYS

    @property
    def reads(self) -> Iterator[Buffer]:
        """Buffers that must be written before the call."""
        yield from (o.buffer for o in self.operands if not o.write)
        yield from self.waits

    @property
    def writes(self) -> Iterator[Buffer]:
        return (o.buffer for o in self.operands if o.write)


@dataclass(slots=True)
class Segment:
    """Calls of one domain that run without a barrier between them."""

    domain: int
    calls: list[KernelCall] = field(default_factory=list)
    group: int = 1  # samples that go through all calls together, in batch segments
    prepare: bool = False  # the calls depend on parameters alone, or on nothing: inference runs them once

    @property
    def by_sample(self) -> bool:
        return self.domain <= BATCH

    @property
    def every_shard(self) -> bool:
        """Whether shards without samples run, too: their copies of the sums must be cleared to zero."""
        return any(c.when != When.ALWAYS for c in self.calls)


@dataclass
class Plan:
    """The segments of a graph in order, with all buffers at their offsets.

    Attributes
    ----------
    batch : most samples of a run.
    dtype : ``f32`` or ``f64``, the type of all floating buffers.
    segments : in the order of the run.
    buffers : all buffers, by name.
    layouts : layout of each batched value, by value name.
    arena, workspace : bytes of the memory that all threads share, and of the memory of each thread.
    inputs, outputs : buffers of the graph's inputs and results, by name.
    gradients : by parameter name, the gradient's buffer and the number of its copies, which must be added up.
    parameters, states : bytes of all parameters, and of the optimizer's states.
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
    parameters: int = 0
    states: int = 0

    @property
    def kernels(self) -> list[str]:
        """Names of the kernels that the plan calls, in order of first use."""
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
    """Return an operand as NAME(KIND@BYTES+ELEMENTS): offset of the buffer, offset of the operand in it."""
    where = f"{o.buffer.kind}@{o.buffer.offset}" if o.buffer.offset >= 0 else o.buffer.kind
    inside = f"+{o.offset}" if o.offset else ""
    return f"{o.buffer.name}({where}{inside})"


def _number(a: int | float) -> str:
    if isinstance(a, IntEnum):
        return a.name.lower()
    return f"{a:g}" if isinstance(a, float) else str(a)
