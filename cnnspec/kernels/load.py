"""Kernels by name: compiled once per machine, then loaded from the cache."""

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

TO_LOAD, TO_COMPILE = 16 << 20, 256 << 20  # bytes of addresses; LLVM ends the process where it gets none

_loaded: dict[str, int] = {}
_lock = threading.Lock()


def _forget_the_lock() -> None:
    global _lock
    _lock = threading.Lock()  # a child lacks the thread that may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_lock)


def load_kernels(names: Sequence[str], progress: Progress | None = None) -> dict[str, int]:
    """Return the address of each kernel, compiling those that this machine has never seen or whose files are damaged.

    ``progress(done, total, left)`` is called while kernels compile, and only then; ``left`` is an estimate in seconds.

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
        cold = []
        for name in names:
            if name not in _loaded:
                found = find_kernel(name)
                address = objects.load(*found) if found else 0
                if address:
                    _loaded[name] = address
                else:
                    cold.append(name)
        if cold:
            _check_room(TO_COMPILE)
            _compile(folder, cold, progress or (lambda done, total, left: None))
        return {name: _loaded[name] for name in names}


def _check_room(nbytes: int) -> None:
    """Raise MachineError where the system does not give so many bytes of addresses (it gives no memory yet)."""
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
