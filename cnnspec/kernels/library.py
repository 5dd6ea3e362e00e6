"""Builds the shared libraries of a wheel (hatch_build.py).

All kernels but those of float64, which few need, are compiled for each level of x86-64 by processes with numba's
settings for that level, and linked. Numba adds the features of the building machine to a CPU's name unless it is told
the features, so they are always given. The libraries are linked without the C library: its functions are then taken in
the oldest version that a process has, and a wheel that was built on a new system runs on an old one.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ..by_type import import_modules
from .cache import sources_sha256
from .shipped import CONTENTS, LEVELS, Level, sha256
from .workers import compile_kernels, processes_for

LINK = ("ld", "-shared", "-s", "--hash-style=gnu", "--build-id=none", "-z", "noexecstack", "-z", "relro")


def names_to_ship() -> list[str]:
    """Return the names of the kernels that a library holds."""
    import_modules("cnnspec.kernels")  # fills the registry
    from ._jit import TEMPLATES

    return sorted(name for name in TEMPLATES if "f64" not in name.split("."))


def build(folder: Path, names: Sequence[str]) -> None:
    """Write a library for each level, and a table of their checksums, into a folder."""
    sources, libraries = sources_sha256(), {}
    for level in LEVELS:
        path = folder / f"{level.name}.so"
        _build_one(path, level, names)
        libraries[level.name] = {"sha256": sha256(path.read_bytes()), "kernels": len(names)}
    contents = {"sources": sources, "libraries": libraries}
    (folder / CONTENTS).write_text(json.dumps(contents, indent=2) + "\n", encoding="ascii")


def _build_one(path: Path, level: Level, names: Sequence[str]) -> None:
    settings = {"NUMBA_CPU_NAME": level.name, "NUMBA_CPU_FEATURES": level.features}
    compiled = compile_kernels(names, max(1, processes_for(names)), shared=True, settings=settings)
    with tempfile.TemporaryDirectory() as objects, closing(compiled):
        for name, code in compiled:
            Path(objects, f"{name}.o").write_bytes(code)
        files = [str(Path(objects, f"{name}.o")) for name in names]  # in this order: the same bytes each time
        subprocess.run([*LINK, "-soname", path.name, "-o", str(path), *files], check=True)
