"""Graph -> kernel calls. Ops reach this as ``emit``: what they call, on the values of the graph, and common forms."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Graph, Node, Value
from .cut import Cut, worthwhile
from .plan import (
    ALWAYS,
    BATCH,
    BATCHED,
    FIRST,
    GIVEN,
    KEPT,
    LAST,
    PARTIAL,
    SCRATCH,
    SHARDS,
    SHARED,
    WIDE,
    Buffer,
    ImageLayout,
    KernelCall,
    Operand,
)
from .values import Values, padded

CHUNKS = 16  # blocks that parameters are cut into
NARROW = 8  # channels up to which pooling takes narrow vectors; kernels/pool.py
MAP_SPEED = 2  # numbers a nanosecond that a map reads and writes
POOL_SPEED = 4  # numbers of an image a nanosecond
CACHE_LINE = 16  # numbers: two threads should not write to one


class Emitter(Values):
    """Collects the calls of one graph."""

    SHARDS, WIDE, LAST, KEPT = SHARDS, WIDE, LAST, KEPT

    @staticmethod
    def padded(n: int) -> int:
        """Return the elements that a vector of so many channels takes in memory."""
        return padded(n)

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
        forward_ends = next((i for i, n in enumerate(self.graph.nodes) if n.op.name.endswith("_grad")), None)
        for i, node in enumerate(self.graph.nodes):
            self.layer = node.layer
            self.backward = forward_ends is not None and i >= forward_ends
            node.op.lower(self, node)
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
        cut = self.cut(0, layout.height, 1, row, layout.row, speed=MAP_SPEED)
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

    @staticmethod
    def cut(place: int, size: int, unit: int, *steps: int, speed: int) -> Cut:
        """Return how a call may be cut where one image is all there is; see :class:`Cut`."""
        return Cut(place, size, unit, steps, speed)

    @staticmethod
    def worthwhile(flops: int, speed: int) -> int:
        """Return into how many blocks a call for one image may be cut, at so many GFLOP/s."""
        return worthwhile(flops, speed)

    def zeros(self, elements: int) -> Buffer:
        """Return a buffer of zeros, for what may be left out: the bias of a layer that has none."""
        name = f"zeros{padded(elements)}"
        if name not in self.buffers:
            b = self._new(name, self.dtype, padded(elements), SHARED)
            operand = Operand(b, 0, b.elements, 0, True)
            self.prologue.append(KernelCall(self._kernel("fill"), (operand,), (b.elements, 0.0), 1))
        return self.buffers[name]

    # ---- forms ------------------------------------------------------------------------------------
    def map(self, kernel: str, node: Node, *args: int | float) -> None:
        """Emit a kernel that works number by number on values of one shape, in the longest rows there are."""
        values = [*node.inputs, node.output]
        layouts = [self.layout(v) for v in values]
        first = layouts[0]
        if all(x.halo == (0, 0) for x in layouts) and not self.one_image:
            rows, inner = 1, first.height * first.width * first.channels
        else:
            rows, inner = first.height, first.width * first.channels
        cut = self.cut(0, rows, 1, *(layout.row for layout in layouts), speed=MAP_SPEED)
        strides = [n for x in layouts for n in (x.image, x.row)]
        operands = [self.image(v) for v in node.inputs] + [self.image(node.output, write=True)]
        self.call(kernel, operands, (rows, inner, *strides, *args), cut=cut, work=rows * inner)

    def add(self, node: Node, activation: tuple[int, float]) -> None:
        """Emit the sum of two or more values, pair by pair; the last applies the activation."""
        total, *others = node.inputs
        for other in others:
            last = activation if other is others[-1] else (0, 0.0)
            self.map("add", Node(node.op, (total, other), node.outputs, node.layer), *last)
            total = node.output

    def multiply(self, node: Node) -> None:
        a, b = node.inputs
        if a.sample == b.sample:
            self.map("multiply", node)
            return
        if a.sample_size < b.sample_size:
            a, b = b, a
        layout = self.layout(a)
        args = (
            layout.height,
            layout.width,
            layout.channels,
            *self.strides(a),
            self.layout(b).image,
            *self.strides(node.output),
        )
        self.call("scale_channels", [self.image(a), self.image(b), self.image(node.output, write=True)], args)

    def copy_channels(self, source: Value, target: Value, start: int, to: int, count: int) -> None:
        """Copy ``count`` channels from channel ``start`` of one value to channel ``to`` of another."""
        x, y = self.layout(source), self.layout(target)
        operands = [
            self.image(source, at=x.origin + start, extent=x.image - x.origin - start),
            self.image(target, at=y.origin + to, extent=y.image - y.origin - to, write=True),
        ]
        self.call("copy", operands, (x.height, x.width, count, *self.strides(source), *self.strides(target)))

    def alias_or_copy(self, node: Node) -> None:
        """Give the same numbers another shape: free where no halo lies between them."""
        x, y = node.inputs[0], node.output
        if self.layout(x).halo == (0, 0) and self._halos.get(y.name, (0, 0)) == (0, 0):
            self.alias(y, x)
            return
        a, b = (x, y) if len(x.sample) == 3 else (y, x)  # a is the image
        layout = self.layout(a)
        flat = (self.layout(b).image, layout.width * layout.channels, layout.channels)
        strides = {a.name: self.strides(a), b.name: flat}
        operands = [self.image(x), self.image(y, write=True)]
        self.call(
            "copy",
            operands,
            (layout.height, layout.width, layout.channels, *strides[x.name], *strides[y.name]),
        )

    def pool(self, kernel: str, node: Node, *args: int) -> None:
        """Emit a pooling kernel or its gradient; the image is what the window slides over."""
        made = [v for v in node.outputs if v is node.output or v.name in self._read]
        values = [*node.inputs, *made]
        big, small = (values[-1], values[0]) if kernel.endswith("_grad") else (values[0], node.output)
        x, y = self.layout(big), self.layout(small)
        if args == (2, 2, 2, 2, 0, 0) and (x.height, x.width) == (2 * y.height, 2 * y.width) and "max" in kernel:
            kernel += ".2x2.narrow" if x.channels <= NARROW else ".2x2"
        if len(made) < len(node.outputs):  # nobody asks which place of a window was the largest
            kernel += ".values"
        strides = [n for v in values for n in self.strides(v)]
        operands = [self.image(v) for v in node.inputs] + [self.image(v, write=True) for v in made]
        cut = self.cut(2, x.channels, CACHE_LINE, *[1] * len(operands), speed=POOL_SPEED)
        work = x.height * x.width * x.channels
        self.call(
            kernel, operands, (x.height, x.width, x.channels, y.height, y.width, *args, *strides), cut=cut, work=work
        )

    def rows(self, kernel: str, node: Node, *args: float) -> None:
        """Emit a kernel that works vector by vector: softmax and losses."""
        operands = [self.image(v) if v.has_batch else self.whole(v) for v in node.inputs]
        operands += [self.image(v, write=True) for v in node.outputs]
        strides = [self.layout(v).image if v.has_batch else 0 for v in (*node.inputs, *node.outputs)]
        self.call(f"{kernel}{self._target(node)}", operands, (node.inputs[0].sample_size, *strides, *args))

    @staticmethod
    def _target(node: Node) -> str:
        return ".onehot" if node.op.name.startswith("mse") and node.inputs[1].dtype == "i32" else ""

    def random_drop(self, node: Node, rate: float, stream: int) -> None:
        x, keys = node.inputs
        layout = self.layout(x)
        args = (
            layout.height,
            layout.width * layout.channels,
            *self.strides(x)[:2],
            *self.strides(node.output)[:2],
        )
        operands = [self.image(x), self.image(keys), self.image(node.output, write=True)]
        self.call("random_drop", operands, (*args, self.layout(keys).image, rate, stream))

    def spatial_sum(self, node: Node) -> None:
        x, y = node.inputs[0], node.output
        layout = self.layout(x)
        args = (layout.height, layout.width, layout.channels, *self.strides(x), self.layout(y).image)
        self.call("spatial_sum", [self.image(x), self.image(y, write=True)], args)

    def channel_sum(self, node: Node) -> None:
        """Emit the gradient of a bias: added up in one copy for each shard."""
        dy = node.inputs[0]
        layout = self.layout(dy)
        total = self.gradient(node.output, padded(layout.channels))
        args = (layout.height, layout.width, layout.channels, *self.strides(dy))
        self.call("channel_sum", [self.image(dy), self.whole(total, write=True)], args)
