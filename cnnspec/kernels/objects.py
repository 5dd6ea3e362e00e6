"""Compiled kernels as machine code in files: LLVM loads them in a millisecond, and the compiler need not be imported.

A file holds the name of the kernel's symbol, a newline, and an object file of the system's own format, under a seal
(sealed.py): LLVM ends the process, or runs nonsense, on a damaged one. The folder's name says for which sources,
compiler and CPU (kernels/cache.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from pathlib import Path
from typing import Any

from ..sealed import read_sealed, write_sealed

SUFFIX = ".o"

_engines: list[Any] = []  # machine code lives as long as its engine


def path_of(folder: str, name: str) -> Path:
    """Return the file of a kernel."""
    return Path(folder, name + SUFFIX)


def save(folder: str, name: str, symbol: str, code: bytes) -> None:
    """Write a kernel's file; a full disk is no error here."""
    with contextlib.suppress(OSError):
        write_sealed(path_of(folder, name), symbol.encode() + b"\n" + code)


def read(folder: str, name: str) -> tuple[str, bytes] | None:
    """Return symbol and code of a kernel in the folder, or None: also for a damaged file, and for another user's."""
    content = read_sealed(path_of(folder, name))
    if content is None:
        return None
    symbol, _, code = content.partition(b"\n")
    return symbol.decode(), code


def load(symbol: str, code: bytes) -> int:
    """Return the address of a kernel whose code is put into memory; 0 where the code lacks the symbol."""
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
