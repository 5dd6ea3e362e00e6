"""Vector instructions: what kernels of every width emit, whole vectors and parts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import Parameter, Signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import I64, pointer
from .machine import Machine

I32, BYTE = ir.IntType(32), ir.IntType(8)
FRAME = "aligned_frame"


def align_frame(builder: ir.IRBuilder) -> None:
    """Let the function's stack start on a cache line, by one variable that must: no spilled vector crosses lines."""
    entry = builder.function.entry_basic_block
    if not any(i.name.startswith(FRAME) for i in entry.instructions):
        with builder.goto_entry_block():
            place = builder.alloca(ir.IntType(8), name=FRAME)
            place.align = 64
            kind = ir.FunctionType(ir.VoidType(), [place.type])
            builder.asm(kind, "", "r,~{memory}", [place], side_effect=True)  # an empty use, lest it be left out


def on_vectors(machine: Machine, bits: int, lanes: int, floats: int = 0) -> Callable[[Callable[..., None]], Any]:
    """Make an intrinsic of ``emit(vec, *numbers, *floats)``, which emits instructions on vectors of ``lanes`` numbers.

    Kernels call it with a tuple of the numbers, int64 each, and ``floats`` floats behind the tuple: two are the bounds
    ``low`` and ``high``. Addresses and strides among the numbers are bytes.
    """

    def make(emit: Callable[..., None]) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vec = Vectors(builder, bits, lanes, machine.fma)
            emit(vec, *cgutils.unpack_tuple(builder, args[0]), *args[1:])
            return context.get_dummy_value()

        def typed(typingctx: Any, numbers: Any, *behind: Any) -> Any:
            return types.void(types.UniTuple(types.int64, len(numbers)), *behind), codegen

        names = ("typingctx", "numbers", "low", "high")[: 2 + floats]
        typed.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_ONLY) for name in names])  # type: ignore[attr-defined]
        return intrinsic(typed)

    return make


class Vectors:
    """Emits vector instructions of one element type and number of lanes."""

    def __init__(self, builder: ir.IRBuilder, bits: int, lanes: int, fma: bool) -> None:
        self.builder, self.lanes, self.fused = builder, lanes, fma
        self.element = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.nbytes = bits // 8 * lanes
        self.type = ir.VectorType(self.element, lanes)
        self.suffix = f"v{lanes}f{bits}"
        align_frame(builder)

    def call(self, name: str, result: Any, *args: Any) -> Any:
        kind = ir.FunctionType(result, [a.type for a in args])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), args)

    def spread(self, scalar: Any) -> Any:
        one = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), scalar, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(self.type, ir.Undefined), zeros)

    def spread_whole(self, number: Any) -> Any:
        """The low half of an int64 in each lane."""
        kind = ir.VectorType(I32, self.lanes)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), self.builder.trunc(number, I32), I32(0))
        zeros = ir.Constant(kind, [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

    def mask(self, count: Any) -> Any:
        """The lanes whose number is below ``count``."""
        numbers = ir.Constant(ir.VectorType(I32, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.spread_whole(count))

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
