"""Addresses of kernels by name, e.g. ``conv2d.16.f32``: compiled once on a machine, then loaded from the cache.

The compiler (numba) is imported only where a kernel has to be compiled.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections.abc import Sequence

from ..by_type import import_modules
from ..errors import MachineError
from . import objects
from .cache import find_kernel, use_cache
from .effort import Estimate, Progress

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
    """Return the address of each kernel by name. Kernels without a file, or with a damaged one, are compiled.

    ``progress(done, total, left)`` is called while kernels compile, and only then: ``done`` of ``total`` kernels are
    compiled, and the others take about ``left`` seconds.

    Raises
    ------
    KeyError
        For an unknown name.
    MachineError
        When there is not enough memory to load or to compile them.
    """
    with _lock:
        folder = use_cache()
        _check_room(TO_LOAD)
        missing = []
        for name in names:
            if name not in _loaded:
                found = find_kernel(name)  # its symbol and object code
                address = objects.load(*found) if found else 0
                if address:
                    _loaded[name] = address
                else:
                    missing.append(name)
        if missing:
            _check_room(TO_COMPILE)
            _compile(folder, missing, progress or (lambda done, total, left: None))
        return {name: _loaded[name] for name in names}


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
    estimate = Estimate(names)
    progress(0, len(names), estimate.left(0))  # before the compiler is imported, which takes its time too
    import_modules("cnnspec.kernels")  # fills the registry
    from ._jit import TEMPLATES, compile_kernel

    for name in names:
        if name not in TEMPLATES:
            raise KeyError(f"no kernel is called {name!r}")
    for done, name in enumerate(names, start=1):
        symbol, code = compile_kernel(name)
        address = objects.load(symbol, code)
        if not address:
            raise RuntimeError(f"the compiled kernel {name!r} has no symbol {symbol!r}")
        objects.save(folder, name, symbol, code)
        _loaded[name] = address
        progress(done, len(names), estimate.left(done))


def read_ticks() -> int:
    """Return the CPU's time-stamp counter."""
    place = ctypes.c_int64()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(load_kernels(["read_ticks"])["read_ticks"])
    function(ctypes.addressof(place))
    return place.value
