"""Graph -> kernel calls. Lowerings reach the emitter as ``emit``, and append calls on the values of the graph."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Graph, Value
from ..layouts import ImageLayout
from ..plan.plan import (
    ALWAYS,
    BATCH,
    BATCHED,
    FIRST,
    GIVEN,
    KEPT,
    LAST,
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
from .values import Values, padded

MAP_SPEED = 2  # numbers a nanosecond that a map reads and writes


class Emitter(Values):
    """Collects the calls of one graph."""

    def __init__(self, graph: Graph, dtype: str = "f32", batch: int = 2, given: Sequence[str] = ()) -> None:
        super().__init__(graph, dtype, batch, given)
        self.calls: list[KernelCall] = []
        self.prologue: list[KernelCall] = []
        self.epilogue: list[KernelCall] = []  # when the loss is known; its totals become their last operand
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
        operands = [Operand(source, 0, v.sample_size, sample=v.sample_size), self.image(v, write=True)]
        cut = Cut(0, layout.height, 1, (row, layout.row), MAP_SPEED)
        args = (layout.height, 1, row, v.sample_size, row, 0, layout.image, layout.row, 0)
        self.call("copy", operands, args, cut=cut, work=v.sample_size)
        self.layer = ""

    # ---- calls ------------------------------------------------------------------------------------
    def _kernel(self, name: str) -> str:
        return f"{name}.{self.dtype}"

    def call(
        self,
        kernel: str,
        operands: Sequence[Operand],
        args: Sequence[int | float] = (),
        domain: int = BATCH,
        flops: int = 0,
        waits: tuple[Buffer, ...] = (),
        cut: Cut | None = None,
        work: int = 0,
        when: int = ALWAYS,
    ) -> None:
        """Append a call; before they are first written, buffers with a halo are cleared around, partial ones wholly.

        ``waits``: buffers that are not read, but must have been written before. ``cut``: how one image may be shared
        among threads; done where it is worth the barrier, for so many ``flops`` or other ``work``.
        """
        for o in operands:
            layout = self.layouts.get(o.buffer.name)
            if o.write and layout and layout.halo != (0, 0) and o.buffer.name not in self._cleared:
                self._clear_halo(o.buffer, layout, (*waits, *(r.buffer for r in operands if not r.write)))
        blocks = cut.blocks(flops or work) if cut and self.one_image else 1
        if cut and blocks > 1:
            operands, args, domain = cut.apply(operands, blocks), cut.shorten(args, blocks), blocks
        elif domain == BATCH and all(self._is_vector(o.buffer) for o in operands):
            domain = WIDE
        for o in operands:
            if o.write and o.buffer.kind in (PARTIAL, KEPT) and when != LAST and o.buffer.name not in self._cleared:
                self._clear_partial(o.buffer, domain, (*waits, *(r.buffer for r in operands if not r.write)))
        made = self._kernel(kernel), tuple(operands), tuple(args)
        self.calls.append(KernelCall(*made, domain, self.layer, self.backward, flops, waits, when))

    def after_loss(self, kernel: str, operands: Sequence[Operand], args: Sequence[int | float]) -> None:
        """Append a call that comes when the loss is known and leaves all as it is where that is not finite."""
        self.epilogue.append(KernelCall(self._kernel(kernel), tuple(operands), tuple(args), 1, self.layer))

    def _clear_partial(self, buffer: Buffer, domain: int, waits: tuple[Buffer, ...]) -> None:
        """Emit zeros where each shard adds up, no earlier than the call that does: its memory is not held for long."""
        self._cleared.add(buffer.name)
        operand, args = Operand(buffer, 0, buffer.elements, 0, True), (buffer.elements, 0.0)
        kernel = self._kernel("fill")
        self.calls.append(
            KernelCall(kernel, (operand,), args, domain, self.layer, self.backward, waits=waits, when=FIRST)
        )

    def _is_vector(self, b: Buffer) -> bool:
        """Whether a buffer holds one pixel a sample (or no samples): too little to go a few samples at a time."""
        layout = self.layouts.get(b.name)
        return b.kind not in (BATCHED, SCRATCH, KEPT) or (layout is not None and layout.height == layout.width == 1)

    def _clear_halo(self, buffer: Buffer, layout: ImageLayout, waits: tuple[Buffer, ...]) -> None:
        """Emit zeros around an image, no earlier than the call that fills it: so its memory is not held for long.

        The plan of one image has memory for all, and each segment counts: there they are written once for all runs.
        """
        self._cleared.add(buffer.name)
        args = (layout.image, layout.row, layout.height, layout.halo[0], layout.halo[1] * layout.pixel)
        operand = Operand(buffer, 0, layout.image, 0, True)
        kernel = self._kernel("clear_halo")
        if self.one_image and not self.training:
            self.prologue.append(KernelCall(kernel, (operand,), args, 1))
        else:
            self.calls.append(KernelCall(kernel, (operand,), args, BATCH, self.layer, self.backward, waits=waits))

    def zeros(self, elements: int) -> Buffer:
        """Return a buffer of zeros, for what may be left out: the bias of a layer that has none."""
        name = f"zeros{padded(elements)}"
        if name not in self.buffers:
            b = self._new(name, self.dtype, padded(elements), SHARED)
            operand = Operand(b, 0, b.elements, 0, True)
            self.prologue.append(KernelCall(self._kernel("fill"), (operand,), (b.elements, 0.0), 1))
        return self.buffers[name]
