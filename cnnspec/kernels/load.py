"""Kernels by name: compiled once per machine, then loaded from the cache."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence

from . import objects
from .cache import use_cache

_loaded: dict[str, int] = {}
_lock = threading.Lock()


def load_kernels(names: Sequence[str], progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Return the address of each kernel, compiling those that this machine has never seen.

    ``progress(done, total)`` is called while kernels compile, and only then. Raises KeyError for an unknown name.
    """
    with _lock:
        folder = use_cache()
        cold = []
        for name in names:
            if name not in _loaded:
                found = objects.read(folder, name)
                if found:
                    _loaded[name] = objects.load(*found)
                else:
                    cold.append(name)
        if cold:
            _compile(folder, cold, progress or (lambda done, total: None))
        return {name: _loaded[name] for name in names}


def _compile(folder: str, names: Sequence[str], progress: Callable[[int, int], None]) -> None:
    from . import (  # noqa: F401  fills the registry
        conv,
        depthwise,
        filters,
        loss,
        narrow,
        norm,
        optim,
        overlap,
        peak,
        pointwise,
        pool,
        walk,
        window,
        winograd,
        winograd_staged,
    )
    from ._jit import TEMPLATES, compile_kernel

    for name in names:
        if name not in TEMPLATES:
            raise KeyError(f"no kernel is called {name!r}")
    progress(0, len(names))
    for done, name in enumerate(names, start=1):
        made = compile_kernel(name)
        objects.save(folder, name, *made)
        _loaded[name] = objects.load(*made)
        progress(done, len(names))


def read_ticks() -> int:
    """Return the CPU's time-stamp counter."""
    place = ctypes.c_int64()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(load_kernels(["read_ticks"])["read_ticks"])
    function(ctypes.addressof(place))
    return place.value
