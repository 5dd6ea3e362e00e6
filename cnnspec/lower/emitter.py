"""Graph -> kernel calls. Lowerings reach the emitter as ``emit``, and append calls on the values of the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..abi import When, pack, signature_of
from ..ir.graph import Graph, Value
from ..layouts import ImageLayout
from ..plan.plan import (
    BATCH,
    BATCHED,
    GIVEN,
    KEPT,
    PARTIAL,
    SCRATCH,
    SHARED,
    WIDE,
    Buffer,
    KernelCall,
    Operand,
)
from .cut import Cut
from .registry import LOWERINGS
from .values import Values, padded, strides_of

MAP_SPEED = 2  # numbers a nanosecond that a map reads and writes


class Emitter(Values):
    """Collects the calls of one graph."""

    def __init__(self, graph: Graph, dtype: str = "f32", batch: int = 2, given: Sequence[str] = ()) -> None:
        super().__init__(graph, dtype, batch, given)
        self.calls: list[KernelCall] = []
        self.constant: list[KernelCall] = []  # of what depends on no input: before all layers
        self.guarded: list[Callable[[Operand], KernelCall]] = []  # made from the totals of the loss
        self.layer = ""
        self.backward = False
        self._cleared: set[str] = set()
        for v in graph.inputs:
            if v.name in given:
                self._take(v)

    def lower(self) -> None:
        """Let every node emit its calls."""
        loss = self.graph.outputs.get("loss")
        for node in self.graph.nodes:
            self.layer = node.layer
            LOWERINGS.of(node.op).emit(self, node, node.op)
            self.backward |= self.training and loss in node.outputs
        self.layer = ""

    def _take(self, v: Value) -> None:
        """Emit the copy of an input from the caller's array, by the threads that will read it."""
        layout = self.layout(v)
        row = layout.width * layout.channels
        source = self._new(f"{v.name}.{GIVEN}", self.dtype, self.batch * v.sample_size, GIVEN)
        source.offset = 0
        if self.buffers[v.name].pinned:  # its halo is as it was from the start
            self._cleared.add(v.name)
        self.layer = "input"
        operands = {"x": Operand(source, 0, v.sample_size, sample=v.sample_size), "y": v}
        cut = Cut("height", layout.height, 1, {"x": row, "y": layout.row_stride}, MAP_SPEED)
        args = dict(
            height=layout.height, width=1, channels=row, **strides_of("x", v.sample_size, row, 0), y_pixel_stride=0
        )
        self.call("copy", operands, args, cut=cut, work=v.sample_size)
        self.layer = ""

    # ---- calls ------------------------------------------------------------------------------------
    def made(
        self,
        kernel: str,
        operands: Mapping[str, Any],
        args: Mapping[str, int | float],
        domain: int,
        flops: int = 0,
        waits: tuple[Buffer, ...] = (),
        when: When = When.ALWAYS,
    ) -> KernelCall:
        """Return a call of the node in work; InternalError unless operands and arguments have the kernel's names."""
        name = f"{kernel}.{self.dtype}"
        packed = pack(name, *self._complete(name, operands, args))
        return KernelCall(name, *packed, domain, self.layer, self.backward, flops, waits, when)

    def _complete(
        self, kernel: str, operands: Mapping[str, Any], args: Mapping[str, int | float]
    ) -> tuple[dict[str, Operand], dict[str, int | float]]:
        """Return the operands as parts of buffers, and the arguments with the strides of values that they lack.

        The kernel's signature says which operands it writes, and which strides it takes.
        """
        signature = signature_of(kernel)
        written, taken = {f.name for f in signature.operands if f.write}, {f.name for f in signature.arguments}
        parts: dict[str, Operand] = {}
        strides: dict[str, int] = {}
        for name, o in operands.items():
            part = o if isinstance(o, Operand) else self.operand(o)
            parts[name] = part if part.write == (name in written) else replace(part, write=not part.write)
            if isinstance(o, Value):
                strides |= {argument: n for argument, n in self.strides(name, o).items() if argument in taken}
        return parts, {**strides, **args}

    def call(
        self,
        kernel: str,
        operands: Mapping[str, Any],
        args: Mapping[str, int | float],
        domain: int = BATCH,
        flops: int = 0,
        waits: tuple[Buffer, ...] = (),
        cut: Cut | None = None,
        work: int = 0,
        when: When = When.ALWAYS,
    ) -> None:
        """Append a call of the node in work.

        ``operands``: values and buffers as a whole, or parts of them as ``operand`` makes them. ``args`` need not hold
        the strides of values. Before a buffer is first written, its halo is cleared; a partial buffer is cleared whole.
        ``waits``: buffers that must have been written before, though the call does not read them. ``cut``: how threads
        may share one image, where ``flops`` or other ``work`` outweigh a barrier.
        """
        parts, args = self._complete(f"{kernel}.{self.dtype}", operands, args)
        read = [o.buffer for o in parts.values() if not o.write]
        for o in parts.values():
            layout = self.layouts.get(o.buffer.name)
            if o.write and layout and layout.halo != (0, 0) and o.buffer.name not in self._cleared:
                self._clear_halo(o.buffer, layout, (*waits, *read))
        blocks = cut.blocks(flops or work) if cut and self.one_image else 1
        if cut and blocks > 1:
            parts, args, domain = cut.apply(parts, blocks), cut.shorten(args, blocks), blocks
        elif domain == BATCH and all(self._is_vector(o.buffer) for o in parts.values()):
            domain = WIDE
        for o in parts.values():
            adds_up = o.write and o.buffer.kind in (PARTIAL, KEPT) and when != When.LAST
            if adds_up and o.buffer.name not in self._cleared:
                self._clear_partial(o.buffer, domain, (*waits, *read))
        self.calls.append(self.made(kernel, parts, args, domain, flops, waits, when))

    def after_loss(self, kernel: str, operands: Mapping[str, Any], args: Mapping[str, int | float]) -> None:
        """Append a call that comes when the loss is known, and leaves all as it is where its ``totals`` are not finite.

        ``totals`` is the operand that it gets then.
        """
        layer = self.layer

        def made(totals: Operand) -> KernelCall:
            return replace(self.made(kernel, {**operands, "totals": totals}, args, 1), layer=layer, backward=False)

        self.guarded.append(made)

    def _clear_partial(self, buffer: Buffer, domain: int, waits: tuple[Buffer, ...]) -> None:
        """Emit zeros where each shard adds up, no earlier than the call that does: its memory is not held for long."""
        self._cleared.add(buffer.name)
        self.calls.append(self.made("fill", *_zeros(buffer), domain, waits=waits, when=When.FIRST))

    def _is_vector(self, b: Buffer) -> bool:
        """Whether a buffer holds one pixel a sample (or no samples): too little to go a few samples at a time."""
        layout = self.layouts.get(b.name)
        return b.kind not in (BATCHED, SCRATCH, KEPT) or (layout is not None and layout.height == layout.width == 1)

    def _clear_halo(self, buffer: Buffer, layout: ImageLayout, waits: tuple[Buffer, ...]) -> None:
        """Emit zeros around an image, no earlier than the call that fills it: so its memory is not held for long.

        The plan of one image has memory for all, and each segment counts: there they are written once for all runs.
        """
        self._cleared.add(buffer.name)
        args = dict(
            y_sample_stride=layout.sample_stride, y_row_stride=layout.row_stride, height=layout.height,
            halo_rows=layout.halo[0], halo_elements=layout.halo[1] * layout.pixel_stride,
        )  # fmt: skip
        operands = {"y": Operand(buffer, 0, layout.sample_stride)}
        if self.one_image and not self.training:
            self._prepare("clear_halo", operands, args)
        else:
            self.calls.append(self.made("clear_halo", operands, args, BATCH, waits=waits))

    def _prepare(self, kernel: str, operands: Mapping[str, Any], args: Mapping[str, int | float]) -> None:
        """Append a call whose results depend on no input."""
        self.constant.append(replace(self.made(kernel, operands, args, 1), layer="", backward=False))

    def zeros(self, elements: int) -> Buffer:
        """Return a buffer of at least ``elements`` zeros, the bias of layers that have none."""
        name = f"zeros{padded(elements)}"
        if name not in self.buffers:
            b = self._new(name, self.dtype, padded(elements), SHARED)
            self._prepare("fill", *_zeros(b))
        return self.buffers[name]


def _zeros(b: Buffer) -> tuple[dict[str, Any], dict[str, int | float]]:
    """Return operands and arguments of the call that fills a buffer with zeros."""
    return {"y": b}, {"elements": b.elements, "value": 0.0}
