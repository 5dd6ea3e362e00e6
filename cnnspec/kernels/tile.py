"""The one micro-kernel: a tile of registers that multiplies and adds. conv and dense run on it, both ways.

    acc[m][v] += a[m, i0, i1, i2] * b[i0, i1, i2][v]

``a`` is one number, spread over a vector; ``b`` is a vector. A tile has ``rows`` x ``width`` numbers: each row is an
output pixel (or a weight), the width runs over channels. Three loops with strides of their own make it implicit
GEMM on NHWC with nothing copied (see docs/performance.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import I64, pointer
from .machine import Machine

I1, I32 = ir.IntType(1), ir.IntType(32)

BYTE = ir.IntType(8)


FRAME = "aligned_frame"


def align_frame(builder: ir.IRBuilder) -> None:
    """Let the function's stack start on a cache line, by one variable that must: no spilled vector then crosses lines."""
    entry = builder.function.entry_basic_block
    if not any(i.name.startswith(FRAME) for i in entry.instructions):
        with builder.goto_entry_block():
            place = builder.alloca(ir.IntType(8), name=FRAME)
            place.align = 64
            kind = ir.FunctionType(ir.VoidType(), [place.type])
            builder.asm(kind, "", "r,~{memory}", [place], side_effect=True)  # an empty use, lest it be left out


class Vectors:
    """Emits vector instructions of one element type and number of lanes."""

    def __init__(self, builder: ir.IRBuilder, bits: int, lanes: int, fma: bool) -> None:
        self.builder, self.lanes, self.fused = builder, lanes, fma
        self.element = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.nbytes = bits // 8 * lanes
        self.type = ir.VectorType(self.element, lanes)
        self.suffix = f"v{lanes}f{bits}"
        self.mask_type = ir.VectorType(I1, lanes)
        align_frame(builder)

    def call(self, name: str, result: Any, *args: Any) -> Any:
        kind = ir.FunctionType(result, [a.type for a in args])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), args)

    def spread(self, scalar: Any) -> Any:
        one = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), scalar, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(self.type, ir.Undefined), zeros)

    def spread_byte(self, number: Any) -> Any:
        """A small whole number as a byte in each lane."""
        kind = ir.VectorType(BYTE, self.lanes)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), self.builder.trunc(number, BYTE), I32(0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

    def mask(self, count: Any) -> Any:
        """The lanes whose number is below ``count``."""
        wide = ir.VectorType(I32, self.lanes)
        short = self.builder.trunc(count, I32)
        one = self.builder.insert_element(ir.Constant(wide, ir.Undefined), short, I32(0))
        zeros = ir.Constant(wide, [0] * self.lanes)
        limit = self.builder.shuffle_vector(one, ir.Constant(wide, ir.Undefined), zeros)
        return self.builder.icmp_signed("<", ir.Constant(wide, list(range(self.lanes))), limit)

    def load(self, address: Any, offset: int = 0) -> Any:
        at = self.builder.bitcast(pointer(self.builder, address, offset), ir.PointerType(self.type))
        return self.builder.load(at, align=4)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        at = self.builder.bitcast(pointer(self.builder, address, offset), ir.PointerType(self.type))
        self.builder.store(value, at, align=4)

    def load_scalar(self, address: Any, offset: int = 0) -> Any:
        at = self.builder.bitcast(pointer(self.builder, address, offset), ir.PointerType(self.element))
        return self.builder.load(at, align=4)

    def masked_load(self, address: Any, mask: Any, offset: int = 0) -> Any:
        at = self.builder.bitcast(pointer(self.builder, address, offset), ir.PointerType(self.type))
        zero = ir.Constant(self.type, [0.0] * self.lanes)
        return self.call(f"llvm.masked.load.{self.suffix}.p0", self.type, at, I32(4), mask, zero)

    def masked_store(self, value: Any, address: Any, mask: Any, offset: int = 0) -> None:
        at = self.builder.bitcast(pointer(self.builder, address, offset), ir.PointerType(self.type))
        self.call(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), value, at, I32(4), mask)

    def either(self, valid: Any, vectors: int, emit: Callable[[Access], None]) -> None:
        """Emit code for ``vectors`` whole vectors, and again for where only ``valid`` of their lanes may be touched.

        Masks cost registers, and without AVX-512 a masked store costs a dozen cycles. So whole vectors go without, and
        where masks are dear so do whole halves, of which channels mostly consist.
        """
        builder, half = self.builder, self.lanes // 2
        exact = range(1, 2 * vectors) if half > 1 and self.nbytes < 64 else range(0)

        def cases(left: list[int]) -> None:
            if not left:
                masks = [self.mask(builder.sub(valid, I64(v * self.lanes))) for v in range(vectors)]
                emit(Access(self, masks))
                return
            fits = builder.icmp_signed("==", valid, I64(left[0] * half))
            with builder.if_else(fits) as (then, otherwise):
                with then:
                    emit(Access(self, halves=left[0]))
                with otherwise:
                    cases(left[1:])

        usual = builder.icmp_signed(">=", valid, I64(vectors * self.lanes))
        with builder.if_else(usual, likely=True) as (whole, part):
            with whole:
                emit(Access(self))
            with part:
                cases(list(exact))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        if self.fused:
            return self.call(f"llvm.fma.{self.suffix}", self.type, a, b, c)
        return self.builder.fadd(self.builder.fmul(a, b), c)

    def products(
        self, ones: list[Any], load: Callable[[int], Any], vectors: int, sums: list[list[Any]]
    ) -> Iterator[tuple[int, int, Any]]:
        """Yield row, vector and new sum of an outer product: numbers ``ones`` times ``vectors`` loaded vectors.

        What there is less of is loaded first and kept; the rest passes through one register.
        """
        if len(ones) < vectors:
            spread = [self.spread(one) for one in ones]
            for v in range(vectors):
                b = load(v)
                for m, one in enumerate(spread):
                    yield m, v, self.fma(one, b, self.builder.load(sums[m][v]))
        else:
            bs = [load(v) for v in range(vectors)]
            for m, one in enumerate(ones):
                one = self.spread(one)
                for v, b in enumerate(bs):
                    yield m, v, self.fma(one, b, self.builder.load(sums[m][v]))

    def clamp(self, x: Any, low: Any, high: Any) -> Any:
        """min(max(x, low), high); a NaN stays a NaN."""
        b = self.builder
        x = b.select(b.fcmp_ordered(">", low, x), low, x)
        return b.select(b.fcmp_ordered("<", high, x), high, x)


class Access:
    """Emits loads and stores of vectors that lie side by side: whole ones, some halves, or the lanes in masks."""

    def __init__(self, vec: Vectors, masks: list[Any] | None = None, halves: int | None = None) -> None:
        self.vec, self.masks, self.halves = vec, masks, halves

    def load(self, address: Any, v: int = 0) -> Any:
        """Vector ``v`` from an address on; lanes that may not be touched are 0."""
        vec = self.vec
        if self.masks is not None:
            return vec.masked_load(address, self.masks[v], v * vec.nbytes)
        halves = self._halves(v)
        if halves == 2:
            return vec.load(address, v * vec.nbytes)
        zero = ir.Constant(vec.type, [0.0] * vec.lanes)
        if halves == 0:
            return zero
        kind = ir.VectorType(vec.element, vec.lanes // 2)
        low = vec.builder.load(self._at(address, kind, v * vec.nbytes), align=4)
        return vec.builder.shuffle_vector(low, ir.Constant(kind, [0.0] * (vec.lanes // 2)), _first(vec.lanes))

    def store(self, value: Any, address: Any, v: int = 0) -> None:
        vec = self.vec
        if self.masks is not None:
            vec.masked_store(value, address, self.masks[v], v * vec.nbytes)
        elif self._halves(v) == 2:
            vec.store(value, address, v * vec.nbytes)
        elif self._halves(v) == 1:
            at = self._at(address, ir.VectorType(vec.element, vec.lanes // 2), v * vec.nbytes)
            vec.builder.store(vec.builder.shuffle_vector(value, value, _first(vec.lanes // 2)), at, align=4)

    def load_bytes(self, address: Any) -> Any:
        """One byte for each lane of the first vector; those that may not be touched are 255."""
        vec = self.vec
        kind = ir.VectorType(BYTE, vec.lanes)
        none = ir.Constant(kind, [255] * vec.lanes)
        if self.masks is not None:
            at = self._at(address, kind)
            return vec.call(f"llvm.masked.load.v{vec.lanes}i8.p0", kind, at, I32(1), self.masks[0], none)
        if self._halves(0) == 2:
            return vec.builder.load(self._at(address, kind), align=1)
        short = ir.VectorType(BYTE, vec.lanes // 2)
        low = vec.builder.load(self._at(address, short), align=1)
        return vec.builder.shuffle_vector(low, ir.Constant(short, [255] * (vec.lanes // 2)), _first(vec.lanes))

    def store_bytes(self, value: Any, address: Any) -> None:
        vec = self.vec
        kind = ir.VectorType(BYTE, vec.lanes)
        if self.masks is not None:
            name = f"llvm.masked.store.v{vec.lanes}i8.p0"
            vec.call(name, ir.VoidType(), value, self._at(address, kind), I32(1), self.masks[0])
        elif self._halves(0) == 2:
            vec.builder.store(value, self._at(address, kind), align=1)
        else:
            low = vec.builder.shuffle_vector(value, value, _first(vec.lanes // 2))
            vec.builder.store(low, self._at(address, low.type), align=1)

    def _halves(self, v: int) -> int:
        """How many halves of vector v may be touched."""
        return 2 if self.halves is None else max(0, min(2, self.halves - 2 * v))

    def _at(self, address: Any, kind: Any, offset: int = 0) -> Any:
        return self.vec.builder.bitcast(pointer(self.vec.builder, address, offset), ir.PointerType(kind))


def _first(lanes: int) -> Any:
    """The shuffle that takes the first lanes of two vectors in a row."""
    return ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))


def shape_of(machine: Machine, width: int, bits: int) -> tuple[int, int, int]:
    """Return rows, vectors a row and lanes of the tile for a panel of ``width`` channels.

    Half of the registers hold sums; at least eight sums are in flight, which hides the latency of the FMA.
    """
    lanes = min(machine.vector_bytes * 8 // bits, width)
    vectors = width // lanes
    budget = 16 if machine.registers >= 32 else 12
    return max(1, min(8, budget // vectors)), vectors, lanes


START_ZERO, START_BIAS, START_LOAD = 0, 1, 2


def make_tile(machine: Machine, width: int, bits: int, *, unit_rows: bool, rows: int = 0) -> Any:
    """Return the intrinsic ``tile``, which computes one tile of ``width`` columns and ``rows``, or those of shape_of.

    All addresses and strides are bytes. With ``unit_rows`` (weight gradients) ``a`` is the address of row 0, row m
    lies m elements behind it, row m of the result at ``out + m*step``, and only the first ``count`` rows are stored.
    Without (outputs) ``a`` and ``out`` are addresses of tables of int64 with the address of each row; those of ``out``
    are ``step`` bytes further on.
    ``start``: zero, the vector at ``bias``, or what ``out`` holds. ``valid``: channels of the panel that exist; ``b``
    is read beyond them, which is why memory ends in a panel's room (``SLACK`` of the runner), but nothing is stored of that.
    """
    usual, vectors, lanes = shape_of(machine, width, bits)
    rows = rows or usual
    size = bits // 8

    @intrinsic
    def tile(
        typingctx: Any, a: Any, b: Any,
        n0: Any, a0: Any, b0: Any, n1: Any, a1: Any, b1: Any, n2: Any, a2: Any, b2: Any,
        start: Any, bias: Any, out: Any, step: Any, count: Any, valid: Any, low: Any, high: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            (a, b, n0, a0, b0, n1, a1, b1, n2, a2, b2, start, bias, out, step, count, valid, low, high) = args
            vec = Vectors(builder, bits, lanes, machine.fma)
            acc = [[cgutils.alloca_once(builder, vec.type) for _ in range(vectors)] for _ in range(rows)]

            def table(base: Any, m: int) -> Any:
                return builder.load(builder.inttoptr(builder.add(base, I64(8 * m)), ir.PointerType(I64)))

            if unit_rows:
                outs = [builder.add(out, builder.mul(step, I64(m))) for m in range(rows)]
            else:
                starts = [table(a, m) for m in range(rows)]
                outs = [builder.add(table(out, m), step) for m in range(rows)]

            def begin(io: Access) -> None:
                zero = ir.Constant(vec.type, [0.0] * lanes)
                for v in range(vectors):
                    for m in range(rows):
                        builder.store(zero, acc[m][v])
                with builder.if_then(builder.icmp_signed("==", start, I64(START_BIAS))):
                    for v in range(vectors):
                        first = io.load(bias, v)
                        for m in range(rows):
                            builder.store(first, acc[m][v])
                with builder.if_then(builder.icmp_signed("==", start, I64(START_LOAD))):
                    for m in range(rows):
                        for v in range(vectors):
                            builder.store(io.load(outs[m], v), acc[m][v])

            def multiply() -> None:
                with cgutils.for_range(builder, n0) as i0:
                    off0, b_0 = builder.mul(i0.index, a0), builder.add(b, builder.mul(i0.index, b0))
                    with cgutils.for_range(builder, n1) as i1:
                        off1 = builder.add(off0, builder.mul(i1.index, a1))
                        b_1 = builder.add(b_0, builder.mul(i1.index, b1))
                        with cgutils.for_range(builder, n2) as i2:
                            off = builder.add(off1, builder.mul(i2.index, a2))
                            at = builder.add(b_1, builder.mul(i2.index, b2))
                            if unit_rows:
                                ones = [vec.load_scalar(builder.add(a, off), m * size) for m in range(rows)]
                            else:
                                ones = [vec.load_scalar(builder.add(starts[m], off)) for m in range(rows)]
                            for m, v, total in vec.products(ones, lambda v: vec.load(at, v * vec.nbytes), vectors, acc):
                                builder.store(total, acc[m][v])

            def end(io: Access) -> None:
                lows, highs = vec.spread(low), vec.spread(high)
                for m in range(rows):

                    def put(m: int = m) -> None:
                        for v in range(vectors):
                            io.store(vec.clamp(builder.load(acc[m][v]), lows, highs), outs[m], v)

                    if unit_rows:
                        with builder.if_then(builder.icmp_signed("<", I64(m), count)):
                            put()
                    else:
                        put()

            vec.either(valid, vectors, begin)
            multiply()
            vec.either(valid, vectors, end)
            return context.get_dummy_value()

        floating = types.float32 if bits == 32 else types.float64
        return types.void(*[types.int64] * 17, floating, floating), codegen

    return tile


def make_product(machine: Machine, width: int, bits: int, rows_of_a: str) -> Any:
    """Return the intrinsic ``product(numbers)``: out[m] = sum over i of a[m, i] b[i], for many small matrices. Numbers:

    a, row, next, b, b_next, length, out, out_row, count, add.

    ``next``, ``b_next``: bytes from i to i + 1; ``row``: from row to row of a, with rows_of_a = ``even``; they lie side
    by side with ``unit``; with ``table`` it is the address of one int64 a row, its distance from ``a``. With ``add`` the
    sums are added to what out holds. Rows of b and out are whole panels.
    """
    rows, vectors, lanes = shape_of(machine, width, bits)
    size = bits // 8

    @intrinsic
    def product(typingctx: Any, numbers: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            a, row, following, b, b_next, length, out, out_row, count, add = cgutils.unpack_tuple(builder, args[0])
            vec = Vectors(builder, bits, lanes, machine.fma)
            acc = [[cgutils.alloca_once(builder, vec.type) for _ in range(vectors)] for _ in range(rows)]
            step = I64(size) if rows_of_a == "unit" else row

            def least(x: Any, y: Any) -> Any:
                return builder.select(builder.icmp_signed("<", x, y), x, y)

            tiles = builder.sdiv(builder.add(count, I64(rows - 1)), I64(rows))
            with cgutils.for_range(builder, tiles) as tile:
                first = builder.mul(tile.index, I64(rows))
                left = builder.sub(count, first)
                out_at = builder.add(out, builder.mul(first, out_row))
                if rows_of_a == "unit":  # rows too many read what follows; else they repeat the last one
                    places = [builder.add(first, I64(m)) for m in range(rows)]
                else:
                    places = [builder.add(first, least(I64(m), builder.sub(left, I64(1)))) for m in range(rows)]
                if rows_of_a == "table":
                    entries = [builder.add(row, builder.shl(place, I64(3))) for place in places]
                    far = [builder.load(builder.inttoptr(entry, ir.PointerType(I64))) for entry in entries]
                else:
                    far = [builder.mul(place, step) for place in places]
                starts = [builder.add(a, distance) for distance in far]
                for at in itertools.chain(*acc):
                    builder.store(ir.Constant(vec.type, [0.0] * lanes), at)
                with cgutils.for_range(builder, length) as i:
                    off, at = builder.mul(i.index, following), builder.add(b, builder.mul(i.index, b_next))
                    ones = [vec.load_scalar(builder.add(start, off)) for start in starts]
                    for m, v, total in vec.products(ones, lambda v: vec.load(at, v * vec.nbytes), vectors, acc):
                        builder.store(total, acc[m][v])
                for m in range(rows):
                    with builder.if_then(builder.icmp_signed("<", I64(m), left), likely=True):
                        target = builder.add(out_at, builder.mul(out_row, I64(m)))
                        with builder.if_else(builder.icmp_signed("!=", add, I64(0))) as (then, otherwise):
                            with then:
                                for v in range(vectors):
                                    old = vec.load(target, v * vec.nbytes)
                                    total = builder.fadd(old, builder.load(acc[m][v]))
                                    vec.store(total, target, v * vec.nbytes)
                            with otherwise:
                                for v in range(vectors):
                                    vec.store(builder.load(acc[m][v]), target, v * vec.nbytes)
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, 10)), codegen

    return product


def make_pack(machine: Machine, width: int, bits: int) -> Any:
    """Return the intrinsic ``pack(numbers)``: a panel of ``width`` channels of some pixels, copied side by side.

    Numbers: source, bytes from sample to sample, row to row, pixel to pixel, samples, rows, pixels, target.
    """
    lanes = shape_of(machine, width, bits)[2] if width % 16 else machine.vector_bytes * 8 // bits
    vectors = width // lanes

    @intrinsic
    def pack(typingctx: Any, numbers: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, image, row, pixel, samples, rows, pixels, target = cgutils.unpack_tuple(builder, args[0])
            vec = Vectors(builder, bits, lanes, machine.fma)
            to = cgutils.alloca_once_value(builder, target)
            builder.store(target, to)
            with cgutils.for_range(builder, samples) as i:
                at0 = builder.add(source, builder.mul(i.index, image))
                with cgutils.for_range(builder, rows) as h:
                    at1 = builder.add(at0, builder.mul(h.index, row))
                    with cgutils.for_range(builder, pixels) as w:
                        at = builder.add(at1, builder.mul(w.index, pixel))
                        for v in range(vectors):
                            vec.store(vec.load(at, v * vec.nbytes), builder.load(to), v * vec.nbytes)
                        builder.store(builder.add(builder.load(to), I64(vectors * vec.nbytes)), to)
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, 8)), codegen

    return pack


def make_transpose(machine: Machine, bits: int) -> Any:
    """Return the intrinsic ``transpose((x, row, y, y_row))``: a square of LANES x LANES numbers, turned over."""
    lanes = machine.vector_bytes * 8 // bits

    @intrinsic
    def transpose(typingctx: Any, numbers: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, row, y, y_row = cgutils.unpack_tuple(builder, args[0])
            vec = Vectors(builder, bits, lanes, machine.fma)
            lines = [vec.load(builder.add(x, builder.mul(row, I64(i)))) for i in range(lanes)]
            half = lanes // 2
            low, high = (
                ir.Constant(ir.VectorType(I32, lanes), [k for i in range(half) for k in (first + i, lanes + first + i)])
                for first in (0, half)
            )
            for _ in range(lanes.bit_length() - 1):  # each round interleaves the upper half with the lower
                pairs = [(lines[i], lines[i + half]) for i in range(half)]
                lines = [builder.shuffle_vector(*pair, order) for pair in pairs for order in (low, high)]
            for i, line in enumerate(lines):
                vec.store(line, builder.add(y, builder.mul(y_row, I64(i))))
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, 4)), codegen

    return transpose
