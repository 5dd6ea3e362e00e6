"""Graph -> kernel calls. Ops reach this as ``emit``: buffers for values, layouts, and the common forms of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..ir.graph import Graph, Node, Value
from ..ops.base import Pair, Param
from ..ops.filters import filter_layout
from .cut import Cut, worthwhile
from .plan import (
    ALIGN,
    ALWAYS,
    BATCH,
    BATCHED,
    FIRST,
    GIVEN,
    ITEM,
    KEPT,
    LAST,
    PARAM,
    PARTIAL,
    SCRATCH,
    SHARDS,
    SHARED,
    STATE,
    WIDE,
    Buffer,
    ImageLayout,
    KernelCall,
    Operand,
)
from .slices import find_slices

CHUNKS = 16  # blocks that parameters are cut into
NARROW = 8  # channels up to which pooling takes narrow vectors; kernels/pool.py
MAP_SPEED = 2  # numbers a nanosecond that a map reads and writes
POOL_SPEED = 4  # numbers of an image a nanosecond
CACHE_LINE = 16  # numbers: two threads should not write to one
PAD = 256  # every parameter and channel vector is a multiple of this many elements


def padded(n: int) -> int:
    return -(-n // PAD) * PAD


class Emitter:
    """Collects the calls of one graph and gives buffers to its values."""

    SHARDS, WIDE, LAST, KEPT = SHARDS, WIDE, LAST, KEPT

    @staticmethod
    def padded(n: int) -> int:
        """Return the elements that a vector of so many channels takes in memory."""
        return padded(n)

    def __init__(self, graph: Graph, dtype: str = "f32", batch: int = 2, given: Sequence[str] = ()) -> None:
        self.graph, self.dtype, self.batch = graph, dtype, batch
        self.one_image = batch == 1  # then threads share the image, else the batch
        self.calls: list[KernelCall] = []
        self.buffers: dict[str, Buffer] = {}
        self.layouts: dict[str, ImageLayout] = {}
        self.prologue: list[KernelCall] = []
        self.layer = ""
        self.backward = False
        self._alias: dict[str, str] = {}
        self._cleared: set[str] = set()
        self._slices = find_slices(graph)
        self._halos = self._find_halos()
        self._read = graph.uses().keys() | graph.results()
        self._updates = {v.name: name for name, v in graph.updates.items()}
        self._copies: dict[str, int] = {}
        for v in graph.inputs:
            # A given input shares memory with others in the inference of batches; its halo is then cleared in each run.
            pinned = v.name not in given or self.training or self.one_image
            self._new(v.name, self._dtype(v), self._elements(v), BATCHED if v.has_batch else SHARED, pinned=pinned)
            if v.name in given:
                self._take(v, pinned)
        for name, p in graph.params.items():
            self._new(name, dtype, parameter_size(p.value.sample, p.param.groups), PARAM, pinned=True)

    @property
    def training(self) -> bool:
        """Whether gradients are wanted: what depends on parameters alone is then made anew in every step."""
        return any(name.startswith("grad:") for name in self.graph.outputs)

    def lower(self) -> None:
        """Let every node emit its calls."""
        forward_ends = next((i for i, n in enumerate(self.graph.nodes) if n.op.name.endswith("_grad")), None)
        for i, node in enumerate(self.graph.nodes):
            self.layer = node.layer
            self.backward = forward_ends is not None and i >= forward_ends
            node.op.lower(self, node)
        self.layer = ""

    def _take(self, v: Value, clear: bool) -> None:
        """Emit the copy of an input from the caller's array, by the threads that will read it."""
        layout = self.layout(v)
        row = layout.width * layout.channels
        source = self._new(f"{v.name}.{GIVEN}", self.dtype, self.batch * v.sample_size, GIVEN)
        source.offset = 0
        if clear:
            self._cleared.add(v.name)
        self.layer = "input"
        operands = [Operand(source, 0, v.sample_size, sample=v.sample_size), self.image(v, write=True)]
        cut = self.cut(0, layout.height, 1, row, layout.row, speed=MAP_SPEED)
        args = (layout.height, 1, row, v.sample_size, row, 0, layout.image, layout.row, 0)
        self.call("copy", operands, args, cut=cut, work=v.sample_size)
        self.layer = ""

    # ---- values and buffers -----------------------------------------------------------------------
    def _find_halos(self) -> dict[str, Pair]:
        halos: dict[str, Pair] = {}
        for node in self.graph.nodes:
            for index, (h, w) in node.op.halo(node).items():
                name = self._root(node.inputs[index].name)
                old = halos.get(name, (0, 0))
                halos[name] = (max(h, old[0]), max(w, old[1]))
        return halos

    def _root(self, name: str) -> str:
        """Return the value in whose memory a value lies."""
        name = self._alias.get(name, name)
        return self._slices[name].whole if name in self._slices else name

    def _dtype(self, v: Value) -> str:
        return self.dtype if v.dtype == "f32" else v.dtype

    def _elements(self, v: Value) -> int:
        return self.layout(v).image if v.has_batch else padded(v.sample_size)

    def _new(self, name: str, dtype: str, elements: int, kind: str, pinned: bool = False) -> Buffer:
        assert name not in self.buffers, name
        self.buffers[name] = Buffer(name, dtype, elements, kind, pinned)
        return self.buffers[name]

    def layout(self, v: Value) -> ImageLayout:
        """Return the layout of a batched value; a vector is an image of one pixel."""
        if v.name in self._slices:
            part = self._slices[v.name]
            whole = self.layout(part.value)
            return replace(whole, channels=v.sample[2], wide=whole.pixel, first=part.first)
        root = self._alias.get(v.name, v.name)
        if root not in self.layouts:
            shape = v.sample if len(v.sample) == 3 else (1, 1, v.sample_size)
            align = max(16, ALIGN // ITEM[self._dtype(v)])
            self.layouts[root] = ImageLayout(*shape, self._halos.get(root, (0, 0)), align=align)
        known = self.layouts[root]
        if root == v.name:
            return known
        shape = v.sample if len(v.sample) == 3 else (1, 1, v.sample_size)
        return ImageLayout(shape[0], shape[1], shape[2])

    def buffer(self, v: Value, kind: str = "") -> Buffer:
        """Return the buffer of a value, made on first use."""
        if v.name in self._slices:
            return self.buffer(self._slices[v.name].value)
        name = self._alias.get(v.name, v.name)
        if name in self._updates:  # a running statistic is written in place
            return self.buffers[self._updates[name]]
        if name not in self.buffers:
            if v.has_batch:
                self._new(name, self._dtype(v), self.layout(v).image, BATCHED)
            else:
                size = parameter_size(v.sample) if len(v.sample) in (2, 4) else padded(v.sample_size)
                self._new(name, self._dtype(v), size, kind or SHARED)
        return self.buffers[name]

    def scratch(self, hint: str, elements: int, kind: str = SHARED) -> Buffer:
        """Return a fresh buffer for the op's own use; per shard when ``kind`` is PARTIAL."""
        return self._new(f"{hint}#{len(self.buffers)}", self.dtype, elements, kind)

    def once(self, name: str, elements: int) -> tuple[Buffer, bool]:
        """Return the buffer of this name, and whether it is new: for what several nodes need and one computes."""
        known = self.buffers.get(name)
        return (known, False) if known else (self._new(name, self.dtype, elements, SHARED), True)

    def state(self, name: str, elements: int) -> Buffer:
        """Return the buffer of one state of the optimizer."""
        return self._new(name, self.dtype, elements, STATE, pinned=True)

    def workspace(self, elements: int) -> Operand:
        """Return scratch memory of the calling thread, for one call, as an operand."""
        return self.whole(self.scratch("tiles", elements, SCRATCH), write=True)

    def is_slice(self, part: Value, whole: Value) -> bool:
        """Whether a value lies in the memory of another (or both in that of a third): nothing need be copied."""
        return part.name in self._slices and self._root(part.name) == self._root(whole.name)

    def alias(self, new: Value, old: Value) -> None:
        """Let a value be another name of an existing one."""
        self._alias[new.name] = self._alias.get(old.name, old.name)

    def partial(self, hint: str, elements: int, name: str = "", kind: str = PARTIAL) -> Buffer:
        """Return a buffer to add up in, one copy for each shard, cleared before it is first written.

        ``KEPT``: it lasts to the end of the shard, so that each thread needs one.
        """
        return self._new(name or f"{hint}#{len(self.buffers)}", self.dtype, padded(elements), kind)

    def zeros(self, elements: int) -> Buffer:
        """Return a buffer of zeros, for what may be left out: the bias of a layer that has none."""
        name = f"zeros{padded(elements)}"
        if name not in self.buffers:
            b = self._new(name, self.dtype, padded(elements), SHARED)
            operand = Operand(b, 0, b.elements, 0, True)
            self.prologue.append(KernelCall(self._kernel("fill"), (operand,), (b.elements, 0.0), 1))
        return self.buffers[name]

    def gradient(self, v: Value, size: int) -> Buffer:
        """Return the buffer a parameter's gradient is added up in, one copy for each shard."""
        if v.name not in self.buffers:
            self._copies[v.name] = SHARDS
            self.partial("", size, v.name)
        return self.buffers[v.name]

    def copies(self, name: str) -> int:
        """How many copies of a gradient there are to add up."""
        return self._copies.get(name, 1)

    # ---- operands ---------------------------------------------------------------------------------
    def image(self, v: Value, *, write: bool = False, at: int | None = None, extent: int = 0) -> Operand:
        """Return a batched value as an operand, from its first pixel (or element ``at``) on."""
        layout = self.layout(v)
        start = layout.origin if at is None else at
        return Operand(self.buffer(v), start, extent or layout.image - start, 0, write)

    def whole(self, v: Value | Buffer, *, write: bool = False, block: int = 0) -> Operand:
        """Return a value without a batch, a parameter or a scratch buffer as an operand."""
        b = v if isinstance(v, Buffer) else self.buffer(v)
        return Operand(b, 0, block or b.elements, block, write)

    @staticmethod
    def part(b: Buffer, block: int, extent: int) -> Operand:
        """Return the part of a buffer that a block writes: ``extent`` elements, ``block`` further for each block."""
        return Operand(b, 0, extent, block, True)

    def from_element(self, v: Value, start: int, extent: int) -> Operand:
        """Return a value without a batch from one of its elements on, or backwards from there."""
        return Operand(self.buffer(v), start, extent)

    @staticmethod
    def buffer_size(v: Value, groups: int = 1) -> int:
        """Elements of a weight or its gradient in memory."""
        return parameter_size(v.sample, groups)

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

    def strides(self, v: Value) -> tuple[int, int, int]:
        """Elements from one sample, row and pixel to the next."""
        layout = self.layout(v)
        return layout.image, layout.row, layout.pixel

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


def parameter_space(params: Mapping[str, Param], dtype: str = "f32") -> tuple[dict[str, int], int]:
    """Return the byte offset of each parameter, and the bytes of all: the same for every plan of a net."""
    offsets, end = {}, 0
    for name, p in params.items():
        offsets[name] = end
        end += parameter_size(p.shape, p.groups) * ITEM[dtype]
    return offsets, end


def parameter_size(shape: Sequence[int], groups: int = 1) -> int:
    """Elements of a parameter in memory: panels where it has them, padded for blocks."""
    layout = filter_layout(tuple(shape), groups)
    if layout is not None:
        return padded(layout.size)
    n = 1
    for d in shape:
        n *= d
    return padded(n)
