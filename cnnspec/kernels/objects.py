"""Compiled kernels as machine code in files: LLVM loads them in a millisecond, and the compiler need not be imported.

A file holds an object file of the system's own format, whose symbol has the kernel's name, under a seal (sealed.py):
LLVM ends the process, or runs nonsense, on a damaged one. The folder's name says for which sources, compiler and CPU
(kernels/cache.py).
"""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

from ..sealed import read_sealed, write_sealed

SUFFIX = ".o"

_engines: list[Any] = []  # machine code lives as long as its engine


def path_of(folder: str, name: str) -> Path:
    """Return the file of a kernel."""
    return Path(folder, name + SUFFIX)


def save(folder: str, name: str, code: bytes) -> None:
    """Write a kernel's file; a full disk is no error here."""
    with contextlib.suppress(OSError):
        write_sealed(path_of(folder, name), code)


def read(folder: str, name: str) -> bytes | None:
    """Return the code of a kernel in the folder, or None: also for a damaged file, and for another user's."""
    return read_sealed(path_of(folder, name))


def load(name: str, code: bytes) -> int:
    """Return the address of a kernel whose code is put into memory; 0 where the code is that of another."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(name))


@functools.cache
def _target_machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(jit=True)
