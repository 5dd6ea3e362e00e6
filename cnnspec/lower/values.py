"""Where the values of a graph lie: buffers, layouts, and operands that point into them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from ..ir.fields import Pair, Param
from ..ir.graph import Graph, Value
from ..layouts import ImageLayout, filter_layout
from ..plan.plan import ALIGN, BATCHED, ITEM, PARAM, PARTIAL, SCRATCH, SHARDS, SHARED, STATE, Buffer, Kind, Operand
from .registry import LOWERINGS
from .slices import find_slices

PAD = 256  # every parameter and channel vector is a multiple of this many elements


class Values:
    """Gives the values of one graph buffers and layouts."""

    def __init__(self, graph: Graph, dtype: str = "f32", batch: int = 2, given: Sequence[str] = ()) -> None:
        self.graph, self.dtype, self.batch = graph, dtype, batch
        self.one_image = batch == 1  # then threads share the image, else the batch
        self.buffers: dict[str, Buffer] = {}
        self.layouts: dict[str, ImageLayout] = {}
        self._alias: dict[str, str] = {}
        self._slices = find_slices(graph)
        self._halos = self._find_halos()
        self._read = graph.uses.keys() | graph.results()
        self._updates = {v.name: name for name, v in graph.updates.items()}
        self._copies: dict[str, int] = {}
        for v in graph.inputs:
            # A given input shares memory with others in the inference of batches; its halo is then cleared in each run.
            pinned = v.name not in given or self.training or self.one_image
            self._new(v.name, self._dtype(v), self._elements(v), BATCHED if v.has_batch else SHARED, pinned=pinned)
        for name, p in graph.params.items():
            self._new(name, dtype, parameter_size(p.value.sample, p.param.groups), PARAM, pinned=True)

    @cached_property
    def training(self) -> bool:
        """Whether gradients are wanted: what depends on parameters alone is then made anew in every step."""
        return any(name.startswith("grad:") for name in self.graph.outputs)

    # ---- values and buffers -----------------------------------------------------------------------
    def _find_halos(self) -> dict[str, Pair]:
        halos: dict[str, Pair] = {}
        for node in self.graph.nodes:
            for index, (h, w) in LOWERINGS.of(node.op).halo(node, node.op).items():
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
        return self.layout(v).sample_stride if v.has_batch else padded(v.sample_size)

    def _new(self, name: str, dtype: str, elements: int, kind: Kind, pinned: bool = False) -> Buffer:
        assert name not in self.buffers, name
        self.buffers[name] = Buffer(name, dtype, elements, kind, pinned)
        return self.buffers[name]

    def layout(self, v: Value) -> ImageLayout:
        """Return the layout of a batched value; a vector is an image of one pixel."""
        if v.name in self._slices:
            part = self._slices[v.name]
            whole = self.layout(part.value)
            return replace(
                whole, channels=v.sample[2], whole_channels=whole.pixel_stride, channel_offset=part.channel_offset
            )
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

    def buffer(self, v: Value) -> Buffer:
        """Return the buffer of a value, made on first use."""
        if v.name in self._slices:
            return self.buffer(self._slices[v.name].value)
        name = self._alias.get(v.name, v.name)
        if name in self._updates:  # a running statistic is written in place
            return self.buffers[self._updates[name]]
        if name not in self.buffers:
            if v.has_batch:
                self._new(name, self._dtype(v), self.layout(v).sample_stride, BATCHED)
            else:
                size = parameter_size(v.sample) if len(v.sample) in (2, 4) else padded(v.sample_size)
                self._new(name, self._dtype(v), size, SHARED)
        return self.buffers[name]

    def scratch(self, hint: str, elements: int, kind: Kind = SHARED) -> Buffer:
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
        return self.operand(self.scratch("tiles", elements, SCRATCH))

    def is_slice(self, part: Value, whole: Value) -> bool:
        """Whether a value lies in the memory of another (or both in that of a third): nothing need be copied."""
        return part.name in self._slices and self._root(part.name) == self._root(whole.name)

    def is_read(self, v: Value) -> bool:
        """Whether any node reads a value, or it is a result of the graph."""
        return v.name in self._read

    def halo(self, v: Value) -> Pair:
        """Return the rows and columns of zeros that readers of a batched value want around it."""
        return self._halos.get(v.name, (0, 0))

    def alias(self, new: Value, old: Value) -> None:
        """Let a value be another name of an existing one."""
        self._alias[new.name] = self._alias.get(old.name, old.name)

    def partial(self, hint: str, elements: int, name: str = "", kind: Kind = PARTIAL) -> Buffer:
        """Return a buffer to add up in, one copy for each shard, cleared before it is first written.

        ``KEPT``: it lasts to the end of the shard, so that each thread needs one.
        """
        return self._new(name or f"{hint}#{len(self.buffers)}", self.dtype, padded(elements), kind)

    def gradient(self, v: Value, size: int) -> Buffer:
        """Return the buffer a parameter's gradient is added up in, one copy for each shard."""
        if v.name not in self.buffers:
            self._copies[v.name] = SHARDS
            self.partial("", size, v.name)
        return self.buffers[v.name]

    def copies(self, name: str) -> int:
        """How many copies of a gradient there are to add up."""
        return self._copies.get(name, 1)

    def strides(self, operand: str, v: Value) -> dict[str, int]:
        """Return the arguments with the strides of an operand; all are 0 where the value has no batch."""
        if not v.has_batch:
            return strides_of(operand, 0, 0, 0)
        layout = self.layout(v)
        return strides_of(operand, layout.sample_stride, layout.row_stride, layout.pixel_stride)

    # ---- operands ---------------------------------------------------------------------------------
    def operand(self, v: Value | Buffer, at: int | None = None, extent: int | None = None, block: int = 0) -> Operand:
        """Return a value or buffer as an operand: ``extent`` elements from element ``at`` on.

        A batched value begins at its first pixel unless ``at`` is given, and ends with the sample. ``block``: elements
        from block to block.
        """
        b = v if isinstance(v, Buffer) else self.buffer(v)
        start, end = 0, b.elements
        if isinstance(v, Value) and v.has_batch:
            start, end = self.layout(v).origin, self.layout(v).sample_stride
        start = start if at is None else at
        return Operand(b, start, end - start if extent is None else extent, block)


def strides_of(operand: str, sample: int, row: int, pixel: int) -> dict[str, int]:
    """Return the arguments that hold these strides of an operand."""
    return {f"{operand}_sample_stride": sample, f"{operand}_row_stride": row, f"{operand}_pixel_stride": pixel}


def size_of(image: ImageLayout) -> dict[str, int]:
    """Return the arguments that hold the size of an image."""
    return dict(height=image.height, width=image.width, channels=image.channels)


def padded(n: int) -> int:
    """Return the elements that a vector of ``n`` numbers takes in memory."""
    return -(-n // PAD) * PAD


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
    return padded(math.prod(shape) if layout is None else layout.size)
