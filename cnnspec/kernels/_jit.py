"""How kernels are made: intrinsics on addresses, the one signature, variants of a template.

A kernel takes three things: ``p``, the addresses of its operands; ``a``, a row of int64 arguments; ``n``, how many
samples to work on. It reads them by the names of its signature in cnnspec/abi: ``p[P.x]``, ``a[A.x_row_stride]``. P and
A are bound for each kernel; as constants they cost nothing. It allocates nothing, checks nothing and knows nothing of
shards: the plan's verifier has proved that every operand lies inside its buffer. Float arguments are the bits of a
float64 in an int64.
"""

from __future__ import annotations

import inspect
import types as pytypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..abi import signature_of

I64 = ir.IntType(64)
SIGNATURE = types.void(types.CPointer(types.int64), types.CPointer(types.int64), types.int64)
FASTMATH = {"contract", "nsz", "arcp"}  # NaN and infinity keep their meaning: they must reach the loss

TEMPLATES: dict[str, tuple[Callable[..., None], dict[str, Any], Any]] = {}


def specialise(function: Callable[..., None], name: str, **bindings: Any) -> Callable[..., None]:
    """Return a copy of a kernel template under another name with some of its globals bound anew."""
    code = function.__code__.replace(co_name=name)
    copy = pytypes.FunctionType(code, {**function.__globals__, **bindings}, name)
    copy.__qualname__ = name
    copy.__module__ = function.__module__
    return copy


def kernel(
    name: str, signature: Any = SIGNATURE, **bindings: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a template as the kernel ``name``, with globals bound to the given objects."""
    if signature is SIGNATURE:
        bindings["P"], bindings["A"] = signature_of(name).places()

    def register(function: Callable[..., None]) -> Callable[..., None]:
        assert name not in TEMPLATES, f"kernel {name!r} is registered twice"
        TEMPLATES[name] = (function, bindings, signature)
        return function

    return register


def pointer(builder: ir.IRBuilder, address: ir.Value, offset: int = 0) -> ir.Value:
    """Return an address (plus a constant) as a pointer."""
    if offset:
        address = builder.add(address, I64(offset))
    return builder.inttoptr(address, ir.PointerType(ir.IntType(8)))


def emits(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make an intrinsic of ``emit(builder, *arguments)``, which emits instructions and returns their value, if any.

    ``result`` and ``arguments`` are numba's types. Kernels call the intrinsic like a function.
    """

    def make(emit: Callable[..., Any]) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = emit(builder, *args)
            return context.get_dummy_value() if value is None else value

        def typed(typingctx: Any, *_: Any) -> Any:
            return result(*arguments), codegen

        typed.__signature__ = inspect.signature(emit)  # type: ignore[attr-defined]  # numba binds arguments by it
        return intrinsic(typed)

    return make


@emits(types.float64, types.int64)
def as_float(builder, bits):
    """The float64 whose bits an int64 holds."""
    return builder.bitcast(bits, ir.DoubleType())


@emits(types.int64, types.int64)
def load_i64(builder, address):
    return builder.load(builder.inttoptr(address, ir.PointerType(I64)), align=8)


@emits(types.void, types.int64, types.int64)
def store_i64(builder, address, value):
    builder.store(value, builder.inttoptr(address, ir.PointerType(I64)), align=8)


def ask_to_write(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Emit a request for the cache line at an address, which will be written soon; it need not be in memory of ours."""
    at, number = builder.inttoptr(address, ir.PointerType(ir.IntType(8))), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [at.type, number, number, number])
    entry = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(entry, [at, number(1), number(3), number(1)])  # to write, keep near, data


fetch_to_write = emits(types.void, types.int64)(ask_to_write)  # the same in a kernel's own text


def array_type(dtype: Any) -> Any:
    """Return an intrinsic that reads an address as a one-dimensional array without bounds."""

    @intrinsic
    def array_at(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(dtype)(types.int64), codegen

    return array_at


f32_at, f64_at = array_type(types.float32), array_type(types.float64)
u8_at, i32_at, i64_at = array_type(types.uint8), array_type(types.int32), array_type(types.int64)


def stack(words: int) -> Any:
    """Return an intrinsic that gives the address of ``words`` int64 on the stack."""
    return emits(types.int64)(
        lambda builder: builder.ptrtoint(cgutils.alloca_once(builder, I64, size=words), I64)
    )  # fmt: skip
