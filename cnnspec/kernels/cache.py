"""Where compiled kernels are kept: one folder for each state of their sources and of the compiler.

An edit must never leave old machine code in use, nor one machine run the code of another. The folder's name therefore
holds a hash of all kernel sources and of cnnspec/abi, of numba, llvmlite and Python, of the CPU, and of the settings
that change code.
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
from importlib.util import find_spec
from pathlib import Path

from ..drafts import remove_left_behind
from ..errors import MachineError
from ..places import cache_root
from ..sealed import is_private, read_sealed
from . import objects
from .objects import SUFFIX

SETTINGS = (
    "CNNSPEC_VECTOR",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_OPT",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
)

COMPILER = ("numba", "llvmlite")  # a small installation is without

_in_use: str | None = None
_to_read: str | None = None  # the cache folder, where it may be read but not written


def cache_dir() -> Path:
    """Return the folder of the kernels of this very version, CPU and compiler. It need not exist.

    Raises
    ------
    MachineError
        Where no compiler is installed.
    """
    digest = hashlib.sha256(sources_sha256().encode())
    for version in compiler_versions():
        digest.update(version.encode())
    digest.update(sys.version.encode())
    digest.update(_cpu().encode())
    for name in SETTINGS:
        digest.update(f"{name}={os.environ.get(name, '')};".encode())
    return cache_root() / f"kernels-{digest.hexdigest()[:16]}"


def sources_sha256() -> str:
    """Return the hash of all that machine code is made from: kernels, interface, activations."""
    kernels = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(
        [*kernels.glob("*.py"), *(kernels.parent / "abi").glob("*.py"), kernels.parent / "activations.py"]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def has_compiler() -> bool:
    """Whether the packages that compile kernels are installed."""
    return all(find_spec(package) is not None for package in COMPILER)


def compiler_versions() -> list[str]:
    """Return the versions of the packages that compile kernels. Raise MachineError where one is missing."""
    try:
        return [importlib.metadata.version(package) for package in COMPILER]
    except importlib.metadata.PackageNotFoundError as error:
        raise MachineError(
            f"kernels cannot be compiled: {error.name or 'a package'} is not installed", hint="pip install numba"
        ) from None


@functools.cache
def _cpu() -> str:
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def use_cache() -> str:
    """Make the cache folder and return it.

    The folder is the user's alone (mode 0700): what lies in it is run. Where it cannot be written, kernels that are
    missing there are compiled into a temporary folder that goes with the process.
    """
    global _in_use, _to_read
    if _in_use is not None:
        return _in_use
    folder = cache_dir()
    _to_read = None
    if not _make_private(folder):
        _to_read = str(folder) if _is_safe(folder) else None
        folder = Path(tempfile.mkdtemp(prefix="cnnspec-kernels-"))
        import atexit

        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    else:
        remove_left_behind(folder)
    _in_use = str(folder)
    return _in_use


def find_kernel(name: str) -> bytes | None:
    """Return the code of a kernel that is kept, or None: from the folder in use, else from one to read only."""
    folder = use_cache()
    found = objects.read(folder, name)
    return objects.read(_to_read, name) if found is None and _to_read is not None else found


def _is_safe(folder: Path) -> bool:
    """Whether a folder is no link, and only this user or root may write it."""
    try:
        status = folder.lstat()  # a link may lead anywhere tomorrow
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and is_private(status)


def _make_private(folder: Path) -> bool:
    """Make a folder that only this user may write, and say whether it is such a one."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_safe(folder):
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def damaged() -> list[str]:
    """Return the names of the kernels of this version whose files are damaged, or are not this user's alone."""
    files = sorted(cache_dir().glob(f"*{SUFFIX}")) if has_compiler() else []
    return [path.name.removesuffix(SUFFIX) for path in files if read_sealed(path) is None]


def info() -> dict[str, object]:
    """Return where the cache is, how many kernels it holds, its bytes, and whether it can be written.

    Without a compiler nothing is compiled, and the folder is None.
    """
    folder = cache_dir() if has_compiler() else None
    files, everything = _sizes(folder) if folder else {}, _sizes(cache_root())
    return {
        "folder": str(folder) if folder else None,
        "kernels": sum(p.suffix == SUFFIX for p in files),
        "bytes": sum(files.values()),
        "bytes_of_all_versions": sum(everything.values()),
        "writable": folder is not None and _make_private(folder),
    }


def clear() -> int:
    """Remove the caches of all versions; return the bytes freed."""
    root = cache_root()
    freed = 0
    if root.is_dir():
        for folder in root.glob("kernels-*"):
            freed += sum(_sizes(folder).values())
            shutil.rmtree(folder, ignore_errors=True)
    return freed


def _sizes(folder: Path) -> dict[Path, int]:
    """Return the bytes of each file below a folder; files that other processes take away meanwhile are left out."""
    found = {}
    for path in folder.rglob("*") if folder.is_dir() else ():
        try:
            status = path.lstat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found[path] = status.st_size
    return found
