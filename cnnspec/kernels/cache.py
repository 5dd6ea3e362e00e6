"""Where compiled kernels are kept: one folder for each state of their sources and of the compiler.

An edit must never leave old machine code in use, nor one machine run the code of another. The folder's name therefore
holds a hash of all kernel sources, of numba, llvmlite and Python, of the CPU, and of the settings that change code.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from ..places import cache_root
from .objects import SUFFIX

SETTINGS = (
    "CNNSPEC_VECTOR",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_OPT",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
)

_in_use: str | None = None


def cache_dir() -> Path:
    """Return the folder of the kernels of this very version, CPU and compiler. It need not exist."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for package in ("numba", "llvmlite"):
        digest.update(importlib.metadata.version(package).encode())
    digest.update(sys.version.encode())
    digest.update(_cpu().encode())
    for name in SETTINGS:
        digest.update(f"{name}={os.environ.get(name, '')};".encode())
    return cache_root() / f"kernels-{digest.hexdigest()[:16]}"


@functools.cache
def _cpu() -> str:
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def use_cache() -> str:
    """Make the cache folder and return it.

    The folder is the user's alone (mode 0700): what lies in it is run. Where it cannot be written, kernels are
    compiled into a temporary folder that goes with the process.
    """
    global _in_use
    if _in_use is not None:
        return _in_use
    folder = cache_dir()
    if not _make_private(folder):
        folder = Path(tempfile.mkdtemp(prefix="cnnspec-kernels-"))
        import atexit

        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _in_use = str(folder)
    return _in_use


def is_private(folder: Path) -> bool:
    """Whether a folder belongs to this user and nobody else may write in it."""
    status = folder.stat()
    owner = getattr(os, "getuid", lambda: status.st_uid)()
    return status.st_uid == owner and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _make_private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_private(folder):
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def info() -> dict[str, object]:
    """Return where the cache is, how many kernels it holds, its bytes, and whether it can be written."""
    root, folder = cache_root(), cache_dir()
    files = [p for p in folder.rglob("*") if p.is_file()] if folder.is_dir() else []
    everything = [p for p in root.rglob("*") if p.is_file()] if root.is_dir() else []
    return {
        "folder": str(folder),
        "kernels": sum(p.suffix == SUFFIX for p in files),
        "bytes": sum(p.stat().st_size for p in files),
        "bytes_of_all_versions": sum(p.stat().st_size for p in everything),
        "writable": _make_private(folder),
    }


def clear() -> int:
    """Remove the caches of all versions; return the bytes freed."""
    root = cache_root()
    freed = 0
    if root.is_dir():
        for folder in root.glob("kernels-*"):
            freed += sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
            shutil.rmtree(folder, ignore_errors=True)
    return freed
