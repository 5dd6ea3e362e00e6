"""Addresses of kernels by name, e.g. ``conv2d.16.f32``: from the wheel, else from the cache, else compiled and kept.

The compiler (numba) runs in processes of its own (workers.py), and only where a kernel has to be compiled.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections.abc import Sequence
from contextlib import closing

from ..errors import MachineError
from . import objects
from .cache import find_kernel, has_compiler, use_cache
from .effort import Estimate, Progress
from .shipped import shipped
from .workers import compile_kernels, processes_for

# Bytes of address space that loading and compiling take. LLVM ends the process where it gets no memory.
TO_LOAD, TO_COMPILE = 16 << 20, 256 << 20

_loaded: dict[str, int] = {}  # name -> address, of all kernels of this process
_lock = threading.Lock()


def _forget_the_lock() -> None:
    global _lock
    _lock = threading.Lock()  # a child lacks the thread that may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_lock)


def load_kernels(names: Sequence[str], progress: Progress | None = None) -> dict[str, int]:
    """Return the address of each kernel by name. Kernels that are nowhere, or in a damaged file, are compiled.

    ``progress(done, total, left)`` is called while kernels compile, and only then: ``done`` of ``total`` kernels are
    compiled, and the others take about ``left`` seconds.

    Raises
    ------
    KeyError
        For an unknown name.
    MachineError
        When there is not enough memory to load or to compile them, or no compiler for a kernel that is new.
    """
    with _lock:
        _check_room(TO_LOAD)
        missing = [name for name in names if not _find(name)]
        if missing:
            _check_compiler(missing[0])
            _check_room(TO_COMPILE)
            _compile(use_cache(), missing, progress or (lambda done, total, left: None))
        return {name: _loaded[name] for name in names}


def loaded(name: str) -> int:
    """Return the address of a kernel that this process has loaded, 0 where it has not."""
    return _loaded.get(name, 0)


def are_at_hand(names: Sequence[str]) -> bool:
    """Return whether :func:`load_kernels` would compile none of these; those at hand are loaded."""
    with _lock:
        return all([_find(name) for name in names])


def _find(name: str) -> bool:
    """Load a kernel of the wheel or of the cache; return whether it is loaded."""
    if name not in _loaded:
        address = shipped().find(name)
        if not address and has_compiler():
            code = find_kernel(name)
            address = objects.load(name, code) if code else 0
        if not address:
            return False
        _loaded[name] = address
    return True


def _check_compiler(name: str) -> None:
    """Raise MachineError where a kernel has to be compiled and the compiler is not installed."""
    if has_compiler():
        return
    found = shipped()
    why = f"machine code for {found.level.name}, without this kernel" if found.level else found.why
    raise MachineError(
        "a kernel has to be compiled, and this installation has no compiler",
        field=name,
        expected="machine code of all kernels in the wheel, or numba",
        found=why,
        hint="pip install numba",
    )


def _check_room(nbytes: int) -> None:
    """Raise MachineError where the process cannot map ``nbytes`` bytes; the mapping is given back untouched."""
    try:
        mmap.mmap(-1, nbytes).close()
    except (OSError, ValueError) as error:
        raise MachineError(
            "there is not enough memory for the kernels",
            expected=f"{nbytes >> 20} MiB",
            found=getattr(error, "strerror", None) or str(error),
            hint="raise the limit of this process: ulimit -v",
        ) from None


def _compile(folder: str, names: Sequence[str], progress: Progress) -> None:
    """Compile kernels, load them and save each as a file of ``folder``. Raise KeyError for an unknown name."""
    count = processes_for(names)
    estimate = Estimate(names, max(1, count))
    progress(0, len(names), estimate.left(0))  # before the compiler starts, which takes its time too
    with closing(compile_kernels(names, count)) as compiled:
        for done, (name, code) in enumerate(compiled, start=1):
            address = objects.load(name, code)
            if not address:
                raise RuntimeError(f"the compiled kernel {name!r} has no entry of its name")
            objects.save(folder, name, code)
            _loaded[name] = address
            progress(done, len(names), estimate.left(done))


def read_ticks() -> int:
    """Return the CPU's time-stamp counter."""
    place = ctypes.c_int64()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(load_kernels(["read_ticks"])["read_ticks"])
    function(ctypes.addressof(place))
    return place.value
