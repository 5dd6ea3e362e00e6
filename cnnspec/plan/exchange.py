"""What processes that share a step must exchange, told from the plan.

Each process, a *rank*, runs the segments that are cut by samples for its own shards, and block segments whole. Block
segments see the whole batch. Before one runs, each rank needs from the others the sums of their shards (gradients,
statistics of batch norm: PARTIAL buffers), and here and there the values of their samples (losses; and whatever is read
by layers whose large filters are cut into blocks). Every rank then adds up the same numbers in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .plan import BATCHED, ITEM, PARTIAL, SHARDS, Buffer, KernelCall, Operand, Plan


@dataclass(frozen=True)
class Exchange:
    """A buffer of which each rank has made the part of its own shards, and of which it needs all.

    Attributes
    ----------
    buffer : the buffer, which lies in the arena.
    by_shard : whether it has one copy for each shard [SHARDS, step]; else its parts are of samples.
    step : elements from one shard (or sample) to the next. Parts are ``step`` elements a shard (or sample).
    offset : elements before the first part.
    repeats : where the part of a sample lies in several pieces: their count, and elements from one to the next, nested.
    """

    buffer: Buffer
    by_shard: bool
    step: int
    offset: int = 0
    repeats: tuple[tuple[int, int], ...] = ()

    def part(self, n: int, shards: range) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Return where the part of some shards of ``n`` samples lies: first element, shape, strides in elements."""
        mine = shards if self.by_shard else samples_of(shards, n)
        shape = *(count for count, _ in self.repeats), len(mine) * self.step
        return self.offset + mine.start * self.step, shape, (*(far for _, far in self.repeats), 1)


def samples_of(shards: range, n: int) -> range:
    """Return the samples of some shards, of a batch of ``n``: the cut that the walker makes."""
    return range(shards.start * n // SHARDS, shards.stop * n // SHARDS)


def exchanges(plan: Plan) -> list[tuple[Exchange, ...]]:
    """Return for each segment what must be exchanged before it runs; last, for the host to read the plan's results.

    Not exchanged are the samples that plans take from the caller's array: training and inference copy them sample by
    sample. The plan of a batch of one cuts its sample into blocks; each rank of it must have that sample.

    A segment whose exchanges are not ``by_shard`` reads values of all samples: it is computed by each rank in full.
    """
    partly = {b.name: [_whole_samples(b)] for b in plan.inputs.values() if b.kind == BATCHED}
    needed: list[tuple[Exchange, ...]] = []
    for segment in plan.segments:
        if segment.by_sample:
            needed.append(())
            for call in segment.calls:
                _note_parts(partly, call)
        else:  # what a call writes it may add to
            needed.append(_take(partly, [o.buffer for call in segment.calls for o in call.operands]))
    results = [*plan.outputs.values(), *(b for b, _ in plan.gradients.values())]
    return [*needed, _take(partly, results)]


def _note_parts(partly: dict[str, list[Exchange]], call: KernelCall) -> None:
    """Add the buffers of which a call of a batch segment writes a part on each rank."""
    for o in (o for o in call.operands if o.write):
        for part in _parts_of(o):
            known = partly.setdefault(o.buffer.name, [])
            if part not in known:
                known.append(part)


def _parts_of(o: Operand) -> Iterator[Exchange]:
    b = o.buffer
    if b.kind == PARTIAL:
        yield Exchange(b, True, b.nbytes // ITEM[b.dtype])
    elif b.kind == BATCHED:
        yield _whole_samples(b)
    elif o.sample:
        yield Exchange(b, False, o.sample, o.offset, o.repeats)


def _whole_samples(b: Buffer) -> Exchange:
    return Exchange(b, False, b.nbytes // ITEM[b.dtype])


def _take(partly: dict[str, list[Exchange]], buffers: Iterable[Buffer]) -> tuple[Exchange, ...]:
    """Return what is to be exchanged of some buffers, of which every rank then has all."""
    names = dict.fromkeys(b.name for b in buffers)
    return tuple(part for name in names for part in partly.pop(name, ()))
