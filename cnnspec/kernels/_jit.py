"""How kernels are made: intrinsics on addresses, the one signature, variants of a template.

A kernel takes three things: ``p``, the addresses of its operands; ``a``, a row of int64 arguments; ``n``, how many
samples to work on. It reads them by the names of its signature in cnnspec/abi: ``p[P.x]``, ``a[A.x_row_stride]``. P and
A are bound for each kernel; as constants they cost nothing. It allocates nothing, checks nothing and knows nothing of
shards: the plan's verifier has proved that every operand lies inside its buffer. Float arguments are the bits of a
float64 in an int64.
"""

from __future__ import annotations

import types as pytypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cfunc, types
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


def compile_kernel(name: str) -> tuple[str, bytes]:
    """Compile a registered kernel as a C callback; return its symbol and the object file."""
    function, bindings, signature = TEMPLATES[name]
    made = specialise(function, name.replace(".", "_"), **bindings)
    compiled: Any = cfunc(signature, fastmath=FASTMATH, error_model="numpy")(made)
    return compiled._wrapper_name, compiled._library.serialize_using_object_code()[2][0]


def pointer(builder: ir.IRBuilder, address: ir.Value, offset: int = 0) -> ir.Value:
    """Return an address (plus a constant) as a pointer."""
    if offset:
        address = builder.add(address, I64(offset))
    return builder.inttoptr(address, ir.PointerType(ir.IntType(8)))


@intrinsic
def as_float(typingctx: Any, bits: Any) -> Any:
    """The float64 whose bits an int64 holds."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


def _loader(numba_type: Any, llvm_type: Any) -> Any:
    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = builder.inttoptr(args[0], ir.PointerType(llvm_type))
            return builder.load(at, align=llvm_type.width // 8 if hasattr(llvm_type, "width") else 4)

        return numba_type(types.int64), codegen

    return load


def _storer(numba_type: Any, llvm_type: Any) -> Any:
    @intrinsic
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = builder.inttoptr(args[0], ir.PointerType(llvm_type))
            builder.store(args[1], at, align=llvm_type.width // 8 if hasattr(llvm_type, "width") else 4)
            return context.get_dummy_value()

        return types.void(types.int64, numba_type), codegen

    return store


load_i64, store_i64 = _loader(types.int64, I64), _storer(types.int64, I64)


def ask_to_write(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Emit a request for the cache line at an address, which will be written soon; it need not be in memory of ours."""
    at, number = builder.inttoptr(address, ir.PointerType(ir.IntType(8))), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [at.type, number, number, number])
    entry = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(entry, [at, number(1), number(3), number(1)])  # to write, keep near, data


@intrinsic
def fetch_to_write(typingctx: Any, address: Any) -> Any:
    """The same in a kernel's own text."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ask_to_write(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


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

    @intrinsic
    def allocate(typingctx: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.ptrtoint(cgutils.alloca_once(builder, I64, size=words), I64)

        return types.int64(), codegen

    return allocate
