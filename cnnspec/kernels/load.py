"""Kernels by name: compiled once per machine, then loaded from the cache."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from .cache import use_cache

_loaded: dict[str, Any] = {}
_lock = threading.Lock()


def load_kernels(names: Sequence[str], progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Return the address of each kernel, compiling those that this machine has never seen.

    ``progress(done, total)`` is called while kernels compile, and only then.
    """
    with _lock:
        folder = use_cache()
        from . import conv, depthwise, filters, loss, narrow, norm, optim, overlap, pointwise, pool, winograd  # noqa: F401  fills the registry
        from ._jit import TEMPLATES, compile_kernel

        missing = [name for name in names if name not in _loaded]
        cached = _cached_names(folder)
        cold = [name for name in missing if name.replace(".", "_") not in cached]
        done = 0
        if cold and progress:
            progress(0, len(cold))
        for name in missing:
            if name not in TEMPLATES:
                raise KeyError(f"no kernel is called {name!r}")
            _loaded[name] = compile_kernel(name)
            if name in cold:
                done += 1
                if progress:
                    progress(done, len(cold))
        return {name: _loaded[name].address for name in names}


def load_walker() -> Any:
    """Return the compiled plan walker."""
    use_cache()
    from .walk import walk

    return walk


def read_ticks() -> int:
    """Return the CPU's time-stamp counter."""
    from .walk import now

    return int(now())


def _cached_names(folder: str) -> set[str]:
    """Names of the kernels whose index files lie in the cache."""
    found = set()
    for _, _, files in os.walk(folder):
        for file in files:
            if file.endswith(".nbi"):
                found.add(file.split(".")[1].rpartition("-")[0])
    return found
