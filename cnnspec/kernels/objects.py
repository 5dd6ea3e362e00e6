"""Compiled kernels as machine code in files: LLVM loads them in a millisecond, and the compiler need not be imported.

A file holds the name of the kernel's symbol, a newline, and an object file of the system's own format. The folder's
name says for which sources, compiler and CPU (kernels/cache.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import tempfile
from pathlib import Path
from typing import Any

SUFFIX = ".o"

_engines: list[Any] = []  # machine code lives as long as its engine


def path_of(folder: str, name: str) -> Path:
    """Return the file of a kernel."""
    return Path(folder, name + SUFFIX)


def save(folder: str, name: str, symbol: str, code: bytes) -> None:
    """Write a kernel's file in one go, so that no other process reads half of it; a full disk is no error here."""
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(symbol.encode() + b"\n" + code)
            os.replace(temporary, path_of(folder, name))
        except OSError:
            os.unlink(temporary)


def read(folder: str, name: str) -> tuple[str, bytes] | None:
    """Return symbol and code of a kernel in the folder, or None."""
    try:
        symbol, _, code = path_of(folder, name).read_bytes().partition(b"\n")
    except OSError:
        return None
    return symbol.decode(), code


def load(symbol: str, code: bytes) -> int:
    """Return the address of a kernel whose code is put into memory."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(symbol))


@functools.cache
def _target_machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    abort = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    for name in UNREACHABLE:
        llvm.add_symbol(name, abort)
    return llvm.Target.from_default_triple().create_target_machine(jit=True)


# What numba's code for exceptions refers to. Kernels raise none, so nobody calls them.
UNREACHABLE = (
    "NRT_Free",
    "numba_do_raise",
    "numba_gil_ensure",
    "numba_gil_release",
    "numba_runtime_build_excinfo_struct",
    "numba_unpickle",
)
